"""One layer's activations between two ends, and the quadratics that lie below 0 on their graphs.

A unit starts from z₀ and moves by ζ in [low, high]; its value moves by w(ζ) = σ(z₀ + ζ) − σ(z₀).
With a, the middle slope of its chords from z₀, w = aζ + v, and |v| ≤ ρ|ζ| for half their spread ρ.
(Of a part that is straight, w = aζ + c, and v = 0.)
*Every* quadratic g(v, ζ) = Av² + Bvζ + Cζ² + Dv + Eζ less its maximum F over the graph
{(ζ, v(ζ))} is ≤ 0 there. The multipliers of v ≥ 0, of v ≥ ζ, of the triangle, of the box and of
slopes are such quadratics; their best one is found without telling them apart.

F is a maximum in one variable, with which any optimiser may do what it likes:

    straight on both sides of 0   a quadratic on each of two pieces, in closed form
    smooth, |σ''| ≤ K             the largest at nodes, and h²/8·max|g''| between two, h apart
"""

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.graph.table import rule_of
from intriguing.spectral.norms.eigenvalue import UNIT

ROUNDING, EXACTLY = 1e-9, 64.0 * UNIT
"""What float64 does to a smooth σ, and jumps of torch's own approximations, relative to 1 + its
size; and to two straight pieces, their heights and their vertices, of which each is a few units."""
_NEAR = 1e-3
"""Shorter chords, relative to the longest, are left out of a and ρ: rounding bends them."""
_NARROW = 1e-6
"""Of slopes: a unit whose chords differ by less is taken for straight, and pays for the rest."""
NODES, FINE, FINEST = 33, 257, 1025
"""Points of a smooth curve while multipliers are looked for, in the proof of many nodes, and in
that of one image: what a curve can do between two costs a thousandth of a lead at 257."""
_TOGETHER = 2**20
"""Values on a curve that are looked at together."""
_PIECE = 33
"""Points of a straight piece; only while multipliers are looked for. What is too little between two
is what they go for: with 9 a fifth of a lead was believed that was not there, with 33 a
hundredth."""

Quadratic = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]
"""A, B, C, D, E, each (rows, units)."""


@dataclass(frozen=True)
class Curve:
    """The units of one layer, each between its ends: for all rows the same, or for each its own.

    Attributes:
        low, high: ζ lies between.
        slope, spread: a and ρ.
        offset: c; 0 but for a part that is straight.
        bends: Which units have a v other than 0.
        nodes, values: Some ζ and v(ζ), (points, rows, units).
        pieces: For straight sides, (ends, slopes, intercepts) of v, each with one entry a side.
        steepest, curvature: Bounds on |σ'| and, for smooth ones, on |σ''|.
        doubt: How far v may be from what is computed.
    """

    low: Float[Tensor, "r units"]
    high: Float[Tensor, "r units"]
    slope: Float[Tensor, "r units"]
    spread: Float[Tensor, "r units"]
    offset: Float[Tensor, "r units"]
    bends: Bool[Tensor, "r units"]
    nodes: Float[Tensor, "points r units"]
    values: Float[Tensor, "points r units"]
    pieces: tuple[Tensor, Tensor, Tensor] | None
    steepest: float
    curvature: float
    doubt: Float[Tensor, "r units"]

    def only(self, kept: Int64[Tensor, " some"]) -> "Curve":
        """Some of the units."""
        return self._each(lambda one: one[..., kept])

    def rows(self, kept: Int64[Tensor, " some"]) -> "Curve":
        """Some of the rows, of all that differs between rows."""
        return self._each(lambda one: one if one.shape[-2] == 1 else one[..., kept, :])

    def _each(self, of: Callable[[Tensor], Tensor]) -> "Curve":
        names = [f.name for f in fields(self) if isinstance(getattr(self, f.name), Tensor)]
        some: dict[str, Any] = {name: of(getattr(self, name)) for name in names}
        if self.pieces is not None:
            some["pieces"] = tuple(map(of, self.pieces))
        return replace(self, **some)

    @property
    def units(self) -> int:
        """How many there are."""
        return self.low.shape[1]

    @property
    def reach(self) -> Float[Tensor, "r units"]:
        """|ζ| at most."""
        return torch.maximum(-self.low, self.high)

    @cached_property
    def bent(self) -> Float[Tensor, "r units"]:
        """|v| at most."""
        most = (self.steepest + self.slope.abs()) * self.reach + self.offset.abs() + self.doubt
        # What is straight between nodes, of which its kink is one, is farthest from 0 at one.
        between = self.curvature * self._apart.square() / 8.0 if self.pieces is None else 0.0
        return torch.minimum(most, self.values.abs().amax(0) + between + self.doubt)

    @cached_property
    def turning(self) -> Float[Tensor, "r units"]:
        """|v'| at most: between two nodes it is the chord's somewhere, and changes by K."""
        most = self.steepest + self.slope.abs()
        if self.pieces is not None:
            return most
        apart = self._apart
        rise = self.values.diff(dim=0).abs().amax(0) + 2.0 * self.doubt
        chords = rise / self.nodes.diff(dim=0).amin(0).clamp_min(1e-300)
        return torch.minimum(most, chords + self.curvature * apart)

    @cached_property
    def _apart(self) -> Float[Tensor, "r units"]:
        """How far nodes are from each other at most."""
        return self.nodes.diff(dim=0).amax(0) * (1.0 + 1e-9)

    @property
    def moved(self) -> Float[Tensor, "r units"]:
        """|w| at most."""
        return self.steepest * self.reach + self.doubt

    @property
    def chord(self) -> Float[Tensor, "r units"]:
        """The slope of w from end to end."""
        wide = self.high - self.low
        rise = self.values[-1] - self.values[0]
        return self.slope + torch.where(wide > 0, rise / wide.clamp_min(1e-300), 0.0)

    def softly(self, g: Quadratic, temperature: float | Tensor) -> Float[Tensor, "rows units"]:
        """F, smoothed, of the nodes."""
        heights = _height(g, self.values, self.nodes) / temperature
        return temperature * heights.logsumexp(0)

    def attained(self, g: Quadratic, temperature: float | Tensor) -> list[Tensor]:
        """Its derivatives by A, B, C, D, E: mean v², vζ, ζ², v, ζ at the nodes."""
        z, v = self.nodes, self.values
        share = _height(g, v, z).div_(temperature).softmax(0)
        by_v, by_z = share * v, share * z
        means = [by_v.sum(0), by_z.sum(0)]
        squares = [by_v.mul(z).sum(0), by_z.mul_(z).sum(0)]
        return [by_v.mul_(v).sum(0), *squares, *means]

    def highest(self, g: Quadratic) -> Float[Tensor, "rows units"]:
        """F, proved from above; of units that do not bend it is the maximum of Cζ² + Eζ."""
        a, b, c, d, e = (x.abs() for x in g)
        reach, bent = self.reach, self.bent
        size = a * bent**2 + b * bent * reach + c * reach**2 + d * bent + e * reach
        doubtful = (2.0 * a * bent + b * reach + d + a * self.doubt) * self.doubt
        found = self._straight(g) if self.pieces is not None else self._smooth(g)
        return found + 64.0 * UNIT * size + doubtful

    def _straight(self, g: Quadratic) -> Tensor:
        assert self.pieces is not None
        ends, slopes, intercepts = self.pieces
        a, b, c, d, e = g
        found = torch.full_like(a, -torch.inf)
        for side in range(2):
            slope, intercept = slopes[side], intercepts[side]
            square = (a * slope + b) * slope + c
            linear = (2.0 * a * slope + b) * intercept + d * slope + e
            left, right = ends[side], ends[side + 1]
            top = -linear / (2.0 * square).clamp_max(-1e-300)
            for z in (left, right, torch.where(square < 0, top, left).clamp(left, right)):
                found = torch.maximum(found, _height(g, slope * z + intercept, z))
        return found

    def _smooth(self, g: Quadratic) -> Tensor:
        a, b, c, d, _ = g
        found = torch.full_like(a, -torch.inf)
        some = max(1, _TOGETHER // a.numel())
        for z, v in zip(torch.split(self.nodes, some), torch.split(self.values, some), strict=True):
            found = torch.maximum(found, _height(g, v, z).amax(0))
        steep = self.turning
        turn = 2.0 * (a.abs() * steep**2 + b.abs() * steep + c.abs()) + self.curvature * (
            2.0 * a.abs() * self.bent + b.abs() * self.reach + d.abs()
        )
        return found + turn * self._apart.square() / 8.0


def curve(
    operation: Operation, at: Float[Tensor, " units"], doubt: Float[Tensor, " units"],
    low: Float[Tensor, " units"], high: Float[Tensor, " units"], *, fine: bool = False,
) -> Curve:  # fmt: skip
    """The units of an activation for which `followed` is true.

    Args:
        at: z₀, computed.
        doubt: How far that may be from the truth.
        low, high: Ends of ζ, which lies on both sides of 0.
        fine: With as many nodes as a proof takes.
    """
    slopes, bending = slopes_of(operation), rule_of(operation).bends(operation)
    assert slopes is not None
    assert bending is not None
    kinked = bool(bending.kinks)
    low, high, at, doubt = (
        low.clamp_max(0.0)[None],
        high.clamp_min(0.0)[None],
        at[None],
        doubt[None],
    )
    here = _values(operation, at)
    steepest = max(map(abs, slopes))
    if kinked:
        kink = (-at).clamp(low, high)
        nodes = _both(low, kink, high)
    else:
        nodes = _spaced(low, high, FINEST if fine else NODES)
    reach = torch.maximum(-low, high)
    moved = _values(operation, at + nodes) - here
    quotients = moved / torch.where(nodes.abs() > _NEAR * reach, nodes, torch.nan)
    least = quotients.nan_to_num(nan=torch.inf).amin(0)
    most = quotients.nan_to_num(nan=-torch.inf).amax(0)
    still = ~least.isfinite()
    least, most = least.where(~still, 0.0), most.where(~still, 0.0)
    slope, spread = (least + most) / 2, (most - least) / 2
    pieces = None
    if kinked:
        ones = torch.ones_like(at)
        right, left = _values(operation, ones), -_values(operation, -ones)
        # σ is left·z below 0 and right·z above; v = (own − a)·ζ + (own·z₀ − σ(z₀)).
        pieces = (
            torch.stack([low, kink, high]), torch.stack([left - slope, right - slope]),
            torch.stack([left * at - here, right * at - here]),
        )  # fmt: skip
    # Of what is smooth, nodes tell the spread only nearly.
    bends = (spread > _NARROW) | (not kinked)
    exact = (EXACTLY if kinked else ROUNDING) * max(1.0, steepest)
    rounding = exact * (1.0 + at.abs() + reach + here.abs()) + 2.0 * bending.slack
    return Curve(
        low, high, slope, spread, torch.zeros_like(at), bends, nodes,
        torch.where(bends, moved - slope * nodes, 0.0), pieces, steepest, bending.curvature,
        2.0 * steepest * doubt + rounding,
    )  # fmt: skip


def narrowed(
    own: Curve, low: Float[Tensor, "r units"], high: Float[Tensor, "r units"],
    operation: Operation, at: Float[Tensor, " units"], *, fine: bool = False,
) -> Curve:  # fmt: skip
    """The same units between other ends, inside its own, in the same coordinates.

    But a part that is straight, beyond a kink, becomes w = aζ + c.

    Args:
        own: Of the units themselves.
        low, high: For each row.
        operation, at, fine: As for `curve`.
    """
    if own.pieces is None:
        nodes = _spaced(low, high, FINE if fine else NODES)
        values = bent_at(own, nodes, operation, at)
        return replace(own, low=low, high=high, nodes=nodes, values=values)
    (_, kink, _), slopes, intercepts = own.pieces
    right, left = (low >= kink) & own.bends, (high <= kink) & own.bends
    slope, offset = (
        torch.where(right, both[1], torch.where(left & ~right, both[0], 0.0))
        for both in (slopes, intercepts)
    )
    bends = own.bends & ~(left | right)
    middle = torch.maximum(low, torch.minimum(kink, high))
    nodes = _both(low, middle, high)
    slopes, intercepts = slopes * bends, intercepts * bends
    made = replace(
        own, low=low, high=high, slope=own.slope + slope, offset=own.offset + offset,
        spread=own.spread * bends, bends=bends, nodes=nodes,
        pieces=(torch.stack([low, middle, high]), slopes, intercepts),
    )  # fmt: skip
    return replace(made, values=bent_at(made, nodes, operation, at))


def bent_at(
    own: Curve, z: Float[Tensor, "*r units"], operation: Operation, at: Float[Tensor, " units"]
) -> Float[Tensor, "*r units"]:
    """v(ζ) as computed, for ζ between the ends; `operation` and `at` as for `curve`."""
    if own.pieces is None:
        return _values(operation, at + z) - _values(operation, at[None]) - own.slope * z
    (_, kink, _), slopes, intercepts = own.pieces
    below, above = (slopes[side] * z + intercepts[side] for side in range(2))
    return torch.where(z > kink, above, below)


def followed(operation: Operation) -> bool:
    """Whether an activation is straight on both sides of 0, through it, or smooth everywhere."""
    bending = rule_of(operation).bends(operation)
    if bending is None or slopes_of(operation) is None:
        return False
    straight = bending.kinks == (0.0,) and bending.curvature == bending.slack == 0.0
    return straight or not bending.kinks


def _values(operation: Operation, flat: Float[Tensor, "*r units"]) -> Tensor:
    values: Tensor = operation.again(flat.reshape(-1, *operation.x.shape[1:]))
    return values.reshape(flat.shape)


def _spaced(low: Tensor, high: Tensor, count: int) -> Float[Tensor, "points rows units"]:
    share = torch.linspace(0.0, 1.0, count, dtype=low.dtype, device=low.device)[:, None, None]
    nodes = low + (high - low) * share
    nodes[-1] = high
    return nodes


def _both(low: Tensor, kink: Tensor, high: Tensor) -> Float[Tensor, "points rows units"]:
    """On both sides of a kink, it once."""
    return torch.cat([_spaced(low, kink, _PIECE), _spaced(kink, high, _PIECE)[1:]])


def _height(g: Quadratic, v: Tensor, z: Tensor) -> Tensor:
    a, b, c, d, e = g
    return v * (a * v + b * z + d) + z * (c * z + e)
