"""Location sharding: each process owns a band of rows of every layer, weights and activations.

What the source did by model parallelism (Le et al. 2011, §4): untied weights never move.  Where a
field or a window crosses the border of a band, rows of activations are sent to the neighbour, and
what is reconstructed of a neighbour's rows is sent back and added.  Both are differentiable, each
the other's adjoint, so that gradients of a band's weights are complete without any reduction.
"""

from collections.abc import Sequence
from typing import Any, TypeAlias

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard

from intriguing.errors import InputError
from intriguing.models.families.quocnet import QuocNet, Sizes, Stage, sizes
from intriguing.models.locally_connected import (
    locally_connected2d,
    locally_connected_transpose2d,
)

Rows: TypeAlias = tuple[int, int]
"""First row and the one after the last."""


def bands(rows: int, size: int) -> list[Rows]:
    """The rows that each of `size` processes owns, as torch shards a dimension.

    Raises:
        InputError: If some process would own none.

    >>> bands(9, 4)
    [(0, 3), (3, 6), (6, 9), (9, 9)]
    """
    each = -(-rows // size)
    return [(min(rank * each, rows), min((rank + 1) * each, rows)) for rank in range(size)]


class LocatedStage(nn.Module):
    """One process's band of a stage; see `Stage` for what it computes."""

    def __init__(self, stage: Stage, size: Sizes, rank: int, processes: int) -> None:
        super().__init__()
        self.config, self.pool, self.contrast = stage.config, stage.pool, stage.contrast
        self.size, self.rank = size, rank
        self.seen = bands(size.seen[1], processes)
        self.filtered = bands(size.filtered[1], processes)
        self.pooled = bands(size.normalised[1], processes)
        for name, owned in (("inputs", self.seen), ("filters", self.filtered),
                            ("pooled units", self.pooled)):  # fmt: skip
            if min(last - first for first, last in owned) < 1:
                raise InputError(
                    f"{owned[-1][1]} rows of {name} cannot be shared out to {processes} processes "
                    f"in bands of {owned[0][1]}; use fewer processes"
                )
        mine = slice(*self.filtered[rank])
        self.weight = nn.Parameter(stage.filter.weight.detach()[mine].clone())
        self.decoder = (
            None if stage.decoder is None else nn.Parameter(stage.decoder.detach()[mine].clone())
        )
        step, field = stage.config.stride, stage.config.field
        self.fields = [(first * step, (last - 1) * step + field) for first, last in self.filtered]
        step, side = stage.config.pool_stride, stage.config.pool
        self.windows = [(first * step, (last - 1) * step + side) for first, last in self.pooled]
        border = stage.config.contrast // 2
        self.around = [(first - border, last + border) for first, last in self.pooled]

    def forward(self, x: Float[Tensor, "b channel rows w"]) -> Float[Tensor, "b map rows v"]:
        """The band of the stage's output, from its band of the input."""
        seen = take(x, self.rank, self.seen, self.fields)
        pooled = self._pool(locally_connected2d(seen, self.weight, self.config.stride))
        centred = pooled - self._mean(pooled)
        return self.contrast.divide(centred, self._mean(centred.square()))

    def objective(self, x: Float[Tensor, "b channel rows w"], sparsity: float) -> Tensor:
        """This band's part of `Stage.objective`; those of all bands add up to it."""
        seen = take(x, self.rank, self.seen, self.fields)
        h = locally_connected2d(seen, self.weight, self.config.stride)
        decoder = self.weight if self.decoder is None else self.decoder
        part = locally_connected_transpose2d(h, decoder, seen.shape[2:], self.config.stride)
        back = give(part, self.rank, self.fields, self.seen)
        total: Tensor = (back - x).square().sum() + sparsity * self._pool(h).sum()
        channels, rows, columns = self.size.seen
        return total / (channels * rows * columns)

    def _pool(self, h: Tensor) -> Tensor:
        pooled: Tensor = self.pool(take(h, self.rank, self.filtered, self.windows))
        return pooled

    def _mean(self, h: Tensor) -> Tensor:
        own = self.pooled[self.rank]
        near = take(h.mean(1, keepdim=True), self.rank, self.pooled, self.around)
        return self.contrast.mean_within(near, self.size.normalised[1], own[0])


class LocatedQuocNet(nn.Module):
    """One process's bands of a whole QuocNet.

    Args:
        network: The whole, with its weights; only this process's rows are copied.
        rank, processes: Which band of how many.
    """

    def __init__(self, network: QuocNet, rank: int, processes: int) -> None:
        super().__init__()
        self.rank = rank
        self.whitening = network.whitening
        found = []
        for stage, size in zip(network.stages, sizes(network.config), strict=True):
            assert isinstance(stage, Stage)
            found.append(LocatedStage(stage, size, rank, processes))
        self.stages = nn.ModuleList(found)

    def entering(self, images: Float[Tensor, "b channel h w"], number: int) -> Tensor:
        """This band of what stage `number` sees of whole images."""
        first = self.stages[0]
        assert isinstance(first, LocatedStage)
        x: Tensor = self.whitening(images)[:, :, slice(*first.seen[self.rank])]
        for stage in list(self.stages)[:number]:
            x = stage(x)
        return x


def as_whole(local: Tensor, mesh: DeviceMesh, rows: int) -> DTensor:
    """A band as part of the whole array, as torch.distributed.checkpoint writes it."""
    shape = torch.Size((rows, *local.shape[1:]))
    stride = torch.empty(shape, device="meta").stride()
    return DTensor.from_local(local, mesh, [Shard(0)], shape=shape, stride=stride, run_check=False)


def take(x: Tensor, rank: int, owned: Sequence[Rows], wanted: Sequence[Rows]) -> Tensor:
    """The rows (dimension 2) that this process wants of an array shared out in bands.

    Args:
        x: The rows that it owns.
        rank: Which process this is.
        owned, wanted: Of every process; rows beyond the array come as zeros.
    """
    moved: Tensor = _Take.apply(x, rank, tuple(owned), tuple(wanted))  # type: ignore[no-untyped-call]
    return moved


def give(x: Tensor, rank: int, held: Sequence[Rows], owned: Sequence[Rows]) -> Tensor:
    """The sum, at the rows that this process owns, of what all hold of them: `take`'s adjoint."""
    moved: Tensor = _Give.apply(x, rank, tuple(held), tuple(owned))  # type: ignore[no-untyped-call]
    return moved


class _Take(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rank: int, owned: tuple[Rows, ...], wanted: tuple[Rows, ...]
    ) -> Tensor:
        ctx.where = rank, wanted, owned
        return _move(x, rank, owned, wanted)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _move(grad, *ctx.where), None, None, None


class _Give(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: Tensor, rank: int, held: tuple[Rows, ...], owned: tuple[Rows, ...]
    ) -> Tensor:
        ctx.where = rank, owned, held
        return _move(x, rank, held, owned)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        return _move(grad, *ctx.where), None, None, None


def _move(x: Tensor, rank: int, source: tuple[Rows, ...], target: tuple[Rows, ...]) -> Tensor:
    """Rows `target[rank]`, each the sum of what every process has of it in `source`, in order."""
    have, want = source[rank], target[rank]
    result = x.new_zeros(*x.shape[:2], want[1] - want[0], x.shape[3])
    sends, receives = [], {}
    for other in range(len(source)):
        out, into = _overlap(have, target[other]), _overlap(source[other], want)
        if other != rank and out is not None:
            rows = x[:, :, out[0] - have[0] : out[1] - have[0]].contiguous()
            sends.append(dist.P2POp(dist.isend, rows, other))
        if other != rank and into is not None:
            rows = x.new_empty(*x.shape[:2], into[1] - into[0], x.shape[3])
            receives[other] = (into, rows)
    waiting = [dist.P2POp(dist.irecv, rows, other) for other, (_, rows) in receives.items()]
    requests = dist.batch_isend_irecv([*sends, *waiting]) if sends or waiting else []
    for request in requests:
        request.wait()
    own = _overlap(have, want)
    if own is not None:
        receives[rank] = (own, x[:, :, own[0] - have[0] : own[1] - have[0]])
    for other in sorted(receives):
        (first, last), rows = receives[other]
        result[:, :, first - want[0] : last - want[0]] += rows
    return result


def _overlap(one: Rows, other: Rows) -> Rows | None:
    first, last = max(one[0], other[0]), min(one[1], other[1])
    return (first, last) if first < last else None
