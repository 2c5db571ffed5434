"""What an image processor of transformers does to a photograph, as measured.

Its options have grown wild: some processors ignore some, resize or normalise twice.  So the pixels'
part is measured on pictures of one colour, and the geometry is read and then held against what the
processor does to a picture.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from intriguing.data.preprocessing import Interpolation, Preprocessing
from intriguing.errors import InputError

_RESAMPLE: tuple[Interpolation, ...] = (
    "nearest", "lanczos", "bilinear", "bicubic", "box", "hamming",
)  # fmt: skip
"""As Pillow numbers them."""

_CLOSE = 0.02
"""Mean difference of pixels in [0, 1] up to which two ways of resizing are the same."""


def of_processor(name: str, processor: Any) -> Preprocessing:
    """A processor of transformers in our words.

    Args:
        name: For the error.
        processor: Called with pictures, it gives `pixel_values`; `to_dict()` are its options.

    Raises:
        InputError: If it does something to pictures that a `Preprocessing` cannot say.
    """
    means, deviations, channels = _affine(name, processor)
    wanted: Mapping[str, Any] = processor.to_dict()
    way = _RESAMPLE[int(wanted.get("resample", 2))]
    best, found = _CLOSE, None
    for size, resize in _geometries(wanted):
        try:
            how = Preprocessing(
                size, resize, mean=means, std=deviations, channels=channels, interpolation=way
            )
        except InputError:
            continue
        difference = _difference(how, processor)
        if difference < best:
            best, found = difference, how
    if found is None:
        raise InputError(
            f"hf:{name}: what its processor does to pictures is no resizing and cutting out of the "
            "middle; give FILE.py:FUNCTION that returns the network and a Preprocessing"
        )
    return found


def _affine(
    name: str, processor: Any
) -> tuple[tuple[float, ...], tuple[float, ...], Literal["RGB", "BGR"]]:
    """Mean and deviation of each channel in the network's order: what becomes of five colours."""
    black, white, red, gray, middle = (
        _processed(processor, Image.new("RGB", (320, 320), colour)).mean((1, 2))
        for colour in ("black", "white", "red", (51, 51, 51), (51, 102, 204))
    )
    scale = white - black
    if len(scale) != 3 or not bool((scale > 0).all()):
        raise InputError(f"hf:{name} takes no RGB images; give FILE.py:FUNCTION")
    change = red - black
    channels: Literal["RGB", "BGR"] = "BGR" if change[2] > change[0] else "RGB"
    colour = torch.tensor([51.0, 102.0, 204.0], dtype=torch.float64) / 255
    expected = black + (colour.flip(0) if channels == "BGR" else colour) * scale
    for seen, should in ((gray, black + 0.2 * scale), (middle, expected)):
        if bool(((seen - should).abs() > 0.01 * scale).any()):
            raise InputError(
                f"hf:{name}: its processor changes colours by more than a mean and a deviation; "
                "give FILE.py:FUNCTION that returns a network of images in [0, 1]"
            )
    means, deviations = (
        tuple(round(value, 6) for value in values.tolist())
        for values in (-black / scale, 1 / scale)
    )
    return means, deviations, channels


def _geometries(
    wanted: Mapping[str, Any],
) -> Iterator[tuple[tuple[int, int], int | tuple[int, int] | None]]:
    """Sizes, and what is resized to before cutting them out, that these options may mean."""
    resized = _sides(wanted.get("size")) if wanted.get("do_resize", True) else None
    cut = _sides(wanted.get("crop_size")) if wanted.get("do_center_crop") else None
    share = wanted.get("crop_pct")
    size = (cut, cut) if isinstance(cut, int) else cut
    if isinstance(resized, tuple):
        yield size or resized, resized
        return
    if resized is None:
        return
    square = (resized, resized)
    if share:
        yield size or square, int(resized / share)  # small ConvNeXts lose a margin, PoolFormers too
        yield square, square  # large ConvNeXts do not
    yield size or square, resized
    yield size or square, int(256 / 224 * resized)  # LeViT


def _sides(said: object) -> int | tuple[int, int] | None:
    """A processor's size: a short side, or (height, width)."""
    if isinstance(said, int):
        return said
    if isinstance(said, Mapping):
        if said.get("shortest_edge"):
            return int(said["shortest_edge"])
        if said.get("height") and said.get("width"):
            return int(said["height"]), int(said["width"])
    return None


def _difference(how: Preprocessing, processor: Any) -> float:
    """Mean difference of our pixels from the processor's, both in [0, 1].

    Where it keeps all of a picture that is wider than high, only squares can be compared: of others
    we take the middle, as a batch needs one size.
    """
    for sides in ((400, 300), (300, 300)):
        picture = _picture(*sides)
        theirs = _processed(processor, picture)
        if theirs.shape == how.shape:
            break
    else:
        return np.inf
    assert how.mean is not None
    assert how.std is not None
    means, deviations = (torch.tensor(v).double().view(3, 1, 1) for v in (how.mean, how.std))
    pixels = theirs * deviations + means
    ours = how.of_picture(picture)
    return float(((pixels.flip(0) if how.channels == "BGR" else pixels) - ours).abs().mean())


def _picture(width: int, height: int) -> Image.Image:
    """Waves of three colours with nothing the same on two sides."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / 5), np.cos(columns / 7), np.sin((rows + columns) / 9)]
    return Image.fromarray(np.stack([127 + 120 * wave for wave in waves], -1).astype(np.uint8))


def _processed(processor: Any, picture: Image.Image) -> Tensor:
    values: Tensor = processor(picture, return_tensors="pt")["pixel_values"]
    return values[0].double()
