"""A folder or a zip of pictures as an image set; files that are none are named and left out."""

import hashlib
import os
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import takewhile
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pyarrow as pa

from intriguing.data.dataset import ImageSet
from intriguing.data.decoding import SkippedFile, decode
from intriguing.data.labels import Labelled, by_csv, by_place, by_synset, synset_words
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.opened import read_file
from intriguing.data.preprocessing import Preprocessing, of_shape
from intriguing.data.streamed import Streamed, streamed
from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.measures import ProgressCallback
from intriguing.names import readable

ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm")
KINDS = ("folder", "zip", "imagenet")


@dataclass(frozen=True)
class Pictures:
    """The pictures of a folder or a zip, none of them decoded yet.

    Only names and labels are in memory, about 200 bytes a picture: of a million, `read` decodes
    as many at a time as fit.

    Attributes:
        path: The folder or the zip.
        names: Paths inside it, sorted, as `readable` writes them; they are the images' ids.
        labels: The number of each one's class.
        class_names: Of all classes, also of those that a part has no picture of.
        labelled: Whether the labels mean anything; when not, they are 0.
        left_out: Files that have no class although others do.
        inside: The folders of a zip that come before every name.
    """

    path: Path
    names: tuple[str, ...]
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    labelled: bool
    left_out: tuple[SkippedFile, ...]
    inside: str = ""

    def __len__(self) -> int:
        return len(self.names)

    def spread(self, limit: int) -> "Pictures":
        """At most `limit` of them, evenly spaced in the order of their names."""
        count = min(limit, len(self))
        places = [i * len(self) // count for i in range(count)]
        return self._at(places)

    def parts(self, size: int) -> Iterator["Pictures"]:
        """Consecutive pieces of at most `size` pictures, for sets that do not fit in memory."""
        for start in range(0, len(self), size):
            part = self._at(range(start, min(start + size, len(self))))
            yield replace(part, left_out=()) if start else part

    def read(
        self,
        like: Preprocessing | Sequence[int],
        progress: ProgressCallback | None = None,
        limits: Limits = LIMITS,
    ) -> tuple[ImageSet, tuple[SkippedFile, ...]]:
        """Decode all of them.

        Args:
            like: What the network takes, or the shape (channel, height, width) of one image.
            progress: Called after each picture.
            limits: What one picture may ask for; those that ask for more are left out.

        Returns:
            The images in [0, 1], and what was left out.

        Raises:
            InputError: If they do not fit in memory, or none can be read.
        """
        how = like if isinstance(like, Preprocessing) else of_shape(like)
        with _opened(self.path, limits) as (_, content):
            found, skipped = decode(
                self.path.name, self.names, self.labels, self.class_names,
                lambda place: content(self.inside + self.names[place]), how, progress, limits,
            )  # fmt: skip
        return found, (*self.left_out, *skipped)

    def streamed(self, like: Preprocessing | Sequence[int], limits: Limits = LIMITS) -> ImageSet:
        """The same set with pictures that are read when they are asked for; see `data.streamed`."""
        how = like if isinstance(like, Preprocessing) else of_shape(like)
        with _opened(self.path, limits) as (real, _):
            names = [real[self.inside + name] for name in self.names]
        files = FolderFiles if self.path.is_dir() else ZipFiles
        pixels = Streamed(
            files(self.path.absolute(), tuple(map(os.fsencode, names))), how,
            np.arange(len(names)), limits,
        )  # fmt: skip
        return streamed(
            self.path.name, pixels, np.array(self.labels, np.int64), self.names, self.class_names
        )

    def _at(self, places: Sequence[int]) -> "Pictures":
        names, labels = (self.names[i] for i in places), (self.labels[i] for i in places)
        return replace(self, names=tuple(names), labels=tuple(labels))


@dataclass(frozen=True)
class FolderFiles:
    """Files below a folder.

    Attributes:
        root: The folder.
        names: Below it, as the system has them.
    """

    root: Path
    names: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "names", pa.array(self.names, pa.binary()))

    def read(self, place: int, limits: Limits) -> bytes:
        """One file's content."""
        return read_file(self.root / os.fsdecode(self.names[place].as_py()), limits)

    @property
    def sources(self) -> tuple[Path, ...]:
        """The folder, or the zip."""
        return (self.root,)

    @cached_property
    def sha256(self) -> str:
        """Of the files' names, sizes and times."""
        digest = hashlib.sha256()
        for name in self.names:
            found = os.stat(self.root / os.fsdecode(name.as_py()))
            digest.update(name.as_py() + repr((found.st_size, found.st_mtime_ns)).encode())
        return digest.hexdigest()


@dataclass(frozen=True)
class ZipFiles(FolderFiles):
    """Files of a zip, whose list a process reads once."""

    def read(self, place: int, limits: Limits) -> bytes:
        """One file's content."""
        return _member(
            _archive(self.root, _version(self.root)), os.fsdecode(self.names[place].as_py()), limits
        )

    @cached_property
    def sha256(self) -> str:
        """Of the files' names and of the checksums in the zip's list."""
        digest, archive = hashlib.sha256(), _archive(self.root, _version(self.root))
        for name in self.names:
            found = archive.getinfo(os.fsdecode(name.as_py()))
            digest.update(name.as_py() + repr((found.file_size, found.CRC)).encode())
        return digest.hexdigest()


def _version(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=1)
def _archive(path: Path, version: tuple[int, int]) -> zipfile.ZipFile:
    """A zip that stays open, until there is another one in its place."""
    return zipfile.ZipFile(path)


__all__ = [
    "FolderFiles",
    "Pictures",
    "SkippedFile",
    "is_pictures",
    "list_pictures",
    "load_pictures",
]


def is_pictures(name: str) -> bool:
    """Whether this names a folder or a zip of pictures, rather than a data set.

    >>> is_pictures("folder:photos"), is_pictures("photos.zip"), is_pictures("mnist-5k")
    (True, True, False)
    """
    kind, colon, _ = name.partition(":")
    return (
        (bool(colon) and kind in KINDS)
        or name.endswith(".zip") or os.sep in name or "/" in name or Path(name).is_dir()
    )  # fmt: skip


def load_pictures(
    path: str | Path,
    shape: Preprocessing | Sequence[int],
    limit: int | None = None,
    progress: ProgressCallback | None = None,
    limits: Limits = LIMITS,
) -> tuple[ImageSet, tuple[SkippedFile, ...]]:
    """Pictures of a folder or a zip as a network takes them; see `list_pictures`.

    Args:
        path: As in `list_pictures`.
        shape: What the network takes, or (channel, height, width) of one image: then the middle of
            each, resized, with a margin as ImageNet's networks are tested; 1 channel makes gray.
        limit: How many pictures at most, evenly spaced in the order of their names.
        progress: Called after each picture.
        limits: What one picture may ask for; those that ask for more are left out.

    Returns:
        The images in [0, 1], with the path inside the folder as id; and what was left out.

    Raises:
        InputError: If there is no such folder, no picture in it, or too many for the memory.
    """
    how = shape if isinstance(shape, Preprocessing) else of_shape(shape)
    pictures = list_pictures(path, limits)
    return (pictures if limit is None else pictures.spread(limit)).read(how, progress, limits)


def list_pictures(source: str | Path, limits: Limits = LIMITS) -> Pictures:
    """The pictures of a folder or a zip with their classes; nothing is decoded.

    The class is the first subfolder (in a zip, of what all files have in common). Without
    subfolders it is what `labels.csv`, or the only CSV beside the pictures, says in its columns
    image and label; or the WordNet id that ImageNet's files begin with (`n01440764_tench.JPEG`);
    else there are no classes. A CSV counts more than subfolders.

    Args:
        source: `folder:PATH`, `zip:FILE`, or either without its prefix; or `imagenet:PATH`, a
            folder or zip of which every picture lies in the folder of its synset, and whose labels
            are ImageNet's 0 … 999 even if some classes are missing.
        limits: How many bytes the CSV may have.

    Raises:
        InputError: If there is no such folder or zip, or no picture in it.
    """
    kind, colon, rest = str(source).partition(":")
    kind, path = (kind, Path(rest)) if colon and kind in KINDS else ("", Path(source))
    if (kind == "folder" and path.is_file()) or (kind == "zip" and path.is_dir()):
        raise InputError(
            f"{path} is a {'file' if kind == 'folder' else 'folder'}; leave {kind}: out"
        )
    with _opened(path, limits) as (found, content):
        astray = [] if path.is_dir() else list(filter(_leads_out, found))
        everything = sorted(set(found) - set(astray))
        inside = "" if path.is_dir() else _shared(_pictures(everything))
        names = [name.removeprefix(inside) for name in _pictures(everything)]
        if not names:
            raise InputError(f"{path} has no pictures ({', '.join(ENDINGS[:3])} …); give another")
        table = _table(everything, inside, path) if kind != "imagenet" else None
        if kind == "imagenet":
            labelled = by_synset([inside + name for name in names], synset_words(path))
            cut = {name.removeprefix(inside): label for name, label in labelled.labels.items()}
            labelled = Labelled(cut, labelled.class_names, left_out=labelled.left_out)
        elif table is not None:
            labelled = by_csv(names, content(table), PurePosixPath(table).name)
        else:
            labelled = by_place(names)
    kept = tuple(name for name in names if name in labelled.labels)
    left_out = tuple(SkippedFile(name, reason) for name, reason in labelled.left_out)
    left_out += tuple(SkippedFile(name, "its name leads out of the zip") for name in astray)
    if not kept:
        raise InputError(f"{path}: none of {len(names)} pictures has a class; {left_out[0].reason}")
    labels = tuple(labelled.labels[name] for name in kept)
    return Pictures(path, kept, labels, labelled.class_names, labelled.known, left_out, inside)


@contextmanager
def _opened(path: Path, limits: Limits) -> Iterator[tuple[dict[str, str], Callable[[str], bytes]]]:
    """The plain files inside, by their sorted names as they are shown, and what reads one."""
    if path.is_dir():
        files = (file for file in path.rglob("*") if file.is_file())
        names = _shown(file.relative_to(path).as_posix() for file in files)
        yield names, lambda name: read_file(path / names[name], limits)
        return
    if not path.exists():
        raise InputError(f"there is no folder or zip {path}; give mnist, mnist-5k, digits, or one")
    check_regular(path, "give a folder or a zip of pictures")
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # of a damaged one, its reader raises what it likes
        raise InputError(f"{path} cannot be opened as a zip ({error}); give a folder") from error
    with archive:
        names = _shown(archive.namelist())
        yield names, lambda name: _member(archive, names[name], limits)


def _shown(names: Iterable[str]) -> dict[str, str]:
    """What each file is called, by how that is shown; no two are shown alike."""
    shown: dict[str, str] = {}
    for name in sorted(set(names)):
        text = readable(name)
        while text in shown:
            head, dot, ending = text.rpartition(".")
            text = f"{head}’{dot}{ending}"
        shown[text] = name
    return dict(sorted(shown.items()))


def _member(archive: zipfile.ZipFile, name: str, limits: Limits) -> bytes:
    """A file of a zip; never more of it is unpacked than it says, and that is looked at first."""
    limits.check_bytes(archive.getinfo(name).file_size)
    return archive.read(name)


def _leads_out(name: str) -> bool:
    """Whether unpacking the file would write beside the folder that it is unpacked into."""
    path = PurePosixPath(name.replace("\\", "/"))
    return path.is_absolute() or ".." in path.parts or ":" in "".join(path.parts[:1])


def _pictures(names: Sequence[str]) -> list[str]:
    return [name for name in names if name.lower().endswith(ENDINGS) and not _hidden(name)]


def _hidden(name: str) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts)


def _shared(names: Sequence[str]) -> str:
    """The folders that all names begin with, as in "photos/"."""
    folders = [name.split("/")[:-1] for name in names]
    pairs = zip(min(folders, default=[]), max(folders, default=[]), strict=False)
    return "".join(f"{one}/" for one, _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _table(everything: Sequence[str], inside: str, path: Path) -> str | None:
    """The CSV beside the pictures, if there is one."""
    tables = [
        name for name in everything
        if name.lower().endswith(".csv") and not _hidden(name)
        and str(PurePosixPath(name).parent) in (".", inside.rstrip("/"))
    ]  # fmt: skip
    named = [name for name in tables if PurePosixPath(name).name == "labels.csv"]
    if len(named or tables) > 1:
        raise InputError(f"{path} has {len(tables)} CSV files; call that of the labels labels.csv")
    return next(iter(named or tables), None)
