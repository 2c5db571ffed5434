"""What is left of a lead's bound when v has been eliminated layer after layer, last first.

With the multipliers of `lagrangian.py` the bound is quadratic in everything. Each layer's M has a
Cholesky factor, as long as all M ≻ 0; what is left at the image is pᵀ(G + λI)p/2 + h·p and a
constant, p the part of the change that the first layer sees, and the pixels' multipliers. After
the last layer nothing is quadratic but its units' own multipliers, so its M and N are diagonal, and
cost nothing beside those of others.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.spectral.dual.around import Around
from intriguing.spectral.dual.curve import Quadratic


@dataclass(frozen=True)
class Layer:
    """One layer's M and what depends on it.

    Attributes:
        factor: L with LLᵀ = M.
        cross, linear: L⁻¹N and L⁻¹r, so that v = −L⁻ᵀ(L⁻¹N·ζ + L⁻¹r) at the minimum.
        bends: 1 for units that have a v, as a row for each matrix.
    """

    factor: Float[Tensor, "rows units units"]
    cross: Float[Tensor, "rows units units"]
    linear: Float[Tensor, "rows units"]
    bends: Float[Tensor, "r 1 units"]

    @property
    def along(self) -> tuple[Float[Tensor, "rows units units"], Float[Tensor, "rows units"]]:
        """M⁻¹N and M⁻¹r, 0 for units that have no v."""
        both = torch.cat([self.cross, self.linear[:, :, None]], 2)
        both = self.bends.mT * torch.linalg.solve_triangular(self.factor.mT, both, upper=True)
        return both[:, :, :-1], both[:, :, -1]


@dataclass(frozen=True)
class Last:
    """The same of the last layer, whose M and N are diagonal.

    Attributes:
        size: M.
        cross, linear: N and M⁻¹r.
        bends: As of a layer.
    """

    size: Float[Tensor, "rows units"]
    cross: Float[Tensor, "rows units"]
    linear: Float[Tensor, "rows units"]
    bends: Float[Tensor, "r units"]

    @property
    def along(self) -> tuple[Float[Tensor, "rows units"], Float[Tensor, "rows units"]]:
        """M⁻¹N and M⁻¹r, 0 for units that have no v."""
        return self.bends * self.cross / self.size, self.linear


@dataclass(frozen=True)
class Eliminated:
    """The bound as a function of p alone.

    Attributes:
        layers: First to last, without that.
        last: The last one.
        inner, rows: G and h.
        factor: Of G + λI.
        feasible: Rows where all M ≻ 0, and G + λI.
        constant: What the lead is at least for p = 0 and no pixel's multiplier, but for Σ F.
        log_det: Half of log det of all M and of G + λI.
    """

    layers: list[Layer]
    last: Last
    inner: Float[Tensor, "rows rank rank"]
    rows: Float[Tensor, "rows rank"]
    factor: Float[Tensor, "rows rank rank"]
    feasible: Bool[Tensor, " rows"]
    constant: Float[Tensor, " rows"]
    log_det: Float[Tensor, " rows"]


def eliminated(
    net: Around, rows: Float[Tensor, "rows units"], quadratics: list[Quadratic],
    scale: Float[Tensor, " rows"],
) -> Eliminated:  # fmt: skip
    """Of leads d·w of the last layer's units, with A, …, E of each layer and λ."""
    own, (a, b, c, d, e) = net.curves[-1], quadratics[-1]
    bends = own.bends.to(rows)
    size = 2 * a + (1 - bends)
    feasible = ((size > 0) & size.isfinite()).all(1)
    size = torch.where(size > 0, size, 1.0)
    linear = bends * (rows + d) / size
    last = Last(size, b, linear, bends)
    constant = (rows * own.offset).sum(1) - 0.5 * (size * linear.square()).sum(1)
    log_det = 0.5 * size.log().sum(1)
    before = net.chain.weights[-1] if len(quadratics) > 1 else net.chain.factors[0]
    matrix = (before.mT * (2 * c - b.square() / size)[:, None]) @ before
    rows = (own.slope * rows + e - b * linear) @ before
    layers: list[Layer] = []
    for number in reversed(range(len(net.curves) - 1)):
        own, g = net.curves[number], quadratics[number]
        bends, slope = own.bends.to(rows)[:, None], own.slope[:, None]
        shift = times(matrix, own.offset)
        constant = constant + ((rows + 0.5 * shift) * own.offset).sum(1)
        rows = rows + shift
        square = matrix * (bends.mT * bends) + torch.diag_embed(2 * g[0] + (1 - bends[:, 0]))
        tilted = matrix * slope
        cross = bends.mT * tilted + torch.diag_embed(g[1])
        linear = bends[:, 0] * (rows + g[3])
        factor, positive = cholesky(square)
        feasible &= positive
        both = torch.linalg.solve_triangular(
            factor, torch.cat([cross, linear[:, :, None]], 2), upper=False
        )
        cross, linear = both[:, :, :-1], both[:, :, -1]
        layers.insert(0, Layer(factor, cross, linear, bends))
        constant = constant - 0.5 * linear.square().sum(1)
        log_det = log_det + factor.diagonal(dim1=-2, dim2=-1).log().sum(1)
        matrix = slope.mT * tilted + torch.diag_embed(2 * g[2]) - cross.mT @ cross
        before = net.chain.weights[number] if number else net.chain.factors[0]
        matrix = before.mT @ matrix @ before
        rows = (own.slope * rows + g[4] - times(cross.mT, linear)) @ before
    factor, positive = cholesky(matrix + torch.diag_embed(scale[:, None].expand_as(rows)))
    log_det = log_det + factor.diagonal(dim1=-2, dim2=-1).log().sum(1)
    return Eliminated(layers, last, matrix, rows, factor, feasible & positive, constant, log_det)


def times(matrix: Float[Tensor, "rows n m"], rows: Float[Tensor, "r m"]) -> Tensor:
    """Each matrix times its vector."""
    product: Tensor = (matrix @ rows[:, :, None])[:, :, 0]
    return product


def solved(factor: Float[Tensor, "rows n n"], rows: Float[Tensor, "rows n"]) -> Tensor:
    """(LLᵀ)⁻¹ times each row."""
    found: Tensor = torch.cholesky_solve(rows[:, :, None], factor)[:, :, 0]
    return found


def cholesky(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """Cholesky factors, the identity where there is none, and where there are some."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    positive = (info == 0) & factor.diagonal(dim1=-2, dim2=-1).isfinite().all(-1)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    return torch.where(positive[:, None, None], factor, identity), positive
