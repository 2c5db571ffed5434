"""Pictures in large files: WebDataset's tars, and Parquet with a column of images."""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from glob import glob
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from intriguing.data.dataset import ImageSet
from intriguing.data.folder import ENDINGS
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.preprocessing import Preprocessing
from intriguing.data.streamed import PIECE, Files, Ids, Streamed, streamed
from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.names import readable

_IMAGES = ("image", "img", "jpg", "png", "picture")
_LABELS = ("label", "labels", "cls", "fine_label", "class")
_NAMES = ("id", "image_id", "__key__", "name", "path")
_LABEL_BYTES = 1 << 16
"""Of a file in a tar that says a class."""


def is_packed(source: str) -> bool:
    """Whether this names tars or Parquet files.

    >>> is_packed("shards/*.tar"), is_packed("parquet:rows"), is_packed("photos.zip")
    (True, True, False)
    """
    return source.startswith(("tar:", "parquet:")) or source.endswith((".tar", ".parquet"))


def list_packed(source: str, how: Preprocessing, limits: Limits = LIMITS) -> tuple[ImageSet, bool]:
    """The pictures of tars or Parquet files, none of them decoded; and whether they have classes.

    Args:
        source: A file, a pattern such as `shards/*.tar`, or `tar:FOLDER` and `parquet:FOLDER`. In a
            tar, as WebDataset has it, files of one name are one example: the picture, and its class
            as a number in NAME.cls or as "label" or "cls" in NAME.json. In Parquet an image is a
            file's bytes, or a struct with "bytes" as the hub has it.
        how: Makes pixels of them.
        limits: What a picture may ask for.

    Raises:
        InputError: If there are no such files, or no picture in them.
    """
    kind, colon, rest = source.partition(":")
    given = rest if colon and kind in ("tar", "parquet") else source
    ending = kind if colon and kind in ("tar", "parquet") else Path(source).suffix[1:]
    paths = _paths(given, ending)
    files, names, said, classes = (_tars if ending == "tar" else _parquet)(paths)
    if not len(names):
        raise InputError(f"{source} has no pictures; give another")
    known = said is not None
    labels = np.zeros(len(names), np.int64) if said is None else said
    if classes is None:
        classes = tuple(map(str, range(int(labels.max()) + 1))) if known else ("unlabelled",)
    pixels = Streamed(files, how, np.arange(len(names), dtype=np.int32), limits)
    return streamed(Path(given).name, pixels, labels, names, classes), known


def _paths(given: str, ending: str) -> tuple[Path, ...]:
    path = Path(given)
    found = sorted(path.glob(f"*.{ending}")) if path.is_dir() else sorted(map(Path, glob(given)))
    if not found:
        raise InputError(f"there is no {ending} file {given}; give one, a pattern, or a folder")
    for one in found:
        check_regular(one, f"give {ending} files")
    return tuple(one.absolute() for one in found)


def _digest(paths: Sequence[Path], *more: np.ndarray) -> str:
    stats = [path.stat() for path in paths]
    digest = hashlib.sha256(repr([(s.st_size, s.st_mtime_ns) for s in stats]).encode())
    for array in more:
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


@dataclass(frozen=True)
class TarFiles:
    """Members of tars, by where they begin."""

    paths: tuple[Path, ...]
    which: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray

    def read(self, place: int, limits: Limits) -> bytes:
        """One member's content."""
        limits.check_bytes(int(self.sizes[place]))
        with self.paths[self.which[place]].open("rb") as file:
            file.seek(int(self.offsets[place]))
            content: bytes = file.read(int(self.sizes[place]))
            return content

    @property
    def sources(self) -> tuple[Path, ...]:
        """The tars."""
        return self.paths

    @cached_property
    def sha256(self) -> str:
        """Of the tars' sizes and times, and of the members' places."""
        return _digest(self.paths, self.which, self.offsets, self.sizes)


def _tars(paths: tuple[Path, ...]) -> tuple[Files, Ids, np.ndarray | None, None]:
    names, which, offsets, sizes = [], [], [], []
    labels: list[int | None] = []
    for number, path in enumerate(paths):
        try:
            with tarfile.open(path, "r:") as archive:
                for key, member, label in _examples(archive):
                    names.append(readable(f"{path.name}/{key}"))
                    which.append(number)
                    offsets.append(member.offset_data)
                    sizes.append(member.size)
                    labels.append(label)
        except (tarfile.TarError, OSError, EOFError) as error:
            raise InputError(f"{path} cannot be read as a tar ({error}); give another") from error
    known = [label is not None for label in labels]
    if any(known) and not all(known):
        raise InputError(
            f"{known.count(False)} pictures of {paths[0].parent} have no class although others do, "
            f"for instance {names[known.index(False)]}; give each a .cls, or none"
        )
    said = np.array(labels, np.int64) if names and all(known) else None
    places = (np.array(which, np.int32), np.array(offsets, np.int64), np.array(sizes, np.int64))
    return TarFiles(paths, *places), Ids(names), said, None


def _examples(archive: tarfile.TarFile) -> Iterator[tuple[str, tarfile.TarInfo, int | None]]:
    """Pictures with their classes; files of an example are neighbours, as WebDataset has it."""
    key, picture, label = "", None, None
    for member in archive:
        archive.members = []  # type: ignore[attr-defined]  # else it keeps all of them
        if not member.isfile():
            continue
        folder, name = PurePosixPath(member.name).parent, PurePosixPath(member.name).name
        stem, _, ending = name.partition(".")
        own = (folder / stem).as_posix()
        if own != key:
            if picture is not None:
                yield key, picture, label
            key, picture, label = own, None, None
        if f".{ending.lower()}" in ENDINGS:
            picture = member
        elif ending in ("cls", "json") and member.size <= _LABEL_BYTES:
            opened = archive.extractfile(member)
            label = _label(opened.read() if opened else b"", ending, label)
    if picture is not None:
        yield key, picture, label


def _label(content: bytes, ending: str, before: int | None) -> int | None:
    try:
        said: Any = json.loads(content)
    except (ValueError, RecursionError):
        return before
    if ending == "json":
        said = next((said[n] for n in ("label", "cls") if n in said), None) if isinstance(
            said, dict
        ) else None  # fmt: skip
    return said if isinstance(said, int) and said >= 0 else before


@dataclass(frozen=True)
class ParquetFiles:
    """Rows of Parquet files, a group of rows in memory at a time.

    Attributes:
        paths: Of the files.
        column: Of the images.
        starts: The number of the first row of each group of rows.
        groups: The file and the group in it.
    """

    paths: tuple[Path, ...]
    column: str
    starts: np.ndarray
    groups: tuple[tuple[int, int], ...]

    def read(self, place: int, limits: Limits) -> bytes:
        """One row's file."""
        group = int(np.searchsorted(self.starts, place, "right")) - 1
        number, own = self.groups[group]
        rows = _group(self.paths[number], self.paths[number].stat().st_mtime_ns, own, self.column)
        said = rows[place - int(self.starts[group])].as_py()
        content = said["bytes"] if isinstance(said, dict) else said
        limits.check_bytes(len(content))
        return bytes(content)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files."""
        return self.paths

    @cached_property
    def sha256(self) -> str:
        """Of the files' sizes and times."""
        return _digest(self.paths, self.starts)


@lru_cache(maxsize=1)
def _group(path: Path, version: int, group: int, column: str) -> Any:
    """A group of rows, until there is another file in the place of its own."""
    with pq.ParquetFile(path) as file:
        return file.read_row_group(group, [column]).column(0)


def _parquet(
    paths: tuple[Path, ...],
) -> tuple[Files, Ids, np.ndarray | None, tuple[str, ...] | None]:
    starts, groups, total = [], [], 0
    said, names = [], []
    schema: Any = None
    for number, path in enumerate(paths):
        try:
            with pq.ParquetFile(path, pre_buffer=False) as file:
                schema = schema or file.schema_arrow
                column = _column(schema, path)
                label = next((n for n in _LABELS if n in file.schema_arrow.names), None)
                name = next((n for n in _NAMES if n in file.schema_arrow.names), None)
                rows = file.metadata.num_rows
                for group in range(file.metadata.num_row_groups):
                    starts.append(total)
                    groups.append((number, group))
                    total += file.metadata.row_group(group).num_rows
                if label is not None:
                    said.append(_whole(_pieces(file, label)))
                named = _pieces(file, name) if name is not None else []
        except (pa.ArrowException, OSError, KeyError) as error:
            words = str(error).partition("\n")[0]
            raise InputError(f"{path} cannot be read as Parquet ({words}); give another") from error
        if named and all(_is_text(one.type) and not one.null_count for one in named):
            names += named
        else:
            numbers = pc.utf8_lpad(pa.array(np.arange(rows)).cast(pa.string()), 7, "0")
            names.append(pc.binary_join_element_wise(f"{path.name}/", numbers, ""))
    labels, classes = _classes(said, schema, total, paths[0])
    files = ParquetFiles(paths, column, np.array(starts, np.int64), tuple(groups))
    return files, Ids.of(names), labels, classes


def _pieces(file: Any, column: str) -> list[Any]:
    """A column in pieces, decoded one by one: a whole one takes twice its memory."""
    batches = file.iter_batches(PIECE, columns=[column], use_threads=False)
    return [batch.column(0) for batch in batches]


def _whole(pieces: list[Any]) -> Any:
    """Integers in an array of numpy's, of which nothing is kept that they were decoded to."""
    whole = pa.chunked_array(pieces)
    if pa.types.is_integer(whole.type) and not whole.null_count:
        return np.require(whole.to_numpy(), np.int64, "W")
    return whole.combine_chunks()


def _is_text(kind: Any) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


def _column(schema: Any, path: Path) -> str:
    """The column of images."""

    def holds(kind: Any) -> bool:
        if pa.types.is_struct(kind):
            return any(kind.field(i).name == "bytes" for i in range(kind.num_fields))
        return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))

    fit = [field.name for field in schema if holds(field.type)]
    if not fit:
        raise InputError(
            f"{path} has no column of images (bytes, or a struct with bytes); it has "
            f"{', '.join(schema.names)}"
        )
    return next((name for name in _IMAGES if name in fit), fit[0])


def _classes(
    said: list[Any], schema: Any, total: int, path: Path
) -> tuple[np.ndarray | None, tuple[str, ...] | None]:
    """Labels, and the names of classes where anything says them."""
    if sum(map(len, said)) != total or not total:
        return None, None
    if all(isinstance(part, np.ndarray) for part in said):
        labels = said[0] if len(said) == 1 else np.concatenate(said)
        if labels.min() < 0:  # as test sets without labels have
            return None, None
        return labels, _named(schema, int(labels.max()) + 1)
    whole = pa.concat_arrays([pa.array(part) for part in said])
    if whole.null_count:
        raise InputError(
            f"{whole.null_count} rows of {path.parent} have no label; give all or none"
        )
    words = whole.cast(pa.string()).dictionary_encode()
    names, ranks = np.unique(np.array(words.dictionary.to_pylist(), str), return_inverse=True)
    return ranks[words.indices.to_numpy()].astype(np.int64), tuple(names.tolist())


def _named(schema: Any, count: int) -> tuple[str, ...] | None:
    """The hub's names of the classes."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        names = next(f["names"] for n, f in features.items() if n in _LABELS and "names" in f)
        return tuple(map(str, names)) if len(names) >= count else None
    except (KeyError, ValueError, TypeError, StopIteration):
        return None
