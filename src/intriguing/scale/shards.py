"""An analysis over many items in shards of fixed size, each written whole once it is done.

A shard's boundaries depend only on the number of items and the shard size, and a shard is used
again only when it is whole and was computed from the same things; so what comes out is the same
whether the process was interrupted or not.
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.files import note_made
from intriguing.keys import derive_key
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.weights import write_tensors
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.failure import Failure
from intriguing.scale.finished import Shards, digest_of, usable
from intriguing.scale.jobs import DEATHS, ended_jobs
from intriguing.scale.staff import Told
from intriguing.scale.verified import Verified
from intriguing.threads import one_thread
from intriguing.written import delete_stale

Columns: TypeAlias = Mapping[str, Tensor]
"""Tensors whose first dimension is the items."""
Part: TypeAlias = Callable[[slice, Callable[[int], None]], Columns]
"""Given some of the items, and a function to call with how many of them are done."""


def run_in_shards(
    compute: Part,
    count: int,
    size: int,
    folder: Path,
    key: str,
    *,
    engine: Engine = HERE,
    gpu: bool = False,
    given_up: Callable[[slice], Columns] | None = None,
    stage: str = "shards",
    progress: ProgressCallback | None = None,
    summed: bool = False,
    alike: bool = True,
    each: Callable[[], float | None] | None = None,
    depth: int = 0,
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
        given_up: What stands in the place of items that cannot be computed: a shard that fails is
            cut into ever smaller ones until these are alone. Without it a failure is raised.
        stage: How progress calls this.
        progress: Called with the number of finished items, of none first.
        summed: Whether what `compute` returns is of its items together, and has rows of its own.
        alike: Whether shards cost about the same, as `ended_jobs` takes it.
        each: Tells the seconds that an item is thought to take; asked where workers compute.
        depth: How often what is computed here was cut already.

    Raises:
        Exception: As `compute`, where it is not about single items: of the disk, a refuted bound,
            or where each of a shard's pieces fails.
    """
    if size < 1:
        raise InputError(f"a shard of {size} items is empty; give 1 or more")
    shards = Shards(folder, count, size)
    delete_stale(shards.path(index) for index in range(len(shards.slices)))
    work, verified = _ShardWork(compute, shards, key, summed), Verified(folder)
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
        path, own = shards.path(index), work.key_of(index)
        if verified.holds(path, own) or work.is_done(index):
            verified.add(path, own)
            told(index, 1.0)
        else:
            todo.append(index)
    if todo and progress is not None:
        progress(Progress(stage, total, count))
    failed: dict[int, Failure] = {}
    item = _thought(each) if todo and not engine.here else None
    ends = ended_jobs(
        work, todo, engine, gpu=gpu, alike=alike,
        seconds=[] if item is None else [item * items[index] for index in todo],
        deaths=2 if depth else DEATHS,  # a piece is suspected already
        told=lambda i, share: told(todo[i], share),
    )  # fmt: skip
    for end in ends:
        index = todo[end.index]
        if end.failure is None:
            verified.add(shards.path(index), work.key_of(index))
            told(index, 1.0)
            continue
        failed[index] = end.failure
        all_of_them = len(failed) == len(items) and (depth == 1 or count == 1)
        if given_up is None or end.failure.ends_all or all_of_them:
            raise end.failure.error()
    for index in failed:
        assert given_up is not None
        how = partial(
            run_in_shards, engine=_sooner(engine), gpu=gpu, alike=alike, each=lambda: item,
            depth=depth + 1,
        )  # fmt: skip
        work.write(index, partial(_rescued, work, index, given_up, how))
        verified.add(shards.path(index), work.key_of(index))
        told(index, 1.0)
    verified.settle(map(shards.path, items))
    if not engine.here:
        note_made(shards.path(index) for index in todo if index not in failed)
    return shards


@dataclass(frozen=True)
class _ShardWork:
    """What computes and writes a shard, in whatever process."""

    compute: Part
    shards: Shards
    key: str
    summed: bool

    def __call__(self, index: int, told: Told) -> None:
        items = self.shards.items(index)
        self.write(index, lambda: self.compute(items, _counted(items, told)))

    def write(self, index: int, made: Callable[[], Columns]) -> None:
        """Compute a shard, and put it on disk with its key and how long it took."""
        start = time.perf_counter()
        columns = made()
        seconds = time.perf_counter() - start
        notes = {
            "key": self.key_of(index), "content": digest_of(columns),
            "wall_seconds": repr(seconds),
        }  # fmt: skip
        write_tensors(self.shards.path(index), columns, notes)

    def is_done(self, index: int) -> bool:
        """Whether the shard is on disk."""
        items = self.shards.items(index)
        rows = None if self.summed else items.stop - items.start
        return usable(self.shards.path(index), self.key_of(index), rows)

    def key_of(self, index: int) -> str:
        """Of one shard."""
        items = self.shards.items(index)
        return derive_key(self.key, items.start, items.stop, self.shards.count)


def _rescued(
    work: _ShardWork, index: int, given_up: Callable[[slice], Columns], how: Callable[..., Shards]
) -> Columns:
    """A shard that failed, from smaller ones: all items but those that fail alone.

    How a shard is cut changes nothing, as no item's columns depend on the others.
    """
    items = work.shards.items(index)
    count = items.stop - items.start
    if count == 1:
        return given_up(items)
    folder = work.shards.path(index).with_suffix("")

    def compute(some: slice, report: Callable[[int], None]) -> Columns:
        return work.compute(slice(items.start + some.start, items.start + some.stop), report)

    pieces = how(
        compute, count, -(-count // _PIECES), folder, derive_key(work.key, items.start, items.stop),
        given_up=lambda some: given_up(slice(items.start + some.start, items.start + some.stop)),
    )  # fmt: skip
    columns = [dict(piece) for piece in pieces]
    pieces.delete()
    return {name: torch.cat([one[name] for one in columns]) for name in columns[0]}


_PIECES = 8
"""Of a shard that failed: one of 2,000 items is cut four times."""


def _thought(each: Callable[[], float | None] | None) -> float | None:
    """What it tells, with one thread as a worker has; nothing where that fails: the work will."""
    try:
        with one_thread():
            return None if each is None else each()
    except Exception:
        return None


def _sooner(engine: Engine) -> Engine:
    """With half the time for a piece that is an eighth."""
    minutes = engine.job_minutes
    return engine if minutes is None else replace(engine, job_minutes=minutes / 2)


def _counted(items: slice, told: Told) -> Callable[[int], None]:
    return lambda done: told(done / (items.stop - items.start))
