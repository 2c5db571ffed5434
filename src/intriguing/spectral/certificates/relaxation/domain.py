"""The least value of a bound where images lie: in a ball around one, and in the box.

Of h·d − ½Λ‖Cd‖², d the change of the image and C the affine map to the first curve, whose tail ends
here. For any λ > Λ‖C‖² and any point p, with δ = λ − Λ‖C‖² and ∇ = h + λp − ΛCᵀCp,

    φ(d) = h·d − ½Λ‖Cd‖² + ½λ(‖d‖² − R²)  ≥  φ(p) + Σᵢ min over eᵢ of (∇ᵢeᵢ + ½δeᵢ²),

pᵢ + eᵢ in the box, because φ is convex, by at least δ. Inside the ball φ is no more than the bound.
At the best λ and p the two are equal if C = 0, and differ by what C's smaller singular values are
worth otherwise. They are found by p ← (ΛCᵀCp − h)/λ, clipped to the box, and λ ← λ‖p‖/R, from
where a pass before has left them; whatever they are, the value is a bound.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from jaxtyping import Float
from scipy.sparse import csr_matrix
from torch import Tensor

from intriguing.spectral.norms.eigenvalue import UNIT

_ROUNDS = 8
"""Of looking again; two or three change anything."""
_LEAST = 1e-3
"""δ is at least so much of λ, so that p gets anywhere."""


@dataclass(frozen=True)
class FirstMap:
    """C, as a sparse matrix in several precisions.

    Attributes:
        place: The node that it gives.
        norm: ‖C‖ from above.
        terms: Of all sums in C itself.
    """

    place: int
    matrix: csr_matrix
    absolute: csr_matrix
    norm: float
    terms: int
    kept: dict[object, tuple[csr_matrix, csr_matrix]] = field(default_factory=dict)

    def squared(self, d: Float[Tensor, "rows pixels"]) -> tuple[Tensor, Tensor]:
        """Cd and CᵀCd, without derivatives."""
        return self._both(self.matrix, d)

    def sizes(self, d: Float[Tensor, "rows pixels"]) -> tuple[Tensor, Tensor]:
        """The same of absolute values."""
        return self._both(self.absolute, d.abs())

    def _both(self, matrix: csr_matrix, d: Tensor) -> tuple[Tensor, Tensor]:
        name = ("C" if matrix is self.matrix else "|C|", d.dtype)
        if name not in self.kept:
            cast = matrix.astype(np.float32 if d.dtype == torch.float32 else np.float64)
            self.kept[name] = cast, cast.T.tocsr()
        there, back = self.kept[name]
        moved = there @ d.detach().cpu().numpy().T
        found = torch.from_numpy(moved.T), torch.from_numpy((back @ moved).T)
        return found[0].to(d), found[1].to(d)


@dataclass
class Nearest:
    """p and log δ, of every row; what a pass begins with and leaves."""

    point: Float[Tensor, "rows pixels"]
    log_delta: Float[Tensor, "rows 1"]


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
    h: Float[Tensor, "rows pixels"], tail: Float[Tensor, "rows 1"], first: FirstMap,
    down: Float[Tensor, " pixels"], up: Float[Tensor, " pixels"], radius: float,
    start: Nearest | None, rounds: int,
) -> Nearest:  # fmt: skip
    """p and δ for h and Λ, from where they were."""
    with torch.no_grad():
        h, tail = h.detach(), tail.detach()
        steep = tail * first.norm**2
        tiny = torch.finfo(h.dtype).tiny * 1e6
        if start is None:
            length = torch.linalg.vector_norm(h, dim=1, keepdim=True)
            strength, point = (length / radius).clamp_min(tiny) + steep, torch.zeros_like(h)
        else:
            strength, point = start.log_delta.to(h).exp() + steep, start.point.to(h)
        for _ in range(rounds):
            pulled = tail * first.squared(point)[1] - h
            point = torch.minimum(torch.maximum(pulled / strength, down), up)
            reached = torch.linalg.vector_norm(point, dim=1, keepdim=True) / radius
            strength = torch.maximum(strength * reached, (1 + _LEAST) * steep).clamp_min(tiny)
        return Nearest(point, (strength - steep).clamp_min(_LEAST * strength).log())


def least_beyond(
    h: Float[Tensor, "rows pixels"], tail: Float[Tensor, "rows 1"], first: FirstMap,
    down: Float[Tensor, " pixels"], up: Float[Tensor, " pixels"], radius: float, at: Nearest,
    proved: bool,
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:  # fmt: skip
    """The bound above at p and δ, and what rounding can have done if it is to be `proved`."""
    with torch.no_grad():
        point, delta = at.point.to(h), at.log_delta.to(h).exp()
        moved, back = first.squared(point)
    strength = tail * (first.norm**2 * (1 + 1e-12)) + delta
    slope = h + strength * point - tail * back
    with torch.no_grad():
        step = torch.minimum(torch.maximum(-slope / delta, down - point), up - point)
    squares = 0.5 * (strength * point.square()).sum(1), 0.5 * tail[:, 0] * moved.square().sum(1)
    whole = 0.5 * strength[:, 0] * radius**2
    rest = (slope * step).sum(1), 0.5 * (delta * step.square()).sum(1)
    value = (h * point).sum(1) + squares[0] - squares[1] - whole + rest[0] + rest[1]
    if not proved:
        return value, torch.zeros_like(value)
    # ∇ᵢ may be off by γ times its terms, and eᵢ is no longer than box and ball let it be.
    sizes, twice = first.sizes(point)
    reach = torch.minimum(up - down, radius + point.abs())
    terms = h.abs() + strength * point.abs() + tail * twice
    lost = (terms * reach).sum(1) + (h * point).abs().sum(1) + squares[0] + whole
    lost = lost + tail[:, 0] * sizes.square().sum(1) + rest[0].abs() + rest[1]
    count = 2 * first.terms + sum(first.matrix.shape) + 16
    return value, 16 * count * UNIT * lost
