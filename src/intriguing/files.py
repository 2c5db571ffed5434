"""Files that are written whole or not at all, also when the process is killed or the disk fills."""

import errno
import json
import os
import stat
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from intriguing.addresses import Address
from intriguing.errors import InputError
from intriguing.written import note_written

JSON_BYTES = 1 << 28
"""Of one file that is read whole."""


_watched: ContextVar[list[Path] | None] = ContextVar("watched", default=None)


@contextmanager
def watch_written() -> Iterator[list[Path]]:
    """The files that `whole_file` completes until the block ends, in that order."""
    files: list[Path] = []
    token = _watched.set(files)
    try:
        yield files
    finally:
        _watched.reset(token)


def note_made(files: Iterable[Path]) -> None:
    """Files that other processes completed for this one, as if it had done so itself."""
    if (watched := _watched.get()) is not None:
        watched.extend(files)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    Its content has reached the disk before the name changes, so `path` is always the old file or
    the new one, whole. A link at `path` is replaced, not followed. In a results folder the file is
    put on the folder's list first. At an address, an object is put in the end.

    Raises:
        InputError: If the disk is full, or a store refuses; what was written before is kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        note_written(path)
        beside = None if isinstance(path, Address) else path.parent
        descriptor, name = tempfile.mkstemp(".writing", f".{path.name}.", beside)
        os.close(descriptor)
    except OSError as error:
        raise explained(error, path) from error
    temporary = Path(name)
    try:
        yield temporary
        if isinstance(path, Address):
            path.put(temporary)
            temporary.unlink()
        else:
            _take_place(temporary, path)
        if (watched := _watched.get()) is not None:
            watched.append(path)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise


def _take_place(temporary: Path, path: Path) -> None:
    """Make the temporary file the file, now and after a failure of the system."""
    with temporary.open("rb") as file:
        os.fsync(file.fileno())
    os.chmod(temporary, 0o666 & ~_umask())
    os.replace(temporary, path)
    _sync_folder(path.parent)


def check_regular(path: Path, remedy: str, limit: int | None = None) -> int:
    """How many bytes a file has that can be read to its end: no folder, pipe, socket or device.

    Opening a pipe that nobody writes to waits for ever, and a device may have no end; so whatever
    a user or a folder names is looked at before it is opened.

    Args:
        path: The file, or a link to it.
        remedy: What to do if it is not there, or is none.
        limit: Bytes at most.

    Raises:
        InputError: If there is no such file, or it is something else, or larger.
    """
    try:
        found = path.stat()
    except (OSError, ValueError) as error:  # ValueError: a name with a NUL
        missing = isinstance(error, (FileNotFoundError, NotADirectoryError))
        said = f"there is no file {path}" if missing else f"{path} cannot be read ({error})"
        raise InputError(f"{said}; {remedy}") from error
    if not stat.S_ISREG(found.st_mode):
        kind = next((word for is_, word in _KINDS if is_(found.st_mode)), "something else")
        raise InputError(f"{path} is no file but {kind}; {remedy}")
    if limit is not None and found.st_size > limit:
        raise InputError(f"{path} has {found.st_size:,} bytes, more than {limit:,}; {remedy}")
    return found.st_size


_KINDS = (
    (stat.S_ISDIR, "a folder"), (stat.S_ISFIFO, "a pipe"), (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
)  # fmt: skip


def read_json(path: Path, remedy: str, limit: int = JSON_BYTES) -> Any:
    """What a file of JSON says.

    Args:
        path: The file, UTF-8.
        remedy: What to do if it is not there, or is none.
        limit: Bytes at most; what parses it takes ten times as many.

    Raises:
        InputError: If there is no such file, or it holds something else, or nests too deep.
    """
    check_regular(path, remedy, limit)
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} is damaged ({error}); {remedy}") from error


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, whole or not at all.

    What UTF-8 cannot say, half a surrogate pair as in names of files that are no UTF-8, is written
    with a backslash: in JSON it is read back as it was.
    """
    encoded = content.encode(errors="backslashreplace") if isinstance(content, str) else content
    with whole_file(path) as temporary:
        temporary.write_bytes(encoded)


def settled(content: bytes) -> bytes:
    """A safetensors file with its metadata in alphabetical order.

    The library leaves their order to chance, and the same weights would have another digest.
    """
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    words = dict(sorted(header.pop("__metadata__", {}).items()))
    header = {"__metadata__": words, **header} if words else header
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def explained(error: OSError, path: Path) -> Exception:
    """What went wrong with the file in the caller's words, with the fix; or the error itself."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return InputError(
            f"the disk of {path} is full; free some space and run the same command again: what "
            "is finished is kept"
        )
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return InputError(f"cannot write {path} ({error.strerror}); choose another --out")
    if error.errno in (errno.ENOTDIR, errno.EEXIST):
        return InputError(f"{path} lies under a file, not a folder; choose another --out")
    return error


def _umask() -> int:
    """The permissions a plain open() would withhold; mkstemp withholds more."""
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    """Make the new name last, where the system can sync a folder."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
