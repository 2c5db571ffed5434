"""Histograms that need no range in advance: bins of width 2^e that double when they run out.

Bins lie at multiples of their width, so a wider bin is the union of two narrower ones: the result
depends on the values alone, not on their order, and two histograms add up exactly.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

# Widths finer than this fraction of the largest value would divide what rounding has joined.
_FINEST = 2.0**-20
_LEAST = -100
"""Exponent of two below which a value counts as 0: 10⁻³⁰."""
_HELD = 1 << 19
"""Values that are kept before they are counted together: 2 MiB, as one by one would cost more."""


@dataclass(frozen=True)
class Histogram:
    """For each direction, counts of values in [(first + j)·width, (first + j + 1)·width).

    `lowest` and `highest` are the values' range: ∞ and −∞ where none came.
    """

    width: Float[Tensor, " direction"]
    first: Int64[Tensor, " direction"]
    counts: Int64[Tensor, "direction bin"]
    lowest: Float[Tensor, " direction"]
    highest: Float[Tensor, " direction"]

    def edges(self, direction: int) -> Float[Tensor, " edge"]:
        """The bounds of a direction's bins, one more than there are bins."""
        bins = torch.arange(self.counts.shape[1] + 1) + self.first[direction]
        return bins.double() * self.width[direction]

    def __getitem__(self, directions: slice) -> "Histogram":
        return Histogram(*(part[directions] for part in self._parts()))

    def __add__(self, other: "Histogram") -> "Histogram":
        """The histogram of the values of both."""
        running = RunningHistogram(*self.counts.shape)
        running.merge(self)
        running.merge(other)
        return running.frozen()

    def _parts(self) -> tuple[Tensor, ...]:
        return self.width, self.first, self.counts, self.lowest, self.highest


def join_histograms(parts: Sequence[Histogram]) -> Histogram:
    """One histogram of all the directions of several, in their order."""
    return Histogram(*map(torch.cat, zip(*(part._parts() for part in parts), strict=True)))


class RunningHistogram:
    """Counts values of many directions as they come; with no bins, keeps their range only."""

    def __init__(self, directions: int, bins: int) -> None:
        self._exponent = np.full(directions, _LEAST - 1, dtype=np.int64)
        self._first = np.zeros(directions, dtype=np.int64)
        self._counts = np.zeros((directions, bins), dtype=np.int64)
        self._held: list[Tensor] = []
        self._low = np.full(directions, np.inf)
        self._high = np.full(directions, -np.inf)

    def add(self, values: Float[Tensor, "direction batch"]) -> None:
        """Count values, all of them finite."""
        if not values.numel():
            return
        if not self._counts.shape[1]:
            self._cover(*(bound.cpu().double().numpy() for bound in values.aminmax(dim=1)))
            return
        self._held.append(values.to("cpu", copy=True))
        if sum(held.numel() for held in self._held) > _HELD:
            self._flush()

    def merge(self, other: Histogram) -> None:
        """Count what `other` counted too."""
        self._cover(other.lowest.numpy(), other.highest.numpy())
        exponent = np.frexp(other.width.numpy())[1].astype(np.int64) - 1
        self._counts += _poured(
            other.counts.numpy(), exponent, other.first.numpy(), self._exponent, self._first
        )

    def frozen(self) -> Histogram:
        """The histogram so far."""
        self._flush()
        parts = (np.ldexp(1.0, self._exponent), self._first, self._counts, self._low, self._high)
        return Histogram(*(torch.from_numpy(part.copy()) for part in parts))

    def _cover(self, low: np.ndarray, high: np.ndarray) -> None:
        """Make the bins reach from the lowest to the highest value, no wider than needed."""
        self._low, self._high = np.minimum(self._low, low), np.maximum(self._high, high)
        bins = self._counts.shape[1]
        if not bins:
            return
        seen = np.isfinite(self._low)
        least, most = np.where(seen, self._low, 0.0), np.where(seen, self._high, 0.0)
        exponent = np.maximum(
            _exponent(np.maximum(np.abs(least), np.abs(most)) * _FINEST),
            _exponent((most - least) / bins) - 2,
        )
        while True:  # a few times: the guess is below what is needed by little
            first = _bin(least, exponent)
            short = _bin(most, exponent) - first >= bins
            if not short.any():
                break
            exponent = exponent + short
        self._counts = _poured(self._counts, self._exponent, self._first, exponent, first)
        self._exponent, self._first = exponent, first

    def _flush(self) -> None:
        """Count the values that were held back: many at a time cost less."""
        if self._held:
            values = torch.cat(self._held, 1).double().numpy()
            self._held = []
            self._cover(values.min(1), values.max(1))
            self._count(values)

    def _count(self, values: np.ndarray) -> None:
        directions, bins = self._counts.shape
        at = _bin(values, self._exponent[:, None]) - self._first[:, None]
        at += np.arange(directions)[:, None] * bins
        self._counts += np.bincount(at.ravel(), minlength=directions * bins).reshape(-1, bins)


def _poured(
    counts: np.ndarray,
    exponent: np.ndarray,
    first: np.ndarray,
    new_exponent: np.ndarray,
    new_first: np.ndarray,
) -> np.ndarray:
    """Counts in bins at least as wide, or that begin elsewhere."""
    changed = np.flatnonzero((exponent != new_exponent) | (first != new_first))
    if not len(changed):
        return counts
    poured = counts.copy()
    poured[changed] = 0
    at, old = np.nonzero(counts[changed])
    rows = changed[at]
    wider = np.minimum(new_exponent[rows] - exponent[rows], 62)
    np.add.at(poured, (rows, ((first[rows] + old) >> wider) - new_first[rows]), counts[rows, old])
    return poured


def _exponent(values: np.ndarray) -> np.ndarray:
    """Some e with |value| < 2^e, and the least there is for 0."""
    found = np.where(values > 0, np.frexp(values)[1], _LEAST)
    return np.maximum(found, _LEAST).astype(np.int64)


def _bin(values: np.ndarray, exponent: np.ndarray) -> np.ndarray:
    scaled = values * np.ldexp(1.0, -exponent)  # a power of two: exact
    found: np.ndarray = np.floor(scaled, out=scaled).astype(np.int64)
    return found
