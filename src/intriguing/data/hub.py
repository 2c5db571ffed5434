"""Data sets of images from Hugging Face's hub, or folders of its layout, decoded on demand."""

import hashlib
import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from intriguing.data.dataset import ImageSet
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.opened import read_file
from intriguing.data.preprocessing import Preprocessing
from intriguing.data.streamed import Ids, Streamed, streamed
from intriguing.errors import InputError

_PARTS = {"test": ("test", "validation", "val", "valid"), "train": ("train",)}
_IMAGES = ("image", "img")
_LABELS = ("label", "labels", "fine_label")


@dataclass(frozen=True)
class HubFiles:
    """Rows of a data set, which stay in the files that `datasets` keeps them in.

    Attributes:
        rows: A `datasets.Dataset` of nothing but files of pictures; it travels as names of files.
        column: What they are called there.
    """

    rows: Any
    column: str

    def read(self, place: int, limits: Limits) -> bytes:
        """One row's file."""
        said = self.rows[place][self.column]
        if said["bytes"] is None:
            return read_file(Path(said["path"]), limits)
        limits.check_bytes(len(said["bytes"]))
        return bytes(said["bytes"])

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that the rows are in."""
        return tuple(Path(one["filename"]) for one in self.rows.cache_files)

    @cached_property
    def sha256(self) -> str:
        """Of the sizes and times of these files; where there are none, of the pictures."""
        digest = hashlib.sha256(self.column.encode())
        for path in self.sources:
            found = path.stat()
            digest.update(repr((found.st_size, found.st_mtime_ns)).encode())
        if not self.sources:
            for place in range(len(self.rows)):
                digest.update(repr(self.rows[place][self.column]).encode())
        return digest.hexdigest()


def list_hub(
    name: str, part: Literal["test", "train"], how: Preprocessing, limits: Limits = LIMITS
) -> tuple[ImageSet, bool]:
    """The pictures of a data set of the hub, none of them decoded; and whether they have classes.

    Args:
        name: OWNER/NAME, OWNER/NAME:CONFIGURATION, or a folder in the hub's layout.
        part: "test" takes the split test, else validation, else the only one there is.
        how: Makes pixels of them.
        limits: What a picture may ask for.

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
    if not len(rows):
        raise InputError(f"hf:{name} has no pictures; give another")
    labels, class_names, known = _labels(rows, kinds)
    files = rows.select_columns([column]).cast_column(column, datasets.Image(decode=False))
    title = f"{name}/{split or splits[0]}"
    numbers = pc.utf8_lpad(pa.array(np.arange(len(rows))).cast(pa.string()), 7, "0")
    ids = Ids.of([pc.binary_join_element_wise(title, numbers, "/")])
    pixels = Streamed(HubFiles(files, column), how, np.arange(len(rows)), limits)
    return streamed(title, pixels, labels, ids, class_names), known


def _labels(rows: Any, kinds: Mapping[str, str]) -> tuple[np.ndarray, tuple[str, ...], bool]:
    """Labels, names of classes, and whether there are any."""
    nothing = np.zeros(len(rows), np.int64), ("unlabelled",), False
    named = [column for column, kind in kinds.items() if kind == "ClassLabel"]
    column = next((c for c in _LABELS if c in kinds), named[0] if named else None)
    if column is None:
        return nothing
    said = rows.select_columns([column]).with_format("arrow")[:].column(0)
    if pa.types.is_integer(said.type) and not said.null_count:
        labels = said.to_numpy().astype(np.int64)
        if kinds[column] == "ClassLabel":
            if labels.min() < 0:  # as test sets without labels have
                return nothing
            return labels, tuple(rows.features[column].names), True
        if labels.min() >= 0:
            return labels, tuple(map(str, range(int(labels.max()) + 1))), True
    words = pc.fill_null(said.cast(pa.string()), "None")
    names, ranks = np.unique(np.array(words.to_pylist(), str), return_inverse=True)
    return ranks.astype(np.int64), tuple(names.tolist()), True
