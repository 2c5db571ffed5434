"""Files of pictures made into an image set, one at a time; what cannot be read is named."""

import struct
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import Image, UnidentifiedImageError

from intriguing.data.dataset import ImageSet
from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.memory import free_memory, readable

_UNREADABLE = (
    OSError, ValueError, SyntaxError, EOFError, RuntimeError, struct.error, zlib.error,
    zipfile.BadZipFile, Image.DecompressionBombError,
)  # fmt: skip


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    name: str
    reason: str


def decode(
    name: str,
    ids: Sequence[str],
    labels: Sequence[int],
    class_names: tuple[str, ...],
    content: Callable[[int], bytes],
    how: Preprocessing,
    progress: ProgressCallback | None = None,
) -> tuple[ImageSet, tuple[Skipped, ...]]:
    """The pictures as a network takes them, and those that cannot be read.

    Args:
        name: Of the set.
        ids: One a picture.
        labels: One a picture.
        class_names: Of all classes.
        content: Gives the file of a picture by its place.
        how: Makes pixels of it.
        progress: Called after each picture.

    Raises:
        InputError: If they do not fit in memory, or none can be read.
    """
    check_memory(len(ids), how)
    images, skipped, kept = torch.empty(len(ids), *how.shape), list[Skipped](), list[int]()
    for place, one in enumerate(ids):
        try:
            images[len(kept)] = how.pixels(content(place))
            kept.append(place)
        except _UNREADABLE as error:
            skipped.append(Skipped(one, _reason(error)))
        if progress is not None:
            progress(Progress("reading pictures", place + 1, len(ids)))
    if not kept:
        raise InputError(
            f"none of the {len(ids)} files in {name} can be read as a picture, for "
            f"instance {skipped[-1].name}: {skipped[-1].reason}"
        )
    numbers = torch.tensor([labels[place] for place in kept])
    names = tuple(ids[place] for place in kept)
    found = ImageSet(name, images[: len(kept)], numbers, names, class_names)
    return found, tuple(skipped)


def check_memory(count: int, how: Preprocessing) -> None:
    """Refuse more images than half of the free memory holds, with how many it does."""
    one = 4 * torch.Size(how.shape).numel()
    free = free_memory()
    if count * one > free // 2:
        raise InputError(
            f"{count:,} images of {'×'.join(map(str, how.shape))} take "
            f"{readable(count * one)} and {readable(free)} of memory are free; take at "
            f"most {free // 2 // one:,}: --limit, or `list_pictures(…).parts(…)` one after another"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    return str(error).splitlines()[0] if str(error) else type(error).__name__
