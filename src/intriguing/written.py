"""What a results folder's runs wrote in it: a list that names each file before it is made.

Only what the list names is ever deleted, so a file of somebody else's is safe in any folder, and
what a killed run left is known. The list is `.written` in the folder: a path in JSON a line; in a
store, an object a line.
"""

import contextlib
import json
import os
import re
import stat
import tempfile
from collections.abc import Iterable
from functools import cache
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote_to_bytes

from intriguing.addresses import Address, present
from intriguing.errors import InputError

LIST = ".written"
PARTS = ("run.json", "rows", "tensors", "models", "shards", "stages", "pictures", "report")
"""What a results folder consists of; nothing else in it is ours, whoever wrote it."""

_beside_others = False

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.\w{8}\.writing")


class _Lines:
    """The list on a disk: a file to which every process appends."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / LIST

    def begin(self) -> None:
        os.close(open_plain(self.file))

    def is_there(self) -> bool:
        try:
            found = self.file.lstat()
        except OSError:
            return False
        # Another name of the list elsewhere is a file that is not ours to write to.
        return stat.S_ISREG(found.st_mode) and found.st_nlink == 1

    def add(self, line: bytes) -> None:
        append_line(self.file, line)

    def lines(self) -> list[bytes]:
        return list(dict.fromkeys(self.file.read_bytes().splitlines()))

    def end(self) -> None:
        self.file.unlink()


class _Objects:
    """The list in a store, where nobody can append: an empty object a line, of the line's name."""

    def __init__(self, folder: Address) -> None:
        self.folder = folder / LIST

    def begin(self) -> None:
        _lists_in_stores.cache_clear()
        self.add(_BEGUN)

    def is_there(self) -> bool:
        return _lists_in_stores(self.folder / quote(_BEGUN, safe=""))

    def add(self, line: bytes) -> None:
        with tempfile.NamedTemporaryFile() as empty:
            (self.folder / quote(line, safe="")).put(Path(empty.name))

    def lines(self) -> list[bytes]:
        return [unquote_to_bytes(path.name) for path in self.folder.iterdir()]

    def end(self) -> None:
        for path in self.folder.iterdir():
            path.unlink()


_BEGUN = b"begun"
"""No name of a file, as it is no JSON."""


@cache
def _lists_in_stores(mark: Address) -> bool:
    """Asked for every file that is written, and the same as long as this process begins none."""
    return len(mark.parts) > 3 and mark.exists()


def _list(folder: Path) -> _Lines | _Objects:
    return _Objects(folder) if isinstance(folder, Address) else _Lines(folder)


def begin_list(folder: Path) -> None:
    """Start the list of a folder in which nothing has been written yet."""
    _list(folder).begin()


def has_list(folder: Path) -> bool:
    """Whether it is known what runs wrote in `folder`; earlier versions kept no list."""
    return _list(folder).is_there()


def note_written(path: Path) -> None:
    """Name a file that is about to be made in the list of the results folder around it, if any."""
    if present(path):
        return
    folder = next((parent for parent in path.parents if has_list(parent)), None)
    if folder is None or path.relative_to(folder).parts[0] not in PARTS:
        return
    _list(folder).add(json.dumps(path.relative_to(folder).as_posix()).encode())


def written(folder: Path) -> list[Path]:
    """The files that the list names; none where there is no list. A line that leads out is void."""
    if not has_list(folder):
        return []
    found = []
    for line in _list(folder).lines():
        with contextlib.suppress(ValueError, TypeError):  # a line that was cut short
            name = PurePosixPath(json.loads(line))
            if name.parts and name.parts[0] in PARTS and ".." not in name.parts:
                found.append(folder / name)
    return found


def delete_written(folder: Path) -> None:
    """Delete what the list names, and folders that are empty then; run.json before all else."""
    files = written(folder)
    parents = {p for file in files for p in file.parents if p.is_relative_to(folder)} - {folder}
    delete_stale(files)
    for file in sorted(files, key=lambda file: file != folder / "run.json"):
        if not file.is_dir() and not any(p.is_symlink() for p in parents & set(file.parents)):
            file.unlink(missing_ok=True)
    for parent in sorted(parents, key=lambda parent: -len(parent.parts)):
        with contextlib.suppress(OSError):  # somebody's files are there: they stay
            parent.rmdir()
    _list(folder).end()
    begin_list(folder)


def write_beside_others() -> None:
    """From now on this process is one of several that write to a folder."""
    global _beside_others
    _beside_others = True


def delete_stale(files: Iterable[Path]) -> None:
    """Delete what a process that was killed while it wrote these files left beside them.

    Not where others write beside this process: theirs look the same. A store holds none.
    """
    if _beside_others:
        return
    files = {file for file in files if not isinstance(file, Address)}
    for parent in {file.parent for file in files if file.parent.is_dir()}:
        for path in parent.iterdir():
            named = _TEMPORARY.fullmatch(path.name)
            if named and parent / named["name"] in files and not path.is_dir():
                path.unlink(missing_ok=True)


def refuse_links(folder: Path) -> None:
    """Refuse a folder of which a part is elsewhere.

    Raises:
        InputError: If a folder that is to be written to is a symbolic link.
    """
    for part in PARTS[1:] if not isinstance(folder, Address) else ():
        places = [folder / part]
        for parent, inner, _ in os.walk(folder / part):
            places += [Path(parent) / name for name in inner]
        for path in filter(Path.is_symlink, places):
            raise InputError(
                f"{path} is a symbolic link, and results are written only inside {folder}; put a "
                "folder in its place, or choose another --out"
            )


def append_line(file: Path, line: bytes, *, lasting: bool = True) -> None:
    """Add a line to a file of ours; where it is to be lasting, it is on the disk when this ends.

    Whatever is there is not read: with hundreds of thousands of lines that would be quadratic. So
    what is said twice stands there twice.
    """
    descriptor = open_plain(file, os.O_APPEND)
    try:
        size = os.fstat(descriptor).st_size
        whole = not size or os.pread(descriptor, 1, size - 1) == b"\n"
        # In one piece, as other processes append, too; and behind what was cut short.
        os.write(descriptor, (b"" if whole else b"\n") + line + b"\n")
        if lasting:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def open_plain(path: Path, flags: int = 0) -> int:
    """Open a file of ours to read and write, made if there is none, without changing it.

    Raises:
        InputError: If it is a link or no plain file.
    """
    # Not O_TRUNC, and not through a link: whatever is there keeps its content.
    flags |= os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        descriptor = os.open(path, flags, 0o666)
    except OSError as error:
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise InputError(f"{path} is no plain file; delete it") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise InputError(f"{path} is no plain file; delete it")
    return descriptor
