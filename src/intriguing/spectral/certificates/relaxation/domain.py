"""The least value of a bound where images lie: in a ball around one, and in the box.

Of h·d − ½‖√D Cd‖², d the change of the image and C the affine map to the first curve, whose tails
D end here: one number for a whole layer, or one for each of its units. For any λ > ‖CᵀDC‖ and any
point p, with δ = λ − ‖CᵀDC‖ and ∇ = h + λp − CᵀDCp,

    φ(d) = h·d − ½‖√D Cd‖² + ½λ(‖d‖² − R²)  ≥  φ(p) + Σᵢ min over eᵢ of (∇ᵢeᵢ + ½δeᵢ²),

pᵢ + eᵢ in the box, because φ is convex, by at least δ. Inside the ball φ is no more than the bound.
At the best λ and p the two are equal if C = 0, and differ by what smaller singular values are worth
otherwise. They are found by p ← (CᵀDCp − h)/λ, clipped to the box, and λ ← λ‖p‖/R, from where a
pass before has left them; whatever they are, the value is a bound if ‖CᵀDC‖ is proved.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.certificates.relaxation.sparse_map import Peak, SparseMap
from intriguing.spectral.norms.eigenvalue import UNIT

_ROUNDS = 8
"""Of looking again; two or three change anything."""
_LEAST = 1e-3
"""δ is at least so much of λ, so that p gets anywhere."""
_POWERS = (30, 8)
"""Steps of the power method for ‖CᵀDC‖ while it is not proved: at first, and later. With fewer the
search finds D whose norm it does not see, and what is proved is far behind."""
_SHORT = 1.003
"""What they are taken to have come short of it by."""


@dataclass
class Nearest:
    """p and log δ, of every row."""

    point: Float[Tensor, "rows pixels"]
    log_delta: Float[Tensor, "rows 1"]

    def each(self, of: Callable[[Tensor], Tensor]) -> "Nearest":
        """With the same done to all that it is made of."""
        return Nearest(of(self.point), of(self.log_delta))

    def scaled(self, factor: float) -> "Nearest":
        """For D times a factor, in a ball so much smaller."""
        return Nearest(self.point / factor, self.log_delta + math.log(factor))

    @staticmethod
    def stacked(rows: "Sequence[Nearest]") -> "Nearest":
        """Of rows one by one."""
        return Nearest(
            torch.cat([row.point for row in rows]), torch.cat([row.log_delta for row in rows])
        )


@dataclass
class Steepest:
    """Where CᵀDC is nearly largest, of every row, and what was proved of it."""

    direction: Float[Tensor, "rows numbers"] | None = None
    peak: Peak | None = None

    def each(self, of: Callable[[Tensor], Tensor]) -> "Steepest":
        """With the same done to all that it is made of."""
        peak = self.peak and replace(self.peak, weight=of(self.peak.weight), top=of(self.peak.top))
        return Steepest(None if self.direction is None else of(self.direction), peak)

    def scaled(self, factor: float) -> "Steepest":
        """For D times a factor."""
        peak = self.peak and replace(
            self.peak, weight=self.peak.weight * factor, top=self.peak.top * factor
        )
        return Steepest(self.direction, peak)

    @staticmethod
    def stacked(rows: "Sequence[Steepest]") -> "Steepest":
        """Of rows one by one; without what one of them lacks."""
        directions = [row.direction for row in rows if row.direction is not None]
        peaks = [row.peak for row in rows if row.peak is not None]
        one = len(peaks) == len(rows) and all(p.of is peaks[0].of for p in peaks)
        weight, top = ([getattr(p, name) for p in peaks] for name in ("weight", "top"))
        return Steepest(
            torch.cat(directions) if len(directions) == len(rows) else None,
            Peak(torch.cat(weight), torch.cat(top), peaks[0].of) if one else None,
        )


def least_inside(
    h: Float[Tensor, "rows pixels"],
    down: Float[Tensor, "... pixels"],
    up: Float[Tensor, "... pixels"],
    radius: float,
    rounds: int = _ROUNDS,
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """min h·d where ‖d‖ ≤ radius and down ≤ d ≤ up, from below, and what rounding can have done.

    Without C. From λ = ‖h‖/R, that of the ball alone, λ is found by taking for granted which dᵢ the
    box stops, which gives the others' λ = ‖h_free‖/√(R² − ‖d_stopped‖²), and looking again.

    Args:
        down, up: a ≤ 0 ≤ b, for all rows or each.
        rounds: How often to look again.
    """
    tiny = torch.finfo(h.dtype).tiny * 1e6
    multiplier = torch.linalg.vector_norm(h, dim=1, keepdim=True).clamp_min(tiny) / radius
    for _ in range(rounds):
        d = -h / multiplier
        free = (d > down) & (d < up)
        stopped = torch.where(free, 0.0, torch.minimum(torch.maximum(d, down), up))
        left = radius**2 - stopped.square().sum(1, keepdim=True)
        length = torch.linalg.vector_norm(torch.where(free, h, 0.0), dim=1, keepdim=True)
        others = length / left.clamp_min(0.0).sqrt().clamp_min(1e-3 * radius)
        multiplier = torch.minimum(multiplier, others).clamp_min(tiny)
    d = torch.minimum(torch.maximum(-h / multiplier, down), up)
    terms, squares = h * d, 0.5 * (multiplier * d.square()).sum(1)
    whole = 0.5 * multiplier[:, 0] * radius**2
    sizes = terms.abs().sum(1) + squares + whole
    return terms.sum(1) + squares - whole, 8 * (h.shape[1] + 16) * UNIT * sizes


def nearest(
    h: Float[Tensor, "rows pixels"], tail: Float[Tensor, "rows units_or_1"],
    top: Float[Tensor, "rows 1"], first: SparseMap, down: Float[Tensor, " pixels"],
    up: Float[Tensor, " pixels"], radius: float, start: Nearest | None, rounds: int,
) -> Nearest:  # fmt: skip
    """p and δ for h and D, from where they were.

    Args:
        top: ‖CᵀDC‖.
    """
    with torch.no_grad():
        h, tail, steep = h.detach(), tail.detach(), top.detach()
        tiny = torch.finfo(h.dtype).tiny * 1e6
        if start is None:
            length = torch.linalg.vector_norm(h, dim=1, keepdim=True)
            strength, point = (length / radius).clamp_min(tiny) + steep, torch.zeros_like(h)
        else:
            strength, point = start.log_delta.to(h).exp() + steep, start.point.to(h)
        for _ in range(rounds):
            pulled = first.squared(point, tail)[1] - h
            point = torch.minimum(torch.maximum(pulled / strength, down), up)
            reached = torch.linalg.vector_norm(point, dim=1, keepdim=True) / radius
            strength = torch.maximum(strength * reached, (1 + _LEAST) * steep).clamp_min(tiny)
        return Nearest(point, (strength - steep).clamp_min(_LEAST * strength).log())


def largest(
    tail: Float[Tensor, "rows units_or_1"], first: SparseMap, start: Steepest, proved: bool,
    units: Float[Tensor, "rows numbers"] | None = None,
) -> tuple[Float[Tensor, "rows 1"], Steepest]:  # fmt: skip
    """‖UCᵀDCU‖, proved or nearly, and where; U = diag(exp(units)), or I."""
    if tail.shape[1] == 1:
        return tail * (first.norm**2 * (1 + 1e-12)), Steepest()
    columns = None if units is None else units.detach().exp()
    if proved:
        top = first.top(tail, start.peak, columns)
        return top, Steepest(start.direction, Peak(tail, top, first) if columns is None else None)
    with torch.no_grad():
        steps = _POWERS[start.direction is not None]
        direction, along, moved = first.steepest(tail, start.direction, steps, columns)
    top = _SHORT * (tail * moved.square()).sum(1, keepdim=True)
    if units is not None:  # ‖D½CUv‖² has the derivative 2·top·v² where v is the eigenvector
        apart = units - units.detach()
        top = top + 2 * top.detach() * (along.square() * apart).sum(1, keepdim=True)
    return top, Steepest(direction)


def least_beyond(
    h: Float[Tensor, "rows pixels"], tail: Float[Tensor, "rows units_or_1"],
    top: Float[Tensor, "rows 1"], first: SparseMap, down: Float[Tensor, " pixels"],
    up: Float[Tensor, " pixels"], radius: float, at: Nearest, proved: bool,
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:  # fmt: skip
    """The bound above at p and δ, and what rounding can have done if it is to be `proved`."""
    with torch.no_grad():
        point, delta = at.point.to(h), at.log_delta.to(h).exp()
        moved, back = first.squared(point, tail)
        free = h + (top + delta) * point - back
        step = torch.minimum(torch.maximum(-free / delta, down - point), up - point)
        across = moved * first.moved(step)
    strength = top + delta
    half = 0.5 * (tail * moved.square()).sum(1), 0.5 * (strength * point.square()).sum(1)
    whole = 0.5 * strength[:, 0] * radius**2
    # ∇·e, with what depends on D written so that it can be differentiated.
    rest = ((h + strength * point) * step).sum(1) - (tail * across).sum(1)
    rest = rest + 0.5 * (delta * step.square()).sum(1)
    value = (h * point).sum(1) + half[1] - half[0] - whole + rest
    if not proved:
        return value, torch.zeros_like(value)
    # ∇ᵢ may be off by γ times its terms, and eᵢ is no longer than box and ball let it be.
    sizes, twice = first.sizes(point, tail)
    reach = torch.minimum(up - down, radius + point.abs())
    terms = h.abs() + strength * point.abs() + twice
    lost = (terms * reach).sum(1) + (h * point).abs().sum(1) + half[1] + whole
    lost = lost + (tail * sizes.square()).sum(1) + (delta * step.square()).sum(1)
    count = 2 * first.terms + sum(first.matrix.shape) + 16
    return value, 32 * count * UNIT * lost
