"""The Gram matrices of a convolution at every frequency, from the autocorrelation of its taps.

The symbol A(ξ) = Σ_t a_t e^{i t·ξ} of taps a_t has the Gram matrix

    G(ξ) = A(ξ)ᴴ A(ξ) = S_0 + Σ_{δ > 0} [cos(δ·ξ) (C_δ + C_δᵀ) + i sin(δ·ξ) (C_δ − C_δᵀ)],

with C_δ = Σ_t a_tᵀ a_{t+δ}: a real product a pair of taps, once, and then a handful of sums
a frequency, where multiplying A(ξ) out would cost a product of complex matrices each. Where rows
are fewer than columns, the taps are transposed first. G(−ξ) is G(ξ)'s conjugate: half of the
frequencies are enough.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64, Shaped
from torch import Tensor

from intriguing.spectral.norms.eigenvalue import UNIT

CHUNK = 2**20
"""Complex numbers held at a time in Gram matrices."""


@dataclass(frozen=True)
class GramSymbol:
    """G(ξ) of every group, as coefficients over half of the lags.

    Attributes:
        lags: δ of each coefficient, one row each; the first is 0.
        even: C_δ + C_δᵀ, or C_0.
        odd: C_δ − C_δᵀ.
        error: What rounding can change any computed G(ξ) by, in norm.
    """

    lags: Int64[Tensor, "lags axes"]
    even: Float[Tensor, "lags groups n n"]
    odd: Float[Tensor, "lags groups n n"]
    error: float

    @property
    def size(self) -> int:
        """Rows of each Gram matrix."""
        return self.even.shape[-1]

    def at(
        self, points: Int64[Tensor, "points axes"], grid: Sequence[int]
    ) -> Shaped[Tensor, "matrices n n"]:
        """The Gram matrices of all groups at ξ = 2π·point/grid; points vary slowest."""
        cosine, sine = waves(points, self.lags, grid)
        shape = (-1, self.size, self.size)
        real = (cosine.to(self.even) @ self.even.flatten(1)).reshape(shape)
        if len(self.lags) == 1:
            return real
        return torch.complex(real, (sine.to(self.odd) @ self.odd.flatten(1)).reshape(shape))

    def over(self, grid: Sequence[int]) -> Iterator[Shaped[Tensor, "matrices n n"]]:
        """The Gram matrices over half of a frequency grid, in chunks."""
        chunk = max(1, CHUNK // self.even[0].numel())
        for points in torch.split(half_grid(grid), chunk):
            yield self.at(points, grid)


def gram_symbol(
    taps: Float[Tensor, "taps groups rows columns"], extents: Sequence[int]
) -> GramSymbol:
    """The Gram symbol of taps laid out over `extents` taps an axis.

    Each entry of G(ξ) is a sum of products of taps. In float64 the products over m rows, the at
    most T·|lags| additions and cosines accurate to a few u change G(ξ) in norm by at most
    2·(m + T + |lags| + 16)·u·(Σ_t ‖a_t‖_F)², T the number of taps.
    """
    if taps.shape[-2] < taps.shape[-1]:
        taps = taps.mT
    positions = list(itertools.product(*(range(extent) for extent in extents)))
    zero = (0,) * len(extents)
    sums: dict[tuple[int, ...], Tensor] = {}
    for index, position in enumerate(positions):
        products = torch.einsum("gmi,tgmj->tgij", taps[index], taps[index:])
        for later, product in zip(positions[index:], products, strict=True):
            lag = tuple(b - a for a, b in zip(position, later, strict=True))
            sums[lag] = sums[lag] + product if lag in sums else product
    lags = sorted(sums)
    stacked = torch.stack([sums[lag] for lag in lags])
    even, odd = stacked + stacked.mT, stacked - stacked.mT
    even[lags.index(zero)] /= 2
    energy = float(torch.linalg.vector_norm(taps, dim=(2, 3)).sum(0).max()) ** 2
    error = 2.0 * (taps.shape[-2] + len(positions) + len(lags) + 16) * UNIT * energy
    return GramSymbol(torch.tensor(lags, dtype=torch.int64), even, odd, error)


def waves(
    points: Int64[Tensor, "points axes"],
    lags: Int64[Tensor, "lags axes"],
    grid: Sequence[int],
) -> tuple[Float[Tensor, "points lags"], Float[Tensor, "points lags"]]:
    """cos and sin of 2π Σ_i lag_i·point_i/grid_i, its turns taken off in whole numbers."""
    common = math.lcm(*grid)
    steps = torch.tensor([common // size for size in grid])
    turns = ((points * steps) @ lags.T) % common
    angle = turns.double() * (2.0 * math.pi / common)
    return angle.cos(), angle.sin()


def half_grid(grid: Sequence[int]) -> Int64[Tensor, "points axes"]:
    """The points of a frequency grid, one of each ξ and −ξ."""
    points = torch.cartesian_prod(*(torch.arange(size) for size in grid)).reshape(-1, len(grid))
    sizes = torch.tensor(list(grid))
    place = torch.tensor([math.prod(grid[i + 1 :]) for i in range(len(grid))])
    return points[(points @ place) <= (((sizes - points) % sizes) @ place)]
