"""How large one file of pictures may be before it is left out; a few bytes can ask for any memory.

>>> Limits(max_pixels=0)
Traceback (most recent call last):
intriguing.errors.InputError: --max-pixels 0; give 1 or more
"""

from dataclasses import dataclass

from intriguing.errors import InputError


@dataclass(frozen=True)
class Limits:
    """What a picture may ask for; what asks for more is left out, and named.

    Args:
        max_pixels: Of one picture as its file says, before it is decoded; decoding takes up to 12
            bytes a pixel.
        max_bytes: Of one file, unpacked where it lies in a zip.
    """

    max_pixels: int = 100_000_000
    max_bytes: int = 1 << 28

    def __post_init__(self) -> None:
        for option, value in (("pixels", self.max_pixels), ("bytes", self.max_bytes)):
            if value < 1:
                raise InputError(f"--max-{option} {value}; give 1 or more")

    def check_pixels(self, width: int, height: int) -> None:
        """Refuse a picture of more pixels, with the option that lifts the limit."""
        if width * height > self.max_pixels:
            raise InputError(
                f"{width:,}×{height:,} pixels, more than {self.max_pixels:,}; --max-pixels "
                f"{width * height} allows them"
            )

    def check_bytes(self, size: int) -> None:
        """Refuse a file of more bytes, with the option that lifts the limit."""
        if size > self.max_bytes:
            raise InputError(
                f"{size:,} bytes, more than {self.max_bytes:,}; --max-bytes {size} allows them"
            )


LIMITS = Limits()
"""What holds when nothing else is said."""
