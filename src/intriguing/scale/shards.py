"""An analysis over many items in shards of fixed size, each written whole once it is done.

A shard's boundaries depend only on the number of items and the shard size, and a shard is used
again only when it is whole and was computed from the same things; so what comes out is the same
whether the process was interrupted or not.
"""

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from intriguing.errors import InputError
from intriguing.files import note_made
from intriguing.keys import derive_key
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.weights import read_tensors, write_tensors
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.jobs import Told, ended_jobs
from intriguing.written import delete_stale

Columns = Mapping[str, Tensor]
"""Tensors whose first dimension is the items."""


@dataclass(frozen=True)
class Shards:
    """The finished shards of one analysis, read from disk when they are asked for.

    Attributes:
        folder: Where they are.
        count: Number of items.
        size: Items in a shard; the last one may have fewer.
    """

    folder: Path
    count: int
    size: int

    @property
    def slices(self) -> list[slice]:
        """Which items each shard holds."""
        starts = range(0, self.count, self.size)
        return [slice(start, min(start + self.size, self.count)) for start in starts]

    def path(self, index: int) -> Path:
        """File of one shard."""
        return self.folder / f"{index:05}.safetensors"

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (read_tensors(self.path(index))[0] for index in range(len(self.slices)))

    def column(self, name: str) -> Tensor:
        """One tensor over all items."""
        parts = [_read_one(self.path(index), name) for index in range(len(self.slices))]
        return torch.cat(parts)

    @property
    def wall_seconds(self) -> float:
        """Time the shards took, whichever process computed them."""
        return sum(_seconds(self.path(index)) for index in range(len(self.slices)))


def run_in_shards(
    compute: Callable[[slice, Callable[[int], None]], Columns],
    count: int,
    size: int,
    folder: Path,
    key: str,
    *,
    engine: Engine = HERE,
    gpu: bool = False,
    stage: str = "shards",
    progress: ProgressCallback | None = None,
) -> Shards:
    """Compute every shard that is not on disk already.

    Args:
        compute: Given a slice of the items, and a function to call with how many of them are done,
            returns tensors with one row an item. It travels to other processes pickled.
        count: Number of items.
        size: Items in a shard.
        folder: Where the shards go; it should serve one analysis.
        key: By `derive_key`, of everything that `compute` is given.  It is written into each
            shard, and a shard with another one is computed again.
        engine: Who computes; the shards are the same.
        gpu: Whether `compute` needs a GPU.
        stage: How progress calls this.
        progress: Called with the number of finished items.
    """
    if size < 1:
        raise InputError(f"a shard of {size} items is empty; give 1 or more")
    shards = Shards(folder, count, size)
    delete_stale(shards.path(index) for index in range(len(shards.slices)))
    work = _ShardWork(compute, shards, key)
    items = {index: part.stop - part.start for index, part in enumerate(shards.slices)}
    done, total = dict.fromkeys(items, 0), 0

    def told(index: int, share: float) -> None:
        nonlocal total
        before, done[index] = done[index], round(share * items[index])
        total += done[index] - before
        if progress is not None:
            progress(Progress(stage, total, count))

    todo = []
    for index in items:
        if work.is_done(index):
            told(index, 1.0)
        else:
            todo.append(index)
    for end in ended_jobs(work, todo, engine, gpu=gpu, told=lambda i, share: told(todo[i], share)):
        if end.failure is not None:
            raise end.failure.error()
        told(todo[end.index], 1.0)
    if not engine.here:
        note_made(shards.path(index) for index in todo)
    return shards


@dataclass(frozen=True)
class _ShardWork:
    """What computes and writes a shard, in whatever process."""

    compute: Callable[[slice, Callable[[int], None]], Columns]
    shards: Shards
    key: str

    def __call__(self, index: int, told: Told) -> None:
        items = self.shards.slices[index]
        start = time.perf_counter()
        columns = self.compute(items, lambda done: told(done / (items.stop - items.start)))
        seconds = time.perf_counter() - start
        notes = {
            "key": self._key(items), "content": _digest(columns), "wall_seconds": repr(seconds)
        }  # fmt: skip
        write_tensors(self.shards.path(index), columns, notes)

    def is_done(self, index: int) -> bool:
        """Whether the shard is on disk."""
        items = self.shards.slices[index]
        return _usable(self.shards.path(index), self._key(items), items.stop - items.start)

    def _key(self, items: slice) -> str:
        return derive_key(self.key, items.start, items.stop, self.shards.count)


def _usable(path: Path, key: str, rows: int) -> bool:
    """Whether the shard is whole, undamaged, and the one that would be computed now."""
    if not path.exists():
        return False
    try:
        columns, notes = read_tensors(path)
    except InputError:
        return False
    return (
        notes.get("key") == key
        and all(len(column) == rows for column in columns.values())
        and notes.get("content") == _digest(columns)
    )


def _digest(columns: Columns) -> str:
    digest = hashlib.sha256()
    for name, column in sorted(columns.items()):
        digest.update(str((name, column.dtype, tuple(column.shape))).encode())
        digest.update(column.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_one(path: Path, name: str) -> Tensor:
    """One tensor of a shard, without reading the others."""
    with safe_open(path, framework="pt") as file:
        column: Tensor = file.get_tensor(name)
    return column


def _seconds(path: Path) -> float:
    with safe_open(path, framework="pt") as file:
        return float(file.metadata()["wall_seconds"])
