"""Files that are written whole or not at all, also when the process is killed or the disk fills."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intriguing.errors import InputError
from intriguing.written import note_written


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends well.

    Its content has reached the disk before the name changes, so `path` is always the old file or
    the new one, whole. A link at `path` is replaced, not followed. In a results folder the file is
    put on the folder's list first.

    Raises:
        InputError: If the disk is full; what was written before is kept.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        note_written(path)
        descriptor, name = tempfile.mkstemp(".writing", f".{path.name}.", path.parent)
        os.close(descriptor)
    except OSError as error:
        raise explained(error, path) from error
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise explained(error, path) from error
        raise


def write_whole(path: Path, content: bytes | str) -> None:
    """Write `content` (text as UTF-8) to `path`, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)


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
