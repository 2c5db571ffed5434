"""What a network wants done to a photograph: resized, cropped, and normalised."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from intriguing.data.limits import LIMITS, Limits
from intriguing.data.opened import eight_bits, open_picture, upright
from intriguing.errors import InputError

Interpolation: TypeAlias = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]

# Around the crop: 256 of 227, as ImageNet's networks are tested; small images are taken whole.
_MARGIN = 256 / 227
_SMALL = 64
"""Side below which images are taken whole: digits and CIFAR have no margin to cut."""
# Pixels beyond which only the middle is resized: the same up to rounding.
_RESIZED = 1 << 26


@dataclass(frozen=True)
class Preprocessing:
    """From a photograph to what a network takes, in two halves.

    The first half makes pixels in [0, 1], RGB: resize, then cut out the middle. The second,
    (scale · x − mean) / std with the channels in the network's order, becomes part of the network
    (`with_preprocessing`), so that distortions are of the pixels whatever the network wants.

        torchvision   mean=(.485, .456, .406), std=(.229, .224, .225)
        Caffe         scale=255, mean=(104, 117, 123), channels="BGR"
        TensorFlow    scale=2, mean=(1, 1, 1)          for [−1, 1]
        0 to 255      scale=255

    Args:
        size: (height, width) of what the network takes.
        resize: Before the crop: the short side's length, keeping the proportions, or (height,
            width) regardless of them. None leaves a margin as ImageNet's networks are tested with,
            256 of 227; images under 64 pixels have none.
        scale: What pixels in [0, 1] are multiplied by.
        mean: One value a channel, of scaled pixels, in the network's order of channels.
        std: Likewise.
        channels: The order the network wants; "L" is one channel, gray.
        interpolation: Of resizing.
    """

    size: tuple[int, int] = (224, 224)
    resize: int | tuple[int, int] | None = None
    scale: float = 1.0
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    channels: Literal["RGB", "BGR", "L"] = "RGB"
    interpolation: Interpolation = "bilinear"

    def __post_init__(self) -> None:
        if self.channels not in ("RGB", "BGR", "L"):
            raise InputError(f"channels {self.channels!r}; give RGB, BGR or L")
        if len(self.size) != 2 or min(self.size) < 1:
            raise InputError(f"size {self.size} is not (height, width); (224, 224) is")
        count = self.shape[0]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if values is not None and len(values) != count:
                raise InputError(f"{name} {values} needs {count} values, one a channel")
        if not self.scale > 0 or not all(value > 0 for value in self.std or ()):
            raise InputError(f"scale {self.scale} and std {self.std} must be above 0")
        sides = (self.resize,) * 2 if isinstance(self.resize, int) else self.resize
        if sides is not None and (sides[0] < self.size[0] or sides[1] < self.size[1]):
            raise InputError(f"resize {self.resize} is less than the size {self.size} to cut out")
        if self.interpolation.upper() not in Image.Resampling.__members__:
            raise InputError(f"interpolation {self.interpolation!r}; give bilinear or bicubic")

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of one image."""
        return (1 if self.channels == "L" else 3, *self.size)

    def pixels(
        self, content: bytes, limits: Limits = LIMITS
    ) -> Float[Tensor, "channel height width"]:
        """The pixels in [0, 1], RGB or gray, of an image file's content.

        It is turned as its EXIF orientation says; of 16 bits and of floats see `opened.eight_bits`.
        What is transparent shows the colour that the file has there.
        """
        with open_picture(content, limits) as opened:
            return self.of_picture(opened)

    def of_picture(self, picture: Image.Image) -> Float[Tensor, "channel height width"]:
        """The same of a picture that is open already."""
        picture = eight_bits(upright(picture)).convert("L" if self.channels == "L" else "RGB")
        cut = self._cut(picture, Image.Resampling[self.interpolation.upper()])
        height, width = self.size
        array = np.asarray(cut, dtype=np.float32) / 255
        return torch.from_numpy(array).reshape(height, width, -1).permute(2, 0, 1)

    def _cut(self, picture: Image.Image, way: Image.Resampling) -> Image.Image:
        """The middle of the resized picture."""
        height, width = self.size
        across, down = self._resized(picture)
        left, top = round((across - width) / 2), round((down - height) / 2)
        if across * down > _RESIZED:  # a strip: resized whole, its length would take any memory
            wide, high = picture.width / across, picture.height / down
            box = (left * wide, top * high, (left + width) * wide, (top + height) * high)
            return picture.resize((width, height), way, box)
        return picture.resize((across, down), way).crop((left, top, left + width, top + height))

    def _resized(self, picture: Image.Image) -> tuple[int, int]:
        """(width, height) to resize to."""
        if isinstance(self.resize, tuple):
            return self.resize[1], self.resize[0]
        height, width = self.size
        short = min(picture.size)
        if self.resize is not None:
            across, down = (int(self.resize * side / short) for side in picture.size)
            return across, down
        margin = _MARGIN if min(self.size) >= _SMALL else 1.0
        scale = max(height * margin / picture.height, width * margin / picture.width)
        return max(width, round(picture.width * scale)), max(height, round(picture.height * scale))


def of_shape(shape: Sequence[int]) -> Preprocessing:
    """How pictures become images of a shape (channel, height, width), when nothing else is known.

    >>> of_shape((1, 28, 28)).channels
    'L'
    """
    if len(shape) != 3 or shape[0] not in (1, 3):
        raise InputError(f"pictures cannot become images of {tuple(shape)}; (3, 224, 224) can")
    return Preprocessing((shape[1], shape[2]), channels="L" if shape[0] == 1 else "RGB")
