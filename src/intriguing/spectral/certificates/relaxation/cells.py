"""A curve between two numbers, cut into cells in which it is a chord but for a known error.

For a curve σ and multipliers q, g, μ, Λ a backward pass needs from below

    least over z ∈ [l, u] of   q·σ(z) − g·z − ½μ(σ(z) − y₀)² + ½Λ(z − z₀)².

In a cell σ is within e of its chord az + b, so that the first and the third term change by at most
(|q| + μ·max|σ − y₀|)·e; with the chord it is a parabola, whose least value is at its vertex or at
an end, and for Λ < μa² at an end. With (σ(z) − y₀)² ≤ k(z − z₀)² in [l, u] a Λ of μk pays for the
tail: a unit that is off in all of the range needs none. Cells end at the kinks. Between them
|σ''| ≤ M, and e = M·h²/8 for cells of length h.
"""

import itertools
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.certificates.relaxation.program import Curve

COARSE, FINE = 8, 64
"""Cells between kinks of a smooth curve: while multipliers are searched, and for the proof."""
_ROUNDED = 1e-13
"""Error of σ and of the chords as float64 computes them, relative to the sizes that meet there."""
_UNIT = 2.0**-53
_NEXT = 1e-9
"""Of z₀: nearer ends of cells say no more of how σ moves than the chords around them."""
WIDEST = 1e100
"""Numbers beyond have no cells worth anything."""


@dataclass(frozen=True)
class Cells:
    """Of every number: from `start` to `stop` the curve is slope·z + offset, within `error`."""

    start: Float[Tensor, "cells units"]
    stop: Float[Tensor, "cells units"]
    slope: Float[Tensor, "cells units"]
    offset: Float[Tensor, "cells units"]
    error: Float[Tensor, "cells units"]

    def to(self, dtype: torch.dtype) -> "Cells":
        """In another precision."""
        return Cells(*(getattr(self, name).to(dtype) for name in self.__dataclass_fields__))

    @property
    def largest(self) -> Float[Tensor, " units"]:
        """|σ| is at most this."""
        ends = torch.stack([self.slope * z + self.offset for z in (self.start, self.stop)])
        return (ends.abs().amax(0) + 2.0 * self.error).amax(0)

    def farthest(self, at: Float[Tensor, " units"]) -> Float[Tensor, "cells units"]:
        """|σ − y₀| in each cell is at most this."""
        ends = torch.stack([self.slope * z + self.offset - at for z in (self.start, self.stop)])
        return ends.abs().amax(0) + 2.0 * self.error

    @property
    def slopes(self) -> tuple[Float[Tensor, " units"], Float[Tensor, " units"]]:
        """Between which slopes the chords run."""
        real = self.stop > self.start
        low = torch.where(real, self.slope, torch.inf).amin(0)
        high = torch.where(real, self.slope, -torch.inf).amax(0)
        none = ~real.any(0)
        return torch.where(none, 0.0, low), torch.where(none, 0.0, high)

    def moves(
        self, z0: Float[Tensor, " units"], y0: Float[Tensor, " units"]
    ) -> Float[Tensor, " units"]:
        """How far σ(z) is from y₀ at most for each step of z from z₀, by the chords."""
        around = (self.start <= z0) & (z0 <= self.stop) & (self.stop > self.start)
        most = torch.where(around, self.slope.abs(), 0.0)
        for z in (self.start, self.stop):  # in between it is monotone
            away = (z - z0).abs()
            on = self.slope * z
            moved = (on + self.offset - y0).abs()
            moved = moved + 8 * _UNIT * (on.abs() + self.offset.abs() + y0.abs())
            ratio = torch.where(away > _NEXT * (1 + z0.abs()), moved / away, 0.0)
            most = torch.maximum(most, ratio)
        return most.amax(0) * (1 + 1e-12)

    def least(
        self, q: Float[Tensor, "rows units"], g: Float[Tensor, "rows units"],
        mu: Float[Tensor, "rows units_or_1"], strength: Float[Tensor, "rows units_or_1"],
        z0: Float[Tensor, " units"], y0: Float[Tensor, " units"], proved: bool,
    ) -> Float[Tensor, "rows units"]:  # fmt: skip
        """The least value as above, from below; rounding counts where it is `proved`.

        Args:
            mu, strength: μ and Λ; both may be 0.
        """
        a, b = self.slope[:, None], (self.offset - y0)[:, None]
        start, stop = self.start[:, None], self.stop[:, None]
        with torch.no_grad():  # the least value does not move with where it is
            bent = strength - mu * a.square()
            # Derivative in z of the parabola: −g + qa − μa(az + b) + Λ(z − z₀).
            rest = g - q * a + mu * a * b + strength * z0
            vertex = rest / bent.clamp_min(torch.finfo(q.dtype).tiny)
            lower = torch.where(rest > bent * (0.5 * (start + stop)), stop, start)
            z = torch.where(bent > 0, torch.minimum(torch.maximum(vertex, start), stop), lower)
        sigma = a * z + b
        squares = -0.5 * mu * sigma.square(), 0.5 * strength * (z - z0).square()
        terms = (q * (sigma + y0), -g * z, *squares)
        value = terms[0] + terms[1] + terms[2] + terms[3]
        if proved:
            doubt = (q.abs() + mu * self.farthest(y0)[:, None]) * self.error[:, None]
            sizes = sum((t.abs() for t in terms), torch.zeros_like(value))
            both = strength + mu * a.square()
            steep = g.abs() + (q * a).abs() + (mu * a * b).abs() + both * (z0.abs() + z.abs())
            wide = (stop - start) + _UNIT * z.abs()
            sizes = sizes + (q * y0).abs() + steep * wide + both * wide.square()
            value = value - doubt * (1 + 1e-9) - 64 * _UNIT * sizes
        return value.amin(0)

    def lowest(
        self, q: Float[Tensor, " units"], g: Float[Tensor, " units"],
        strength: Float[Tensor, " units"], z0: Float[Tensor, " units"],
    ) -> tuple[Float[Tensor, " units"], Float[Tensor, " units"]]:  # fmt: skip
        """z and σ(z), nearly, where the value of `least` is least without a tail, μ = 0."""
        vertex = z0 + (g - q * self.slope) / strength
        z = torch.minimum(torch.maximum(vertex, self.start), self.stop)
        sigma = self.slope * z + self.offset
        value = q * sigma - g * z + 0.5 * strength * (z - z0).square()
        least, place, there = value[0], z[0], sigma[0]
        for i in range(1, len(z)):  # several times faster than argmin along a short axis
            less = value[i] < least
            least = torch.where(less, value[i], least)
            place, there = torch.where(less, z[i], place), torch.where(less, sigma[i], there)
        return place, there


def cells_of(
    curve: Curve, low: Float[Tensor, "1 ..."], high: Float[Tensor, "1 ..."], smooth: int
) -> Cells:
    """The cells of all numbers between low and high."""
    low, high = low.clamp(-WIDEST, WIDEST), high.clamp(-WIDEST, WIDEST)
    kinks = [torch.full_like(low, k).clamp(low, high) for k in sorted(curve.bends.kinks)]
    ends = [low, *kinks, high]
    points = [ends[0]]
    for first, last in itertools.pairwise(ends):
        count = smooth if curve.bends.curvature else 1
        points += [first + (last - first) * (i / count) for i in range(1, count)] + [last]
    z = torch.cat(points)
    values = curve(z)
    start, stop = z[:-1].flatten(1), z[1:].flatten(1)
    before, after = values[:-1].flatten(1), values[1:].flatten(1)
    width = (stop - start).clamp_min(0.0)
    steepest = curve.steepest
    slope = torch.where(width > 0, (after - before) / width, 0.0).nan_to_num(0.0)
    slope = slope.clamp(-steepest, steepest)
    offset = before - slope * start
    size = before.abs() + after.abs() + steepest * (start.abs() + stop.abs())
    # The second term: what the chord misses the far end by, in a cell too short for its slope.
    error = curve.bends.curvature * width.square() / 8 * (1 + 1e-9) + _ROUNDED * size
    error = error + (slope * stop + offset - after).abs() + curve.bends.slack + 1e-300
    return Cells(start, stop, slope, offset, error)
