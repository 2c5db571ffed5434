"""Images by whatever names them: a data set, a folder, a zip, ImageNet's layout, the hub."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.decoding import SkippedFile, check_memory
from intriguing.data.folder import is_pictures, list_pictures
from intriguing.data.hub import list_hub
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.named import load_data
from intriguing.data.packed import is_packed, list_packed
from intriguing.data.preprocessing import Preprocessing, of_shape
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback

STREAMED = 1 << 30
"""Bytes of pixels that are kept in memory without thinking: a million images of 16×16."""


@dataclass(frozen=True)
class LoadedImages:
    """Images, and what is to be said about them.

    Attributes:
        images: In [0, 1].
        labelled: Whether their labels are true classes; when not, they are all 0, and what a
            network says of the unchanged image is to be taken (`models.requirements.own_labels`).
        left_out: Files that could not be read or have no class.
    """

    images: ImageSet
    labelled: bool
    left_out: tuple[SkippedFile, ...]

    @property
    def remarks(self) -> tuple[str, ...]:
        """The files that were left out, in a sentence."""
        if not self.left_out:
            return ()
        some = ", ".join(f"{file.name} ({file.reason})" for file in self.left_out[:20])
        more = f" and {len(self.left_out) - 20} more" if len(self.left_out) > 20 else ""
        number = "1 file was" if len(self.left_out) == 1 else f"{len(self.left_out)} files were"
        return (f"{number} left out: {some}{more}.",)


def load_images(
    source: str,
    like: Preprocessing | Sequence[int] | None = None,
    *,
    part: Literal["test", "train"] = "test",
    limit: int | None = None,
    root: str | Path | None = None,
    progress: ProgressCallback | None = None,
    limits: Limits = LIMITS,
    stream: bool | None = False,
) -> LoadedImages:
    """Images of any source.

    Args:
        source: A name of `load_data`; folder:PATH, zip:FILE, imagenet:PATH or a path; or
            hf:OWNER/NAME; or tars and Parquet files, see `list_packed`.
        like: What the network takes, or the shape of one image; pictures are made so. Named data
            sets keep their own size.
        part: Of a named data set or the hub's.
        limit: At most so many: the first ones of a named data set, evenly spaced ones of pictures.
        root: Of named data sets, see `load_data`.
        progress: Called while reading.
        limits: What one picture may ask for; those that ask for more are left out.
        stream: Whether pictures are read when they are asked for, and none is kept in memory; None
            where they would take more than `STREAMED` bytes. Files that are no pictures are noticed
            only then.

    Raises:
        InputError: If there is no such source, or no image in it; or pictures are asked for
            without saying of what size.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit} leaves no images; give 1 or more")
    hub = source.startswith("hf:")
    packed = is_packed(source)
    if not hub and not packed and not is_pictures(source):
        pair = load_data(source, root, progress)
        images = pair.test if part == "test" else pair.train
        return LoadedImages(images if limit is None else images.first(limit), True, ())
    # Before words about what is not there.
    listed = None if hub or packed else list_pictures(source, limits)
    if like is None:
        raise InputError(
            f"{source} holds pictures, and nothing says of what size the network takes them; give "
            "it: --input 3,224,224, channels first and without the batch"
        )
    how = like if isinstance(like, Preprocessing) else of_shape(like)
    if listed is None:
        found, labelled = (
            list_hub(source[3:], part, how, limits) if hub else list_packed(source, how, limits)
        )
        return _kept(found if limit is None else found.sample(limit), labelled, stream)
    chosen = listed if limit is None else listed.spread(limit)
    size = 4 * len(chosen) * torch.Size(how.shape).numel()
    if size > STREAMED if stream is None else stream:
        return LoadedImages(chosen.streamed(how, limits), listed.labelled, chosen.left_out)
    images, left_out = chosen.read(like, progress, limits)
    return LoadedImages(images, listed.labelled, left_out)


def _kept(images: ImageSet, labelled: bool, stream: bool | None) -> LoadedImages:
    """Streamed images as they are, or all of them in memory."""
    size = images.images.numel() * images.images.element_size()
    if size > STREAMED if stream is None else stream:
        return LoadedImages(images, labelled, ())
    check_memory(len(images), images.images.shape[1:])
    read = images.read()
    lost = sorted(set(images.ids) - set(read.ids))
    if not len(read):
        raise InputError(f"none of the {len(images)} pictures in {images.name} can be read")
    return LoadedImages(read, labelled, tuple(SkippedFile(n, "not a picture") for n in lost))
