"""Data sets of images from Hugging Face's hub, or folders of its layout, decoded on demand."""

import importlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from intriguing.data.dataset import ImageSet
from intriguing.data.decoding import SkippedFile, decode
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.opened import read_file
from intriguing.data.preprocessing import Preprocessing, of_shape
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback

_PARTS = {"test": ("test", "validation", "val", "valid"), "train": ("train",)}
_IMAGES = ("image", "img")
_LABELS = ("label", "labels", "fine_label")


@dataclass(frozen=True)
class HubPictures:
    """The rows of one part of a data set, none of them decoded; as `folder.Pictures`.

    Attributes:
        name: As asked for, with the part.
        rows: A `datasets.Dataset` whose images are files.
        column: The column of the images.
        labels: The number of each row's class.
        class_names: Of all classes.
        labelled: Whether the labels mean anything; when not, they are 0.
        places: Which rows.
    """

    name: str
    rows: Any
    column: str
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    labelled: bool
    places: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.places)

    def spread(self, limit: int) -> "HubPictures":
        """At most `limit` of them, evenly spaced."""
        count = min(limit, len(self))
        return replace(
            self, places=tuple(self.places[i * len(self) // count] for i in range(count))
        )

    def parts(self, size: int) -> Iterator["HubPictures"]:
        """Consecutive pieces of at most `size` pictures, for sets that do not fit in memory."""
        for start in range(0, len(self), size):
            yield replace(self, places=self.places[start : start + size])

    def read(
        self,
        like: Preprocessing | Sequence[int],
        progress: ProgressCallback | None = None,
        limits: Limits = LIMITS,
    ) -> tuple[ImageSet, tuple[SkippedFile, ...]]:
        """Decode all of them; see `folder.Pictures.read`."""
        how = like if isinstance(like, Preprocessing) else of_shape(like)
        ids = [f"{self.name}/{place:07d}" for place in self.places]
        labels = [self.labels[place] for place in self.places]

        def content(place: int) -> bytes:
            said = self.rows[self.places[place]][self.column]
            if said["bytes"] is None:
                return read_file(Path(said["path"]), limits)
            limits.check_bytes(len(said["bytes"]))
            return bytes(said["bytes"])

        return decode(
            self.name, ids, labels, self.class_names, content, how, progress, limits
        )  # fmt: skip


def list_hub(name: str, part: Literal["test", "train"] = "test") -> HubPictures:
    """The pictures of a data set of the hub, with its classes.

    Args:
        name: OWNER/NAME, OWNER/NAME:CONFIGURATION, or a folder in the hub's layout.
        part: "test" takes the split test, else validation, else the only one there is.

    Raises:
        InputError: If `datasets` is not installed, the text then names the extra; or there is no
            such data set, part, or column of images.
    """
    try:
        datasets = importlib.import_module("datasets")
    except ImportError as error:
        raise InputError("datasets is not installed; pip install 'intriguing[datasets]'") from error
    repository, _, configuration = name.partition(":")
    try:
        splits = datasets.get_dataset_split_names(repository, configuration or None)
        split = next((s for s in _PARTS[part] if s in splits), None)
        if split is None and len(splits) > 1:
            raise InputError(f"hf:{name} has the parts {', '.join(splits)}, and no {part}")
        rows = datasets.load_dataset(repository, configuration or None, split=split or splits[0])
    except InputError:
        raise
    except Exception as error:  # the hub, the network, a loader: each raises its own
        words = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"hf:{name} cannot be had: {words[0]}; check the name, and the network if it is not on "
            "this machine yet"
        ) from error
    kinds = {column: type(feature).__name__ for column, feature in rows.features.items()}
    images = [column for column, kind in kinds.items() if kind == "Image"]
    column = next((c for c in _IMAGES if c in images), images[0] if images else None)
    if column is None:
        raise InputError(f"hf:{name} has no column of images; it has {', '.join(kinds)}")
    labels, class_names, known = _labels(rows, kinds)
    files = rows.cast_column(column, datasets.Image(decode=False))
    title = f"{name}/{split or splits[0]}"
    return HubPictures(title, files, column, labels, class_names, known, tuple(range(len(rows))))


def _labels(rows: Any, kinds: dict[str, str]) -> tuple[tuple[int, ...], tuple[str, ...], bool]:
    """Labels, names of classes, and whether there are any."""
    named = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    column = next((c for c in _LABELS if c in kinds), named[0] if named else None)
    if column is None:
        return (0,) * len(rows), ("unlabelled",), False
    said = list(rows[column])
    if kinds[column] == "ClassLabel":
        if said and min(said) < 0:  # as test sets without labels have
            return (0,) * len(rows), ("unlabelled",), False
        return tuple(said), tuple(rows.features[column].names), True
    if said and all(isinstance(one, int) and one >= 0 for one in said):
        return tuple(said), tuple(map(str, range(max(said) + 1))), True
    order = sorted({str(one) for one in said})
    return tuple(order.index(str(one)) for one in said), tuple(order), True
