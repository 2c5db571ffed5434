"""A set of labelled images in which every image keeps its name wherever it goes."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.data.checks import check_labels, check_pixels
from intriguing.errors import InputError
from intriguing.keys import derive_digest
from intriguing.names import readable


@dataclass(frozen=True)
class ImageSet:
    """Images in [0, 1] with labels, stable ids and class names.

    The id of an image names its place in the source ("mnist/test/00007"), so results of any subset,
    order or shard can be joined again.
    """

    name: str
    images: Float[Tensor, "image channel height width"]
    labels: Int64[Tensor, " image"]
    ids: tuple[str, ...]
    class_names: tuple[str, ...]

    def __post_init__(self) -> None:
        # Here names enter: of files, folders and tables, whatever bytes they are made of.
        object.__setattr__(self, "name", readable(self.name))
        if not hasattr(self.ids, "take"):  # names in Arrow are readable
            object.__setattr__(self, "ids", tuple(map(readable, self.ids)))
        object.__setattr__(self, "class_names", tuple(map(readable, self.class_names)))
        try:
            if not hasattr(self.images, "at"):  # what is streamed is looked at as it is read
                check_pixels(self.images)
            count = len(self.images)
            if count != len(self.ids):
                raise InputError(f"{count} images and {len(self.ids)} ids; give one id an image")
            labels = check_labels(self.labels, count, self.classes, known="there are names for")
        except InputError as error:
            raise InputError(f"{self.name}: {error}") from error
        object.__setattr__(self, "labels", labels)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def called(self, number: int) -> str:
        """A class in words, its number where it has none."""
        known = 0 <= number < len(self.class_names)
        return self.class_names[number] if known else str(number)

    @property
    def in_memory(self) -> bool:
        """Whether the images are a tensor; else they are read when asked for (`data.streamed`)."""
        return isinstance(self.images, Tensor)

    @cached_property
    def sha256(self) -> str:
        """Digest of every image and label in their order; of streamed images, of their files."""
        digest = hashlib.sha256()
        if not self.in_memory:
            digest.update(self.images.sha256.encode())  # type: ignore[attr-defined]
        for tensor in (self.images, self.labels) if self.in_memory else (self.labels,):
            digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(raw.numpy().data)
        return digest.hexdigest()

    @cached_property
    def digest(self) -> str:
        """Of every field, for the keys of all that is computed with these images."""
        return derive_digest(self)

    def subset(self, indices: Tensor, name: str | None = None) -> "ImageSet":
        """The images at `indices` (int64), in that order, under their own ids."""
        if self.in_memory:
            images, ids = self.images[indices], tuple(self.ids[i] for i in indices.tolist())
        else:
            images = self.images.at(indices)  # type: ignore[attr-defined]
            ids = self.ids.take(indices.numpy())  # type: ignore[attr-defined]
        return replace(
            self, name=name or self.name, images=images, labels=self.labels[indices], ids=ids
        )

    def read(self) -> "ImageSet":
        """All images in memory; of streamed ones, without those that are no pictures."""
        if self.in_memory:
            return self
        pixels = self.images[:]
        kept = (~pixels.flatten(1).isnan().all(1)).nonzero()[:, 0]
        if len(kept) == len(self):  # which takes no second copy
            return replace(self, images=pixels, ids=tuple(self.ids))
        ids = tuple(self.ids[i] for i in kept.tolist())
        return replace(self, images=pixels[kept], labels=self.labels[kept], ids=ids)

    def sample(self, count: int) -> "ImageSet":
        """At most so many, evenly spaced."""
        count = min(count, len(self))
        return self.subset(torch.tensor([i * len(self) // count for i in range(count)]))

    def first(self, count: int) -> "ImageSet":
        """The first `count` images (all of them when there are fewer)."""
        return self.subset(torch.arange(min(count, len(self))))

    def split(self, first: int, generator: torch.Generator) -> tuple["ImageSet", "ImageSet"]:
        """Two disjoint random parts, `first` images and the rest: P₁ and P₂ of §4.2."""
        if not 0 < first < len(self):
            raise InputError(f"cannot split {len(self)} images into {first} and the rest")
        order = torch.randperm(len(self), generator=generator)
        return (
            self.subset(order[:first].sort().values, f"{self.name}[P1]"),
            self.subset(order[first:].sort().values, f"{self.name}[P2]"),
        )

    def pixels(self, size: int) -> Iterator[Tensor]:
        """The pixels of consecutive pieces, of every image; what is no picture is black."""
        for start in range(0, len(self), size):
            part = self.images[start : start + size]
            yield part if self.in_memory else part.nan_to_num()

    def batches(self, size: int) -> Iterator["ImageSet"]:
        """Consecutive pieces of at most `size` images, in memory."""
        for start in range(0, len(self), size):
            yield self.subset(torch.arange(start, min(start + size, len(self)))).read()

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "ImageSet":
        """Images and labels on `device`, the images in `dtype`."""
        images = self.images.to(device=device, dtype=dtype or self.images.dtype)
        return replace(self, images=images, labels=self.labels.to(device))
