"""How many frequencies an axis, and what the maximum over them can miss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from intriguing.spectral.norms.gram_symbol import GramSymbol
from intriguing.spectral.norms.polyphase import Axis

EXCESSES = (0.001, 0.003, 0.006, 0.0125, 0.025, 0.05, 0.1, 0.2, 0.5, 1.0)
"""Excesses of the grid-to-supremum factor, over all axes, that are weighed against time."""
WORK = 3e11
"""Operations (half a minute of one core) worth as much as a bound twice as high."""
CALL = 1e5
"""Operations that a matrix costs besides those that grow with its size."""


@dataclass(frozen=True)
class Grid:
    """Frequencies an axis, and the factor from the maximum over them to the bound."""

    points: tuple[int, ...]
    factor: float


def supremum_factor(taps: int, points: int) -> float:
    """1/cos(π·d/N), d = (taps − 1)/2: from the maximum over N frequencies to the supremum.

    A trigonometric polynomial that reaches its maximum M at ξ₀ is at least M·cos(d·(ξ − ξ₀)) near
    it (M. Riesz), and some frequency of the grid is within π/N (Ehlich and Zeller 1964). For
    matrices, take p(ξ) = uᴴ·A(ξ)·v with the singular vectors at the supremum.

    >>> round(supremum_factor(3, 64), 5), supremum_factor(1, 1), supremum_factor(3, 2)
    (1.00121, 1.0, inf)
    """
    return 1.0 / math.cos(math.pi * (taps - 1) / (2 * points)) if points >= taps else math.inf


def given_grid(axes: Sequence[Axis], points: int) -> Grid:
    """`points` frequencies an axis, or the axis' circle where that is no larger."""
    chosen = [_one(axis, max(points, axis.taps)) for axis in axes]
    return Grid(tuple(n for n, _ in chosen), math.prod(factor for _, factor in chosen))


def choose_grid(axes: Sequence[Axis], symbol: GramSymbol) -> Grid:
    """The grid whose factor and time are least together."""
    groups, size, lags = symbol.even.shape[1], symbol.size, len(symbol.lags)
    work = groups * (CALL + 1.5 * size**3 + 4.0 * lags * size**2) / 2
    grids = []
    for excess in EXCESSES:
        share = (1.0 + excess) ** (1.0 / len(axes))
        chosen = [_one(axis, points_for(axis.taps, share)) for axis in axes]
        grids.append(Grid(tuple(n for n, _ in chosen), math.prod(f for _, f in chosen)))
    return min(grids, key=lambda grid: grid.factor + work * math.prod(grid.points) / WORK)


def points_for(taps: int, factor: float) -> int:
    """The fewest frequencies for which `supremum_factor` is at most `factor`."""
    return max(taps, math.ceil(math.pi * (taps - 1) / (2 * math.acos(1.0 / factor))))


def _one(axis: Axis, points: int) -> tuple[int, float]:
    if axis.circle is not None and axis.circle <= points:
        return axis.circle, 1.0
    return points, supremum_factor(axis.taps, points)
