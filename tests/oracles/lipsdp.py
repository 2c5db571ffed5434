"""LipSDP's linear matrix inequality as one dense matrix, and lower bounds from activation patterns.

Nothing here knows of ellipsoids or Cholesky factors: the unknowns of all layers are one vector.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import optimize

Array = NDArray[np.float64]


def smallest_bound(
    hidden: Sequence[Array],
    last: Array,
    multipliers: Array,
    low: float | Array,
    high: float | Array,
) -> float:
    """The smallest L for which multipliers prove LipSDP's inequality; infinite if for none.

    Slopes are of all units, or of each in the order of the multipliers.

    Sum over hidden units of T (y − αz)(βz − y), doubled, is taken from ρ‖x‖² − ‖last·y‖²; the form
    is nonnegative for ρ ≥ λ_max of what eliminating all hidden units leaves of the input's block.
    """
    widths = [hidden[0].shape[1], *(len(weight) for weight in hidden)]
    ends = np.cumsum(widths)
    total = int(ends[-1])
    form = np.zeros((total, total))
    used = 0
    lows, highs = (np.broadcast_to(slope, multipliers.shape) for slope in (low, high))
    for number, weight in enumerate(hidden):
        before = slice(int(ends[number]) - widths[number], int(ends[number]))
        for unit, row in enumerate(weight):
            z, y = np.zeros(total), np.zeros(total)
            z[before], y[int(ends[number]) + unit] = row, 1.0
            product = np.outer(y - lows[used] * z, highs[used] * z - y)
            form -= multipliers[used] * (product + product.T)
            used += 1
    form[total - widths[-1] :, total - widths[-1] :] -= last.T @ last
    first = widths[0]
    inner, side = form[first:, first:], form[:first, first:]
    if np.linalg.eigvalsh(inner)[0] <= 0:
        return float("inf")
    rest = side @ np.linalg.solve(inner, side.T) - form[:first, :first]
    return float(np.sqrt(max(0.0, np.linalg.eigvalsh(rest)[-1])))


def best_bound(
    hidden: Sequence[Array], last: Array, low: float, high: float, start: Array
) -> float:
    """The best of `smallest_bound` over multipliers, by a simplex search; for a few units."""

    def objective(logs: Array) -> float:
        return min(smallest_bound(hidden, last, np.exp(logs), low, high), 1e6)

    logs = np.log(start)
    for _ in range(4):
        found = optimize.minimize(
            objective, logs, method="Nelder-Mead", options={"maxiter": 4000, "fatol": 1e-12}
        )
        logs = found.x
    return float(found.fun)


def patterns_bound(
    hidden: Sequence[Array], last: Array, low: float, high: float, generator: np.random.Generator
) -> float:
    """The largest ‖last D W … D W‖ over sampled slopes D, each low or high: at most L's bound."""
    best = 0.0
    for _ in range(200):
        product = np.eye(hidden[0].shape[1])
        for weight in hidden:
            slopes = generator.choice([low, high], size=len(weight))
            product = slopes[:, None] * (weight @ product)
        best = max(best, float(np.linalg.norm(last @ product, 2)))
    return best
