"""A stranger's picture opened: by decoders that run nothing, within limits, upright, in 8 bits."""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from PIL import Image

from intriguing.data.limits import LIMITS, Limits
from intriguing.errors import InputError
from intriguing.files import check_regular

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM")
"""Pillow's decoders that are tried: among the others is PostScript, which is a program."""

_ORIENTATION = 0x0112
"""EXIF's tag of how the camera was held."""
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip
"""What makes a picture upright, by EXIF's orientation: how the camera was held."""


def read_file(path: Path, limits: Limits = LIMITS) -> bytes:
    """A file's content.

    Raises:
        InputError: If it is missing, no plain file, or larger than the limit.
    """
    limits.check_bytes(check_regular(path, "give a picture"))
    return path.read_bytes()


@contextmanager
def open_picture(content: bytes, limits: Limits = LIMITS) -> Iterator[Image.Image]:
    """A picture of which no more than the head has been read.

    Raises:
        InputError: If it has more pixels than the limit.
        Exception: Whatever Pillow's decoders raise when it is no picture or a damaged one.
    """
    before = Image.MAX_IMAGE_PIXELS
    try:
        Image.MAX_IMAGE_PIXELS = None  # Pillow's limit would come first, without a remedy
        with Image.open(io.BytesIO(content), formats=FORMATS) as opened:
            limits.check_pixels(*opened.size)
            Image.MAX_IMAGE_PIXELS = limits.max_pixels
            yield opened
    finally:
        Image.MAX_IMAGE_PIXELS = before


def upright(picture: Image.Image) -> Image.Image:
    """The picture as it was meant to be seen: turned as its EXIF orientation says."""
    picture.load()  # which turns a TIFF, and takes the orientation away
    turn = None
    with suppress(Exception):  # EXIF that cannot be read says nothing
        turn = _TURNS.get(picture.getexif().get(_ORIENTATION, 1))
    return picture if turn is None else picture.transpose(turn)


def eight_bits(picture: Image.Image) -> Image.Image:
    """The picture in 8 bits a channel, where `Image.convert` would cut values off instead.

    Integers are taken as 16 bits: 65535 is white. Floats are taken as [0, 1] where none is above 1,
    and as [0, 255] else.

    Raises:
        InputError: If values lie outside these ranges: nothing says what white is.
    """
    if not picture.mode.startswith(("I", "F")):
        return picture
    values = np.asarray(picture)
    low, high = float(values.min()), float(values.max())  # of NaN both are NaN
    white = 65535.0 if picture.mode.startswith("I") else (1.0 if high <= 1 else 255.0)
    if not 0 <= low <= high <= white:
        raise InputError(
            f"values from {low:g} to {high:g}, of which nothing says what is white; save it with 8 "
            "or 16 bits, or floats in [0, 1]"
        )
    if white == 65535:
        return Image.fromarray((values // 257).astype(np.uint8))
    return Image.fromarray(np.rint(values * np.float32(255 / white)).astype(np.uint8))
