"""Files of pictures made into an image set, one at a time; what cannot be read is named."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from PIL import UnidentifiedImageError

from intriguing.data.dataset import ImageSet
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.memory import free_memory
from intriguing.memory import readable as in_units
from intriguing.names import readable


@dataclass(frozen=True)
class SkippedFile:
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
    limits: Limits = LIMITS,
) -> tuple[ImageSet, tuple[SkippedFile, ...]]:
    """The pictures as a network takes them, and those that cannot be read.

    Args:
        name: Of the set.
        ids: One a picture.
        labels: One a picture.
        class_names: Of all classes.
        content: Gives the file of a picture by its place.
        how: Makes pixels of it.
        progress: Called after each picture.
        limits: What a picture may ask for.

    Raises:
        InputError: If they do not fit in memory, or none can be read.
    """
    check_memory(len(ids), how.shape)
    images, skipped, kept = torch.empty(len(ids), *how.shape), list[SkippedFile](), list[int]()
    for place, one in enumerate(ids):
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                images[len(kept)] = how.pixels(content(place), limits)
            kept.append(place)
        except Exception as error:  # of a damaged file, decoders raise what they like
            skipped.append(SkippedFile(readable(one), readable(_reason(error))))
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


def check_memory(count: int, shape: Sequence[int]) -> None:
    """Refuse more images than half of the free memory holds, with how many it does."""
    one = 4 * torch.Size(shape).numel()
    free = free_memory()
    if count * one > free // 2:
        raise InputError(
            f"{count:,} images of {'×'.join(map(str, shape))} take "
            f"{in_units(count * one)} and {in_units(free)} of memory are free; take at "
            f"most {free // 2 // one:,}: --limit, or `list_pictures(…).parts(…)` one after another"
        )


def _reason(error: Exception) -> str:
    if isinstance(error, UnidentifiedImageError):
        return "not a picture"
    lines = str(error).splitlines()
    plain = isinstance(error, (InputError, OSError, ValueError, SyntaxError)) and bool(lines)
    return lines[0] if plain else f"{type(error).__name__} {' '.join(lines[:1])}".strip()
