"""One pass backwards: a lower bound of q·(value of a node) within R of the image.

At every node the bound has the form Σ qₚ·vₚ − ½Σ μₚ‖vₚ − v̂ₚ‖² + c, v̂ the values at the image. An
affine node hands q to its parents by its adjoint, and its tail by ‖Δ‖² ≤ Σ cₚ‖Δₚ‖². At a curve
y = σ(z) slopes s (g = s·q) and a strength ν > 0 are chosen, Λ = μL² + ν, and

    q·y − ½μ‖y − ŷ‖² ≥ g·z − ½Λ‖z − ẑ‖² + Σᵢ minᵢ,

minᵢ the least of what is left, number by number (`cells`). With ν = 0 and no tails this is CROWN
(Zhang et al. 2018, arXiv:1811.00866), whose slopes α-CROWN optimises. Tails say what is known of
all numbers of a layer together: they move no farther than L·R (SDP-CROWN, Chiu et al. 2025, has one
for each layer, which its own ball pays). A share of each is paid at its node, by the node's L·R,
and the rest is carried on to the input.

Adjoints round. As q̂ = Wᵀq + δ, |δ| ≤ γ|W|ᵀ|q|, the bound loses at most γ·|q|·(|W|·sup|y| + |b|).
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.spectral.certificates.relaxation.affine import AffineMap
from intriguing.spectral.certificates.relaxation.domain import (
    Nearest,
    largest,
    least_beyond,
    least_inside,
    nearest,
)
from intriguing.spectral.certificates.relaxation.program import Curve
from intriguing.spectral.certificates.relaxation.surroundings import UNIT, Surroundings, rounding
from intriguing.spectral.certificates.relaxation.windows import Window

_ROUNDS = (4, 15)
"""Of the search at the input, which goes on where it was: while choices are made, and at last."""


@dataclass(frozen=True)
class Choice:
    """What a pass chooses at a curve, for every row.

    Attributes:
        slopes: s, of every number that a curve or a window reads.
        strength: log ν; at the first curve, whose tails end at the input, of every number by itself
            where a search has made them so.
        paid: Which share of the tail is paid here, before a sigmoid.
    """

    slopes: Float[Tensor, "rows inputs"]
    strength: Float[Tensor, "rows inputs_or_1"]
    paid: Float[Tensor, "rows 1"]

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor]:
        """All of it."""
        return self.slopes, self.strength, self.paid


@dataclass(frozen=True)
class Choices:
    """What a pass chooses.

    Attributes:
        curves: By place.
        nearest: Where the search at the input begins.
    """

    curves: Mapping[int, Choice]
    nearest: Nearest | None = None

    def row(self, index: int) -> "Choices":
        """Of one row alone."""
        return self._each(lambda t: t[index : index + 1])

    def rows(self, some: Int64[Tensor, " some"]) -> "Choices":
        """Of some rows."""
        return self._each(lambda t: t[some])

    @staticmethod
    def stacked(rows: Sequence["Choices"]) -> "Choices":
        """Of rows that were chosen for one by one."""
        curves = {
            at: Choice(
                *(
                    torch.cat(parts)
                    for parts in zip(*(r.curves[at].parts for r in rows), strict=True)
                )
            )
            for at in rows[0].curves
        }
        return Choices(curves, Nearest.stacked([row.nearest for row in rows]))

    def scaled(self, factor: float) -> "Choices":
        """With strengths times a factor."""
        more = math.log(factor)
        curves = {
            at: Choice(choice.slopes, choice.strength + more, choice.paid)
            for at, choice in self.curves.items()
        }
        return Choices(curves, self.nearest and self.nearest.scaled(factor))

    def _each(self, of: Callable[[Tensor], Tensor]) -> "Choices":
        curves = {at: Choice(*map(of, choice.parts)) for at, choice in self.curves.items()}
        return Choices(curves, self.nearest and self.nearest.each(of))


@dataclass
class _Pending:
    """What is still to be handed on, by node, and what is known already."""

    linear: dict[int, Tensor]
    tails: dict[int, Tensor]
    constant: Tensor
    doubt: Tensor
    last: Tensor | None = None

    def add(self, place: int, q: Tensor) -> None:
        self.linear[place] = self.linear[place] + q if place in self.linear else q

    def tail(self, place: int, mu: Tensor) -> None:
        self.tails[place] = self.tails[place] + mu if place in self.tails else mu


def lower_bound(
    around: Surroundings,
    place: int,
    rows: Float[Tensor, "rows ..."],
    choices: Choices,
    proved: bool,
) -> tuple[Float[Tensor, " rows"], Nearest | None]:
    """Lower bounds of rows·(value of the node), less what rounding can have done if `proved`.

    Args:
        place: Whose value.

    Returns:
        With them, where the search at the input ended.
    """
    nodes = around.image.program.nodes
    none = rows.new_zeros(len(rows))
    state, end = _Pending({place: rows}, {}, none, none), choices.nearest
    for at in range(place, -1, -1):
        if at not in state.linear and at not in state.tails:
            continue
        node = nodes[at]
        q = state.linear.pop(at, None)
        if q is None:
            q = rows.new_zeros(len(rows), *node.shape[1:])
        mu = state.tails.pop(at, None)
        if isinstance(node.rule, AffineMap):
            _affine(around, at, q, mu, state, proved)
        elif isinstance(node.rule, Curve | Window):
            _by_choice(around, at, q, mu, choices.curves[at], state, proved)
        else:
            end = _ended(around, q.flatten(1), mu, state, end, proved)
    doubt = state.doubt * 2 + 64 * UNIT * state.constant.abs() if proved else 0.0
    return (state.constant - doubt).nan_to_num(nan=-torch.inf, posinf=-torch.inf), end


def _ended(
    around: Surroundings, q: Tensor, mu: Tensor | None, state: _Pending, start: Nearest | None,
    proved: bool,
) -> Nearest | None:  # fmt: skip
    """At the input: the ball and the box."""
    image, radius = around.image, around.radius
    centre, down, up = (t.to(q) for t in (image.values[0].flatten(), image.down, image.up))
    end = None
    if state.last is None or image.first is None:
        inside, rounded = least_inside(q, down, up, radius)
    else:
        tail, first = state.last, image.first
        top, direction, peak = largest(tail, first, start, proved)
        end = nearest(q, tail, top, first, down, up, radius, start, _ROUNDS[proved])
        end = Nearest(end.point, end.log_delta, direction, peak)
        inside, rounded = least_beyond(q, tail, top, first, down, up, radius, end, proved)
    state.constant = state.constant + q @ centre + inside
    if mu is not None:
        state.constant = state.constant - 0.5 * mu[:, 0] * radius**2
    if proved:
        size = q.abs() @ centre.abs()
        state.doubt = state.doubt + rounded + rounding(q.shape[1]) * size
    return end


def _affine(
    around: Surroundings, at: int, q: Tensor, mu: Tensor | None, state: _Pending, proved: bool
) -> None:
    node = around.image.program.nodes[at]
    rule = node.rule
    assert isinstance(rule, AffineMap)
    for parent, part in zip(node.parents, rule.adjoint(q), strict=True):
        state.add(parent, part)
    flat = q.flatten(1)
    state.constant = state.constant + flat @ rule.offset.flatten().to(q)
    if proved:
        size = flat.detach().abs() @ around.magnitude[at].flatten()
        state.doubt = state.doubt + rounding(rule.terms) * size
    if mu is None:
        return
    first = around.image.first
    if first is None or first.place != at:
        _hand_on(around, at, mu, state)
        return
    state.last = mu * (1 + 1e-8)
    state.constant = state.constant - 0.5 * mu.amax(1) * (1.01e8 * around.image.doubt[at] ** 2)


def _hand_on(around: Surroundings, at: int, mu: Tensor, state: _Pending) -> None:
    """½μ‖Δ‖² of a node to its parents; (a + e)² ≤ (1 + θ)a² + (1 + 1/θ)e² pays for its rounding."""
    apart = around.image.apart[at]
    for parent, share in around.image.program.nodes[at].tails:
        state.tail(parent, mu * (share * (1 + 1e-8)))
    if apart > 0:
        state.constant = state.constant - 0.5 * mu[:, 0] * (1.01e8 * apart**2)


def _by_choice(
    around: Surroundings, at: int, q: Tensor, mu: Tensor | None, choice: Choice, state: _Pending,
    proved: bool,
) -> None:  # fmt: skip
    node = around.image.program.nodes[at]
    rule, (before,) = node.rule, node.parents
    assert isinstance(rule, Curve | Window)
    flat, values = q.flatten(1), around.image.values
    if mu is None:
        mu = flat.new_zeros(len(flat), 1)
    strength = mu * (rule.steepest**2 * (1 + 1e-12)) + choice.strength.exp()
    g = rule.spread(flat) * choice.slopes
    cells = around.cells[at] if proved else around.cells[at].to(q.dtype)
    here = rule.taken(values[before].flatten()).to(q)
    rest = cells.least(flat, g, mu, strength, here, values[at].flatten().to(q), proved)
    state.constant = state.constant + rest.sum(1)
    if proved:
        state.doubt = state.doubt + rounding(flat.shape[1]) * rest.abs().sum(1)
        if rule.copies > 1:
            farthest = torch.maximum(around.low[at].abs(), around.high[at].abs()).flatten()
            size = g.detach().abs() @ rule.taken(farthest)
            state.doubt = state.doubt + rounding(rule.copies) * size
    shape = around.image.program.nodes[before].shape
    if strength.shape[1] > 1:
        strength = rule.gathered(strength, shape.numel()) * (1 + 1e-12)
    else:
        strength = strength * rule.copies
    reach = around.reach(before)
    if reach < torch.inf and strength.shape[1] == 1:
        share = choice.paid.sigmoid()
        state.constant = state.constant - (0.5 * reach**2) * (share * strength)[:, 0]
        strength = (1 - share) * strength * (1 + 1e-12)
    state.add(before, rule.gathered(g, shape.numel()).view(len(g), *shape[1:]))
    state.tail(before, strength)
