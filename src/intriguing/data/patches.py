"""Images without labels, for unsupervised training: as bytes, in memory or in a file."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from intriguing.data.limits import LIMITS, Limits
from intriguing.errors import InputError
from intriguing.files import check_regular, whole_file
from intriguing.keys import derive_key
from intriguing.measures import Progress, ProgressCallback

_SAMPLED = 1000
"""Images of a fingerprint: reading all of a memory-mapped file would take minutes."""
_EXTRA = {
    "skimage": "scikit-image is missing; pip install 'intriguing[photographs]'",
    "av": "PyAV is missing, which reads video; pip install 'intriguing[video]'",
}
# The colour photographs inside scikit-image's package, of at least 250 pixels.
_PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket", "motorcycle_left")
VIDEOS = (".mp4", ".mkv", ".mov", ".avi", ".webm", ".mpg", ".mpeg", ".m4v", ".ogv", ".ts")


@dataclass(frozen=True)
class Patches:
    """Images of one size.

    Attributes:
        name: Where they are from.
        pixels: A tensor, or a memory-mapped file, which every process of a machine shares.
    """

    name: str
    pixels: UInt8[Any, "image channel height width"]

    def __len__(self) -> int:
        return len(self.pixels)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of one image."""
        channels, height, width = self.pixels.shape[1:]
        return channels, height, width

    @cached_property
    def fingerprint(self) -> str:
        """Digest of their shape and a thousand of them, evenly spaced: there may be gigabytes."""
        places = torch.linspace(0, len(self) - 1, min(len(self), _SAMPLED)).long()
        return derive_key(tuple(self.pixels.shape), self.take(places) if len(self) else None)

    def take(self, places: Tensor) -> Float[Tensor, "image channel height width"]:
        """The images at `places` (int64), in [0, 1]."""
        if isinstance(self.pixels, Tensor):
            chosen = self.pixels[places]
        else:
            chosen = torch.from_numpy(np.ascontiguousarray(self.pixels[places.numpy()]))
        return chosen.float().div_(255)

    def part(self, places: Tensor, name: str) -> "Patches":
        """Some of them."""
        if isinstance(self.pixels, Tensor):
            return Patches(name, self.pixels[places])
        return Patches(name, torch.from_numpy(self.pixels[places.numpy()]))

    def batches(self, size: int) -> Iterator[Float[Tensor, "image channel height width"]]:
        """All of them, so many at a time."""
        for start in range(0, len(self), size):
            yield self.take(torch.arange(start, min(start + size, len(self))))


def of_images(name: str, images: Float[Tensor, "image channel height width"]) -> Patches:
    """Images in [0, 1] as bytes."""
    return Patches(name, images.mul(255).round_().to(torch.uint8))


def photographs() -> list[UInt8[np.ndarray, "height width 3"]]:
    """The natural photographs that scikit-learn and, where it is installed, scikit-image carry."""
    from sklearn import datasets

    found = [np.asarray(picture) for picture in datasets.load_sample_images().images]
    try:
        from skimage import data
    except ImportError:
        return found
    folder = Path(data.__file__).parent
    paths = [p for name in _PHOTOGRAPHS for p in sorted(folder.glob(f"{name}.*"))]
    return found + [_read(path) for path in paths]


def cut(
    pictures: Sequence[UInt8[np.ndarray, "height width 3"]],
    side: int,
    count: int,
    generator: torch.Generator,
    name: str = "photographs",
) -> Patches:
    """`count` random patches, every picture giving as many as its area allows.

    Raises:
        InputError: If no picture is large enough.
    """
    large = [picture for picture in pictures if min(picture.shape[:2]) >= side]
    if not large:
        raise InputError(f"none of {len(pictures)} pictures has {side}×{side} pixels")
    areas = [(p.shape[0] - side + 1) * (p.shape[1] - side + 1) for p in large]
    weights = torch.tensor(areas, dtype=torch.float64)
    chosen = torch.multinomial(weights, count, replacement=True, generator=generator)
    places = torch.rand(count, 2, generator=generator, dtype=torch.float64)
    pixels = torch.empty(count, 3, side, side, dtype=torch.uint8)
    for i, (which, (down, right)) in enumerate(zip(chosen.tolist(), places.tolist(), strict=True)):
        picture = large[which]
        top = int(down * (picture.shape[0] - side + 1))
        left = int(right * (picture.shape[1] - side + 1))
        window = picture[top : top + side, left : left + side]
        pixels[i] = torch.from_numpy(window.copy()).permute(2, 0, 1)
    return Patches(name, pixels)


def read_pictures(
    folder: Path, limits: Limits = LIMITS
) -> list[UInt8[np.ndarray, "height width 3"]]:
    """Every picture under a folder, RGB; files that are none, or too large, are left out.

    Raises:
        InputError: If there is none, with what is wrong with the first.
    """
    from intriguing.data.folder import ENDINGS

    found, reason = [], ""
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in ENDINGS):
        try:
            found.append(_read(path, limits))
        except Exception as error:  # of a damaged picture, decoders raise what they like
            said = str(error) if isinstance(error, InputError) else "it is no picture, or damaged"
            reason = reason or f" ({path.name}: {said})"
    if not found:
        raise InputError(
            f"{folder} has no picture that can be read{reason}; give a folder of JPEG or PNG"
        )
    return found


def frames(
    path: Path, every: int = 10, limit: int | None = None, limits: Limits = LIMITS
) -> Iterator[UInt8[np.ndarray, "height width 3"]]:
    """Every so manyeth frame of a video, RGB, by PyAV.

    Raises:
        InputError: If PyAV is missing, or the file is no video.
    """
    check_regular(path, "give a video")
    try:
        import av
    except ImportError as error:
        raise InputError(_EXTRA["av"]) from error
    try:
        # By its whole path and from files alone: a name or a playlist may be an address to ffmpeg.
        only = {"protocol_whitelist": "file"}
        with av.open(str(path.absolute()), options=only) as container:
            taken = 0
            for i, frame in enumerate(container.decode(video=0)):
                limits.check_pixels(frame.width, frame.height)
                if i % every == 0:
                    yield frame.to_ndarray(format="rgb24")
                    taken += 1
                    if taken == limit:
                        return
    except InputError as error:
        raise InputError(f"{path} has frames of {error}") from error
    except (OSError, ValueError, IndexError) as error:
        raise InputError(f"cannot read {path} as video ({error})") from error


def write_patches(
    path: Path,
    pictures: Iterable[UInt8[np.ndarray, "height width 3"]],
    side: int,
    each: int,
    generator: torch.Generator,
    progress: ProgressCallback | None = None,
) -> int:
    """Cut `each` patches out of every picture into a .npy file, never holding more than one.

    Pictures smaller than the side are left out.  `open_patches` reads the file.

    Returns:
        How many patches.
    """
    count, header = 0, 128
    with whole_file(path) as temporary, temporary.open("wb") as file:
        file.write(b"\0" * header)
        for picture in pictures:
            if min(picture.shape[:2]) < side:
                continue
            file.write(cut([picture], side, each, generator).pixels.numpy().tobytes())
            count += each
            if progress is not None:
                progress(Progress("cutting patches", count, count))
        file.seek(0)
        file.write(_npy_header((count, 3, side, side), header))
    if not count:
        path.unlink()
        raise InputError(f"no picture or frame has {side}×{side} pixels; give larger ones")
    return count


def open_patches(path: Path) -> Patches:
    """What `write_patches` wrote, mapped into memory, not read."""
    check_regular(path, "make it with `intriguing train quocnet-tiny FOLDER`")
    try:
        pixels = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # numpy's reader parses the head, and raises what parsers do
        words = str(error).partition("\n")[0]
        raise InputError(f"cannot read {path} as patches ({words})") from error
    if not isinstance(pixels, np.ndarray):
        raise InputError(f"{path} holds several arrays, not one of images as bytes")
    if pixels.dtype != np.uint8 or pixels.ndim != 4:
        raise InputError(f"{path} holds {pixels.dtype} of {pixels.shape}, not images as bytes")
    return Patches(path.stem, pixels)


def _npy_header(shape: tuple[int, ...], size: int) -> bytes:
    """The head of a .npy file, version 1.0, of a fixed size."""
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}"
    head = b"\x93NUMPY\x01\x00" + (size - 10).to_bytes(2, "little")
    return head + text.ljust(size - 11).encode() + b"\n"


def _read(path: Path, limits: Limits = LIMITS) -> UInt8[np.ndarray, "height width 3"]:
    from intriguing.data.opened import eight_bits, open_picture, read_file, upright

    with open_picture(read_file(path, limits), limits) as picture:
        return np.array(eight_bits(upright(picture)).convert("RGB"))
