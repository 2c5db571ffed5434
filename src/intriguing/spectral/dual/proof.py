"""The bound of given multipliers once more, with every rounding error on the safe side.

Everything that moves is bounded inside the ball: |ζ|, |v|, |w| and |δ| by `Curve` and `Region`. So
an error E of a matrix costs no more than |x|ᵀ|E||x|/2, one of a row |e|·|x|, and both are taken off
the constant: scalars, which are computed from absolute values (γ·|A||B| bounds the error of a
product AB entry by entry; Higham 2002, §3.5). A Cholesky factor is not trusted: with Y, its
computed inverse, and ε ≥ ‖I − Y M Yᵀ‖, M⁻¹ ⪯ YᵀY/(1 − ε) (`outward_rounding.inverse_factor`). Nor
are singular vectors: how far the first layer's rows are from their product, and those from
orthonormal, is paid.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.dual.around import rounding_of
from intriguing.spectral.dual.curve import Curve, Quadratic
from intriguing.spectral.dual.elimination import times
from intriguing.spectral.dual.lagrangian import Lead, Multipliers
from intriguing.spectral.semidefinite.outward_rounding import EXCESS, inverse_factor

DOWN = 1.0 - 1e-12
"""Pays for the rounding of a few scalar operations at the end."""


def proved_radius(lead: Lead, given: Multipliers) -> Float[Tensor, " rows"]:
    """Up to where each lead is proved to stay above 0, at most the region's radius; 0 if nowhere.

    For ‖δ‖ ≤ r ≤ R the lead is at least S − λr²/2: its curves and its box hold in all of R's ball.
    """
    return proved_lead(lead, given)[0]


def proved_lead(
    lead: Lead, given: Multipliers
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """The same radius, and what is proved of the lead in all of R's ball; −∞ if nothing is."""
    quadratics, scale, boxes = given
    rows = lead.rows
    state = _State(
        rows.new_zeros(len(rows), rows.shape[1], rows.shape[1]), rows,
        lead.margins - _size(rows, _moves(lead, len(quadratics))), lead.margins.abs(),
        torch.ones_like(scale, dtype=torch.bool),
    )  # fmt: skip
    for number in reversed(range(len(quadratics))):
        state.eliminate(lead.net.curves[number], quadratics[number])
        if number:
            state.through(lead.net.chain.weights[number], _moves(lead, number))
    state.at_the_image(lead, scale, boxes)
    terms = len(lead.net.region.low) + sum(own.units for own in lead.net.curves)
    held = state.constant - rounding_of(64 + terms) * state.size
    radius = (2.0 * held.clamp_min(0.0) / scale).sqrt() * DOWN
    sure = state.proved & held.isfinite() & (scale > 0)
    radius = torch.where(sure, radius.clamp_max(lead.net.region.radius), 0.0)
    least = torch.where(sure, held - 0.5 * scale * lead.net.region.radius**2, -torch.inf)
    return radius.nan_to_num(0.0, 0.0, 0.0), least


def _moves(lead: Lead, number: int) -> Tensor:
    """|w| after so many layers, at most."""
    return lead.net.curves[number - 1].moved


def _size(rows: Tensor, moves: Tensor) -> Tensor:
    """What rounding of the last layer's differences of rows can cost."""
    return rounding_of(2) * (rows.abs() * moves).sum(1)


class _State:
    """xᵀPx/2 + q·x + s, which bounds the lead from below, for x between what is known of it."""

    def __init__(
        self, matrix: Tensor, rows: Tensor, constant: Tensor, size: Tensor, proved: Tensor
    ) -> None:
        self.matrix, self.rows, self.constant = matrix, rows, constant
        self.size, self.proved = size, proved

    def eliminate(self, own: Curve, g: Quadratic) -> None:
        """From w to ζ, by the least over v."""
        a, b, c, d, e = g
        bends, reach, bent, n = own.bends.to(a), own.reach, own.bent, own.units
        gamma = rounding_of(3 * n)
        straight = (1 - bends) * (own.spread * reach + own.doubt)
        moves = own.moved + straight
        self._pay(_dot(self.rows.abs() + times(self.matrix.abs(), moves), straight) * EXCESS)
        self._pay(own.highest(g).sum(1))
        if bool(own.offset.any()):
            self._shift(own.offset, moves)
        square = self.matrix * (bends[:, :, None] * bends[:, None])
        square = square + torch.diag_embed(2 * a + (1 - bends))
        tilted = self.matrix * own.slope[:, None]
        cross = bends[:, :, None] * tilted + torch.diag_embed(b)
        linear = bends * (self.rows + d)
        up = _dot(2 * (self.rows.abs() + d.abs()) + times(cross.abs(), reach), bent)
        self._pay(gamma * (up + _dot(times(square.abs(), bent), bent)))
        half, error = inverse_factor(square[:, None], square.abs()[:, None])
        half = half[:, 0] / (1.0 - error).clamp_min(0.5).sqrt()[..., None] / DOWN
        self.proved = self.proved & (error[:, 0] < 0.5)
        size = times(half.abs(), times(cross.abs(), reach) + linear.abs())
        cross, linear = half @ cross, times(half, linear)
        missed = gamma * size
        length = times(cross.abs(), reach) + linear.abs()
        self._pay((missed * (length + missed)).sum(1) * EXCESS)
        after = own.slope[:, :, None] * tilted + torch.diag_embed(2 * c) - cross.mT @ cross
        size = own.slope.abs() * reach
        self._pay(gamma * (_dot(times(self.matrix.abs(), size), size) + length.square().sum(1)))
        self._pay(gamma * _dot(2 * c.abs() * reach + self.rows.abs() * own.slope.abs(), reach))
        self._pay(gamma * _dot(e.abs(), reach))
        self._pay(0.5 * linear.square().sum(1))
        self.rows = own.slope * self.rows + e - times(cross.mT, linear)
        self.matrix = 0.5 * (after + after.mT)

    def _shift(self, offset: Tensor, moves: Tensor) -> None:
        """From w to w less its offset."""
        size = offset.abs()
        around = times(self.matrix.abs(), size)
        paid = _dot(self.rows.abs() + around, size) + _dot(around + self.rows.abs(), moves + size)
        self._pay(rounding_of(3 * offset.shape[1]) * paid)
        tilted = times(self.matrix, offset)
        self._pay(-_dot(self.rows + 0.5 * tilted, offset))
        self.rows = self.rows + tilted

    def through(self, weight: Tensor, moves: Tensor) -> None:
        """From ζ = W w to w."""
        size = moves @ weight.abs().mT
        gamma = rounding_of(2 * sum(weight.shape))
        self._pay(gamma * _dot(times(self.matrix.abs(), size) + self.rows.abs(), size))
        matrix = weight.mT @ self.matrix @ weight
        self.matrix, self.rows = 0.5 * (matrix + matrix.mT), self.rows @ weight

    def at_the_image(self, lead: Lead, scale: Tensor, boxes: Tensor) -> None:
        """From ζ = W δ to a number: all but −λR²/2. δ = Vᵀp and what is across of the rows of V."""
        left, right, missed = lead.net.chain.factors
        region, own = lead.net.region, lead.net.curves[0]
        count, pixels = right.shape
        gamma = rounding_of(2 * (pixels + count))
        radius = region.radius * (1.0 + 1e-9)
        size = (missed * radius)[None]
        reach = own.reach + size
        self._pay(_dot(self.rows.abs() + times(self.matrix.abs(), reach), size) * EXCESS)
        apart = right @ right.mT - torch.eye(count, dtype=right.dtype, device=right.device)
        skew = float(torch.linalg.matrix_norm(apart)) + gamma * count
        turned = radius * (1.0 + skew)
        size = (left.abs().sum(1) * turned)[None]
        held = boxes @ right.mT
        self._pay(gamma * _dot(times(self.matrix.abs(), size) + self.rows.abs(), size))
        across = boxes - held @ right
        rest = boxes.abs() + held.abs() @ right.abs()
        self._pay(2.0 * gamma * torch.linalg.vector_norm(rest, dim=1) * radius)
        lost = torch.linalg.vector_norm(across @ right.mT, dim=1)
        lost = lost + gamma * count * torch.linalg.vector_norm(rest, dim=1)
        self._pay(lost * turned * EXCESS)
        self._pay(torch.maximum(boxes * region.low, boxes * region.high).sum(1))
        self._pay(gamma * (boxes.abs() @ (region.high - region.low)))
        own_scale = scale * (1.0 - 3.0 * skew) * DOWN
        matrix = left.mT @ self.matrix @ left
        square = 0.5 * (matrix + matrix.mT) + torch.diag_embed(own_scale[:, None].expand_as(held))
        half, error = inverse_factor(square[:, None], square.abs()[:, None])
        half = half[:, 0] / (1.0 - error).clamp_min(0.5).sqrt()[..., None] / DOWN
        self.proved = self.proved & (error[:, 0] < 0.5)
        linear = self.rows @ left + held
        inverse = times(half, linear)
        size = times(half.abs(), self.rows.abs() @ left.abs() + held.abs())
        self._pay((inverse.abs() + gamma * size).square().sum(1) * 0.5 * EXCESS)
        self._pay(0.5 * across.square().sum(1) / own_scale * EXCESS / DOWN)

    def _pay(self, amount: Tensor) -> None:
        self.constant = self.constant - amount
        self.size = self.size + amount.abs()


def _dot(left: Tensor, right: Tensor) -> Float[Tensor, " rows"]:
    return (left * right).sum(1)
