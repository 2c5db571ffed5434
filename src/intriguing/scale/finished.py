"""Finished shards of an analysis on disk, read when they are asked for."""

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from intriguing.addresses import on_disk
from intriguing.errors import InputError
from intriguing.models.weights import read_tensors
from intriguing.scale.verified import LIST


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
        return [self.items(index) for index in range(-(-self.count // self.size))]

    def items(self, index: int) -> slice:
        """Which items one shard holds."""
        start = index * self.size
        return slice(start, min(start + self.size, self.count))

    def path(self, index: int) -> Path:
        """File of one shard."""
        return self.folder / f"{index:05}.safetensors"

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        return (read_tensors(self.path(index))[0] for index in range(len(self.slices)))

    def column(self, name: str) -> Tensor:
        """One tensor over all items."""
        parts = [_read_one(self.path(index), name) for index in range(len(self.slices))]
        return torch.cat(parts)

    def delete(self) -> None:
        """Of what is joined and kept elsewhere, nothing stays."""
        for index in range(len(self.slices)):
            self.path(index).unlink(missing_ok=True)
        (self.folder / LIST).unlink(missing_ok=True)
        for folder in (self.folder, self.folder.parent):
            with contextlib.suppress(OSError):  # there are others
                folder.rmdir()

    @property
    def wall_seconds(self) -> float:
        """Time the shards took, whichever process computed them."""
        return sum(_seconds(self.path(index)) for index in range(len(self.slices)))


@dataclass(frozen=True)
class Column:
    """One tensor over all items that stays on disk: rows are read when they are asked for."""

    shards: Shards
    name: str

    def __len__(self) -> int:
        return self.shards.count

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        """Some of the rows, in that order."""
        every = torch.arange(len(self))
        wanted = every[index].reshape(-1)
        which = wanted // self.shards.size
        parts: dict[int, Tensor] = {}
        for shard in sorted(set(which.tolist())):
            whole = _read_one(self.shards.path(shard), self.name)
            parts[shard] = whole[wanted[which == shard] - shard * self.shards.size]
        if not parts:
            return _read_one(self.shards.path(0), self.name)[:0]
        rows = torch.cat(list(parts.values()))[which.argsort(stable=True).argsort()]
        return rows[0] if isinstance(index, int) else rows


def usable(path: Path, key: str, rows: int | None) -> bool:
    """Whether the shard is whole, undamaged, and the one that would be computed now."""
    if not path.exists():
        return False
    try:
        columns, notes = read_tensors(path)
    except InputError:
        return False
    return (
        notes.get("key") == key
        and (rows is None or all(len(column) == rows for column in columns.values()))
        and notes.get("content") == digest_of(columns)
    )


def digest_of(columns: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for name, column in sorted(columns.items()):
        digest.update(str((name, column.dtype, tuple(column.shape))).encode())
        digest.update(column.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _read_one(path: Path, name: str) -> Tensor:
    """One tensor of a shard, without reading the others."""
    with safe_open(on_disk(path), framework="pt") as file:
        column: Tensor = file.get_tensor(name)
    return column


def _seconds(path: Path) -> float:
    with safe_open(on_disk(path), framework="pt") as file:
        return float(file.metadata()["wall_seconds"])
