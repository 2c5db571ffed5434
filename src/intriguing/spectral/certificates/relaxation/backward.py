"""One pass backwards: a lower bound of q·(value of a node) within R of the image.

At every node the bound has the form Σ qₚ·vₚ − ½Σ μₚ‖vₚ − v̂ₚ‖² + c, v̂ the values at the image. An
affine node hands q to its parents by its adjoint, and its tail by ‖Δ‖² ≤ Σ cₚ‖Δₚ‖². At a curve
y = σ(z) slopes s (g = s·q) and strengths ν > 0 are chosen, Λ = μk + ν with ‖Δy‖² ≤ k‖Δz‖², and

    q·y − ½μ‖y − ŷ‖² ≥ g·z − ½Λ‖z − ẑ‖² + Σᵢ minᵢ,

minᵢ the least of what is left, number by number (`cells`). With ν = 0 and no tails this is CROWN
(Zhang et al. 2018, arXiv:1811.00866), whose slopes α-CROWN optimises. Tails say what is known of
all numbers of a layer together: they move no farther than L·R (SDP-CROWN, Chiu et al. 2025, has one
for each layer, which its own ball pays). A share of each is paid at its node, by the node's L·R,
and the rest is carried on to the input. Tails of single units have a k for each, that of its range:
0 of a ReLU that is off there.

Adjoints round. As q̂ = Wᵀq + δ, |δ| ≤ γ|W|ᵀ|q|, the bound loses at most γ·|q|·(|W|·sup|y| + |b|).
"""

from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.certificates.relaxation.affine import AffineMap
from intriguing.spectral.certificates.relaxation.choices import Choice, Choices, Ends
from intriguing.spectral.certificates.relaxation.domain import (
    Nearest,
    Steepest,
    largest,
    least_beyond,
    least_inside,
    nearest,
)
from intriguing.spectral.certificates.relaxation.program import Curve
from intriguing.spectral.certificates.relaxation.sparse_map import SparseMap
from intriguing.spectral.certificates.relaxation.surroundings import UNIT, Surroundings, rounding
from intriguing.spectral.certificates.relaxation.windows import Window

_ROUNDS = (4, 15)
"""Of the search at the input, which goes on where it was: while choices are made, and at last."""


@dataclass
class _Pending:
    """What is still to be handed on, by node, and what is known already.

    Attributes:
        paid: Shares of tails to be paid behind an inner map.
        last: The tail that ends at the input.
        nearest, steepest: As in `Ends`: where searches ended.
    """

    linear: dict[int, Tensor]
    tails: dict[int, Tensor]
    constant: Tensor
    doubt: Tensor
    paid: dict[int, Tensor] = field(default_factory=dict)
    last: Tensor | None = None
    nearest: Nearest | None = None
    steepest: dict[int, Steepest] = field(default_factory=dict)

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
) -> tuple[Float[Tensor, " rows"], Ends]:
    """Lower bounds of rows·(value of the node), less what rounding can have done if `proved`.

    Args:
        place: Whose value.

    Returns:
        With them, where its searches ended.
    """
    nodes = around.image.program.nodes
    none = rows.new_zeros(len(rows))
    state = _Pending({place: rows}, {}, none, none)
    for at in range(place, -1, -1):
        if at not in state.linear and at not in state.tails:
            continue
        node = nodes[at]
        q = state.linear.pop(at, None)
        if q is None:
            q = rows.new_zeros(len(rows), *node.shape[1:])
        mu = state.tails.pop(at, None)
        if isinstance(node.rule, AffineMap):
            _affine(around, at, q, mu, choices, state, proved)
        elif isinstance(node.rule, Curve | Window):
            _by_choice(around, at, q, mu, choices.curves[at], state, proved)
        else:
            _ended(around, q.flatten(1), mu, choices.ends, state, proved)
    doubt = state.doubt * 2 + 64 * UNIT * state.constant.abs() if proved else 0.0
    value = (state.constant - doubt).nan_to_num(nan=-torch.inf, posinf=-torch.inf)
    return value, Ends(state.nearest, state.steepest)


def _ended(
    around: Surroundings, q: Tensor, mu: Tensor | None, start: Ends, state: _Pending, proved: bool
) -> None:
    """At the input: the ball and the box."""
    image, radius = around.image, around.radius
    centre, down, up = (t.to(q) for t in (image.values[0].flatten(), image.down, image.up))
    if state.last is None or image.first is None:
        inside, rounded = least_inside(q, down, up, radius)
    else:
        tail, first = state.last, image.first
        top = _top(tail, first, start, state, proved)
        end = nearest(q, tail, top, first, down, up, radius, start.nearest, _ROUNDS[proved])
        state.nearest = end
        inside, rounded = least_beyond(q, tail, top, first, down, up, radius, end, proved)
    state.constant = state.constant + q @ centre + inside
    if mu is not None:
        state.constant = state.constant - 0.5 * mu[:, 0] * radius**2
    if proved:
        size = q.abs() @ centre.abs()
        state.doubt = state.doubt + rounded + rounding(q.shape[1]) * size


def _top(
    tail: Tensor, map: SparseMap, start: Ends, state: _Pending, proved: bool,
    units: Tensor | None = None,
) -> Tensor:  # fmt: skip
    """‖UCᵀDCU‖ of a tail that meets a map."""
    top, state.steepest[map.place] = largest(
        tail, map, start.steepest.get(map.place, Steepest()), proved, units
    )
    return top


def _affine(
    around: Surroundings, at: int, q: Tensor, mu: Tensor | None, choices: Choices, state: _Pending,
    proved: bool,
) -> None:  # fmt: skip
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
    first, inner = around.image.first, around.inner(at)
    if inner is not None and mu.shape[1] > 1:
        map, units = inner
        own = choices.curves[map.before].units
        top = _top(mu, map, choices.ends, state, proved, own if own.shape[1] > 1 else None)
        _passed_on(around, map, units, own, mu, top, state)
        return
    if first is None or first.place != at:
        _hand_on(around, at, mu, state)
        return
    state.last = mu * (1 + 1e-8)
    state.constant = state.constant - 0.5 * mu.amax(1) * (1.01e8 * around.image.doubt[at] ** 2)


def _passed_on(
    around: Surroundings, map: SparseMap, units: Tensor, own: Tensor, mu: Tensor, top: Tensor,
    state: _Pending,
) -> None:  # fmt: skip
    """½Σμᵢ(CΔ)ᵢ² ≤ ½‖UCᵀDCU‖·‖U⁻¹Δ‖² of a tail of single units; a share of that is paid there.

    C takes Δ in `units`, in which it is no longer than what the curve before reads; and U = diag(u)
    with u = exp(own) is free: u⁻²‖UCᵀDCU‖ are all diagonals that CᵀDC may have to stay below.
    """
    own = own if own.shape[1] > 1 else torch.zeros_like(own)
    apart = around.image.doubt[map.place] + map.norm * around.image.doubt[map.before]
    state.constant = state.constant - 0.5 * mu.amax(1) * (1.01e8 * apart**2)
    tail, reach = top * (1 + 2e-8), around.reach(map.before, units=True)
    if reach < torch.inf:
        share = state.paid[map.place]
        squared = (reach * (1 + 1e-12) / own.amin(1, keepdim=True).exp()).square()
        state.constant = state.constant - (0.5 * squared * share * tail)[:, 0]
        tail = (1 - share) * tail * (1 + 1e-12)
    state.tail(map.before, tail / (units.to(tail) * own.exp()).square() * (1 + 1e-12))


def _hand_on(around: Surroundings, at: int, mu: Tensor, state: _Pending) -> None:
    """½μ‖Δ‖² of a node to its parents; (a + e)² ≤ (1 + θ)a² + (1 + 1/θ)e² pays for its rounding."""
    apart, mu = around.image.apart[at], mu.amax(1, keepdim=True)
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
    if choice.strength.shape[1] > 1 or mu.shape[1] > 1:
        each = mu if mu.shape[1] == 1 else rule.spread(mu)
        passed = each * (around.moves(at).to(q).square() * (1 + 1e-12))
        if choice.strength.shape[1] == 1:
            passed = passed.amax(1, keepdim=True)
    else:
        passed = mu * (rule.steepest**2 * (1 + 1e-12))
    strength = passed + choice.strength.exp()
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
    reach, share = around.reach(before), choice.paid.sigmoid()
    state.paid[before] = share
    if reach < torch.inf and strength.shape[1] == 1:
        state.constant = state.constant - (0.5 * reach**2) * (share * strength)[:, 0]
        strength = (1 - share) * strength * (1 + 1e-12)
    state.add(before, rule.gathered(g, shape.numel()).view(len(g), *shape[1:]))
    state.tail(before, strength)
