"""A chain of dense layers around one image: how far each unit can move inside a ball.

The first layer's ends are the least and greatest of a linear function over ball and box. Those of
later layers come from a linear relaxation, backwards (Zhang et al. 2018, CROWN): a sum q·w of the
units' changes is at least Σ (q a + E)·ζ − F, where F is the largest of −q v + Eζ on each unit's
curve, for any slopes E; some gradient steps find good ones. What units can do one by one counts
where that is less. Rounding is paid for as in `proof.py`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.spectral.dual.curve import Curve, curve
from intriguing.spectral.dual.region import Region
from intriguing.spectral.norms.eigenvalue import UNIT

Nearer = Callable[["Around", "Around", Tensor, Tensor], Tensor]
"""As `ends.Nearer`."""
STEPS, RATE = 6, 0.1
"""Gradient steps for slopes of the linear relaxation: more change radii by less than a percent."""
TOGETHER = 256
"""Rows that are bounded at once."""


def rounding_of(terms: int) -> float:
    """γ of a chain of products with so many terms in all its sums (Higham 2002, §3.5), times 8."""
    return 8.0 * (terms + 16) * UNIT


@dataclass(frozen=True)
class Dense:
    """Weights before each activation; what comes after the last one is in the leads' rows."""

    weights: tuple[Float[Tensor, "out in"], ...]
    activations: tuple[Operation, ...]

    def until(self, count: int) -> "Dense":
        """The first layers of it."""
        return Dense(self.weights[:count], self.activations[:count])

    @cached_property
    def factors(self) -> tuple[Tensor, Tensor, Tensor]:
        """Of the first W ≈ left·right with nearly orthonormal rows, and by how much rows differ."""
        first = self.weights[0]
        left, scale, right = torch.linalg.svd(first, full_matrices=False)
        left = left * scale
        missed = torch.linalg.vector_norm(first - left @ right, dim=1)
        size = torch.linalg.vector_norm(left.abs() @ right.abs() + first.abs(), dim=1)
        return left, right, missed + rounding_of(2 * first.shape[1]) * size


@dataclass(frozen=True)
class Around:
    """One image, and one ball around it.

    Attributes:
        chain: Of dense layers.
        region: Of changes of the image.
        curves: Of each activation, for what can enter it.
    """

    chain: Dense
    region: Region
    curves: tuple[Curve, ...]


def around(
    chain: Dense, image: Float[Tensor, " pixels"], values: Sequence[Float[Tensor, " units"]],
    region: Region, nearer: Nearer | None = None,
) -> tuple[Around, Around]:  # fmt: skip
    """With few nodes a curve, and with many.

    Args:
        image: What enters the first layer.
        values: What enters each activation there, computed.
        nearer: Better lower bounds of rows of the layers that are known, with few nodes and with
            many, from lower bounds.
    """
    coarse: list[Curve] = []
    fine: list[Curve] = []
    doubt, before = torch.zeros_like(image), image
    layers = zip(chain.weights, chain.activations, values, strict=True)
    for number, (weight, operation, value) in enumerate(layers):
        size = weight.abs() @ before.abs() + value.abs()
        doubt = weight.abs() @ doubt + rounding_of(weight.shape[1]) * size
        rows = torch.cat([weight, -weight])
        sofar = Around(chain.until(number), region, tuple(coarse))
        least = torch.cat([_least(sofar, part) for part in torch.split(rows, TOGETHER)])
        least = torch.maximum(least, _apart(sofar, rows))
        low, high = least[: len(value)], -least[len(value) :]
        if nearer is not None and number:
            bends = curve(operation, value, doubt, low, high).bends[0]
            some = torch.cat([bends, bends]).nonzero()[:, 0]
            finer = Around(sofar.chain, region, tuple(fine))
            if len(some):
                least[some] = nearer(sofar, finer, rows[some], least[some])
            low, high = least[: len(value)], -least[len(value) :]
        coarse.append(curve(operation, value, doubt, low, high))
        fine.append(curve(operation, value, doubt, low, high, fine=True))
        before = operation.again(value.reshape(1, *operation.x.shape[1:])).flatten()
        doubt = fine[-1].steepest * doubt + fine[-1].doubt[0]
    return Around(chain, region, tuple(coarse)), Around(chain, region, tuple(fine))


def _least(net: Around, rows: Float[Tensor, "rows units"]) -> Float[Tensor, " rows"]:
    """Lower bounds of rows·w of the last layer, or of rows·δ if there is none."""
    if not net.curves:
        return net.region.least(rows)[0]
    offsets = _first_offsets(net, rows)
    best = torch.full_like(rows[:, 0], -torch.inf)
    for step in range(STEPS + 1):
        moving = [offset.detach().requires_grad_() for offset in offsets]
        bound, surrogate = _relaxed(net, rows, moving)
        best = torch.maximum(best, bound)
        if step < STEPS:
            gradients = torch.autograd.grad(surrogate.sum(), moving)
            # A slope is right or wrong by its sign: steps of one length, ever shorter.
            rate = RATE * (1.0 - step / STEPS)
            offsets = [o + rate * g.sign() for o, g in zip(offsets, gradients, strict=True)]
    return best


def _apart(net: Around, rows: Float[Tensor, "rows units"]) -> Float[Tensor, " rows"]:
    """The same, each unit of straight pieces at its worst by itself: exact where there is one."""
    if not net.curves or net.curves[-1].pieces is None:
        return torch.full_like(rows[:, 0], -torch.inf)
    own = net.curves[-1]
    moved = own.slope * own.nodes + own.values
    low, high = moved.amin(0)[0] - own.doubt[0], moved.amax(0)[0] + own.doubt[0]
    size = rows.abs() @ (own.moved + own.bent)[0]
    least = rows.clamp_min(0.0) @ low + rows.clamp_max(0.0) @ high
    return least - rounding_of(2 * own.units) * size


def _first_offsets(net: Around, rows: Tensor) -> list[Tensor]:
    """Slopes less a: the chord's from above, where a curve bends, the nearer tangent from below."""
    offsets: list[Tensor] = []
    for number in reversed(range(len(net.curves))):
        own = net.curves[number]
        chord = own.chord - own.slope
        below = chord
        if own.pieces is not None:
            ends, slopes, _ = own.pieces
            below = torch.where(ends[2] - ends[1] > ends[1] - ends[0], slopes[1], slopes[0])
        offset = torch.where(rows < 0, chord, below) * own.bends
        offsets.insert(0, offset)
        rows = (rows * (own.slope + offset)) @ net.chain.weights[number]
    return offsets


def _relaxed(net: Around, rows: Tensor, offsets: list[Tensor]) -> tuple[Tensor, Tensor]:
    """The bound that these slopes prove, and what has its derivatives."""
    paid = torch.zeros_like(rows[:, 0])
    surrogate = torch.zeros_like(paid)
    for number in reversed(range(len(net.curves))):
        own, weight = net.curves[number], net.chain.weights[number]
        slant = rows * offsets[number] * own.bends
        bend = -rows * own.bends
        with torch.no_grad():
            none = torch.zeros_like(rows)
            g = (none, none, none, bend, slant)
            means = own.attained(g, 1e-3 * float(rows.abs().mean()) + 1e-300)
            unbent = torch.where(own.bends, 0.0, own.spread * own.reach + own.doubt)
            paid += own.highest(g).sum(1) + (rows.abs() * unbent).sum(1)
            size = ((rows * own.slope).abs() + slant.abs()) @ weight.abs() * _before(net, number)
            paid += rounding_of(2 * own.units) * (size.sum(1) + (rows.abs() * own.reach).sum(1))
        surrogate = surrogate - (bend * means[3] + slant * means[4]).sum(1)
        rows = (rows * own.slope + slant) @ weight
    with torch.no_grad():
        least, at = net.region.least(rows)
    return least - paid, surrogate + (rows * at).sum(1)


def _before(net: Around, number: int) -> Tensor:
    """How far what enters a layer can move."""
    if number:
        return net.curves[number - 1].moved
    return torch.maximum(-net.region.low, net.region.high).clamp_max(net.region.radius)
