"""Which shards of a folder were found whole: so that the same command again need not read them."""

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from intriguing.addresses import Address
from intriguing.files import write_whole
from intriguing.written import append_line, note_written

LIST = "verified"
_TICK = 20_000_000
"""Nanoseconds: more than two steps of any such clock."""


class Verified:
    """A list of shards with their keys, sizes and times, to which lines are appended.

    As git knows of a file that it is what it was: a shard of which any of these differs is read.
    An object store has no such times, and nobody can append: there every shard is read. So are
    those that are hardly older than the list, as the clock of a file system stands still for
    milliseconds.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / LIST
        self._known: dict[str, str] = {}
        self._before, lines = 0, []
        if not isinstance(folder, Address):
            with contextlib.suppress(OSError, UnicodeDecodeError):
                lines = self.file.read_text().splitlines()
                self._before = self.file.stat().st_mtime_ns - _TICK
        for line in lines:
            name, _, said = line.partition(" ")
            self._known[name] = said

    def holds(self, path: Path, key: str) -> bool:
        """Whether the file is the one that was found whole under this key."""
        known = self._known.get(path.name)
        state = None if known is None else _state(path, key)
        return state is not None and state == known and path.stat().st_mtime_ns < self._before

    def add(self, path: Path, key: str) -> None:
        """It was found whole just now, or made."""
        said = _state(path, key)
        if isinstance(path, Address) or said is None or self._known.get(path.name) == said:
            return
        self._known[path.name] = said
        note_written(self.file)
        append_line(self.file, f"{path.name} {said}".encode(), lasting=False)  # else it is read

    def settle(self, paths: Iterable[Path]) -> None:
        """In the end a line a shard, in their order, whatever happened on the way."""
        names = [path.name for path in paths if path.name in self._known]
        content = "".join(f"{name} {self._known[name]}\n" for name in names)
        if self._known and (not self.file.exists() or self.file.read_text() != content):
            write_whole(self.file, content)


def _state(path: Path, key: str) -> str | None:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    return f"{key} {found.st_size} {found.st_mtime_ns}"
