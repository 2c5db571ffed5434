"""8-bit images as PNG files: written without loss, and read back as they were written."""

import io
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from intriguing.errors import InputError
from intriguing.files import check_regular, write_whole


def shown_as(images: Float[Tensor, "image ..."]) -> Float[Tensor, "image ..."]:
    """Images as pictures can show them; what are pictures already stay as they are.

    The frames of clips stand side by side, their channels (1 or 3) before rows and columns. Of two
    channels the mean is shown.

    >>> shown_as(torch.zeros(5, 4, 3, 8, 6)).shape
    torch.Size([5, 3, 8, 24])
    """
    if images.ndim > 4:
        first = images.shape[-3] not in (1, 3) and images.shape[1] in (1, 3)
        frames = images.movedim(1, -3) if first else images
        images = torch.cat(frames.flatten(1, -4).unbind(1), -1)
    if images.ndim == 4 and images.shape[1] == 2:
        return images.mean(1, keepdim=True)
    return images


def write_png(path: Path, image: Float[Tensor, "channel height width"]) -> None:
    """Write an image whose pixels are levels of 255; others are rounded to the nearest."""
    pixels = np.rint(255.0 * image.detach().cpu().double().numpy()).clip(0, 255).astype(np.uint8)
    flat = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
    buffer = io.BytesIO()
    Image.fromarray(flat).save(buffer, "PNG")
    write_whole(path, buffer.getvalue())


def read_png(path: Path) -> Float[Tensor, "channel height width"]:
    """Read an image in [0, 1] as any program would: the file's levels divided by 255.

    Raises:
        InputError: If there is no such file, or it is no picture.
    """
    try:
        check_regular(path, "write it again")
        with Image.open(path, formats=("PNG",)) as opened:
            array = np.array(opened, dtype=np.float32) / 255
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"{path} cannot be read as a picture ({error}); write it again") from error
    return torch.from_numpy(array).reshape(*array.shape[:2], -1).permute(2, 0, 1)
