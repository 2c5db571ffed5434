"""The least of many quadratic bounds in the ball and the box, each in the pixels of its own cone.

As in `domain`, of g·Kd − ½(Kd)ᵀΛKd, but K holds a block for each of many units, side by side, and
every unit has a λ of its own.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, diags
from torch import Tensor

from intriguing.spectral.certificates.relaxation.surroundings import UNIT, Image

SHORT = 1.003
"""What power steps are taken to have come short of ‖KᵀΛK‖ by."""
_LEAST = 1e-3
"""δ is at least so much of λ (`domain`)."""
_ABOVE = 1e-3
"""How far above what power steps find the proof is tried first, relatively; then twice as far."""
_BLOCKS = 20_000_000
"""Entries of the units' matrices that are factored at once: 160 MB."""


@dataclass
class Ends:
    """Where the search at the input is: p, log δ, and a direction in which KᵀΛK is largest."""

    point: Float[Tensor, " pixels"]
    log_delta: Float[Tensor, " units"] | None
    direction: Float[Tensor, " pixels"]


class ConePixels:
    """The pixels that some units read, each unit's by themselves.

    Attributes:
        matrix, absolute: K and |K|, from pixels to the numbers that the units' rows read.
        tap_owner, pixel_owner: Which unit a row of K, and a column, is of.
        terms: No sum on the way has more.
    """

    def __init__(
        self, matrix: csr_matrix, absolute: csr_matrix, places: NDArray[np.int64],
        owner: NDArray[np.int64], count: int, image: Image, radius: float, terms: int,
    ) -> None:  # fmt: skip
        """Of rows of C and |C| at these places, each of one of so many units."""
        self.count, self.radius, size = count, radius, matrix.shape[1]
        self.terms = int(2 * terms + sum(matrix.shape) + 16)
        parts = [matrix[places], absolute[places]]
        keys = [np.repeat(owner, np.diff(p.indptr)) * size + p.indices for p in parts]
        columns, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        split = np.split(inverse, [len(keys[0])])
        self.matrix, self.absolute = (
            csr_matrix((p.data, where, p.indptr), shape=(len(places), len(columns)))
            for p, where in zip(parts, split, strict=True)
        )
        self.pixel_owner = torch.from_numpy(columns // size)
        pixels = torch.from_numpy(columns % size)
        self.down, self.up = image.down.cpu()[pixels], image.up.cpu()[pixels]
        self.tap_owner = torch.from_numpy(owner)
        self._casts: dict[torch.dtype, tuple[csr_matrix, csr_matrix]] = {}
        self._kept: dict[tuple[str, torch.dtype], Any] = {}

    def _as(self, name: str, dtype: torch.dtype) -> Any:
        """An attribute in another precision."""
        if (name, dtype) not in self._kept:
            self._kept[name, dtype] = getattr(self, name).to(dtype)
        return self._kept[name, dtype]

    def per_unit(self, numbers: Tensor, owner: Int64[Tensor, " n"]) -> Tensor:
        return numbers.new_zeros(self.count).index_add(0, owner, numbers)

    def _moved(self, d: Tensor) -> Tensor:
        return torch.from_numpy(self._cast(d.dtype)[0] @ d.numpy())

    def _back(self, z: Tensor) -> Tensor:
        return torch.from_numpy(self._cast(z.dtype)[1] @ z.numpy())

    def _cast(self, dtype: torch.dtype) -> tuple[csr_matrix, csr_matrix]:
        if dtype not in self._casts:
            kind = np.float32 if dtype == torch.float32 else np.float64
            there = self.matrix.astype(kind)
            self._casts[dtype] = there, there.T.tocsr()
        return self._casts[dtype]

    def ends(self, dtype: torch.dtype) -> Ends:
        """At the image, and in a direction that is the same for all."""
        draw = torch.Generator().manual_seed(0)
        noise = torch.randn(len(self.pixel_owner), generator=draw, dtype=torch.float64).to(dtype)
        return Ends(torch.zeros_like(noise), None, noise)

    def towards(self, weight: Tensor, ends: Ends, steps: int) -> Tensor:
        """Kv of a direction v in which KᵀΛK is largest, nearly, unit by unit."""
        owner, v, tiny = self.pixel_owner, ends.direction, torch.finfo(weight.dtype).tiny
        moved = self._moved(v)
        for _ in range(steps):
            v = self._back(weight * moved)
            v = v / self.per_unit(v.square(), owner).sqrt().clamp_min(tiny)[owner]
            moved = self._moved(v)
        ends.direction = v
        return moved

    def walk(self, g: Tensor, weight: Tensor, top: Tensor, ends: Ends, rounds: int) -> None:
        """p ← (KᵀΛKp − h)/λ in the box, λ ← λ‖p‖/R (`domain.nearest`)."""
        owner, h = self.pixel_owner, self._back(g)
        down, up = self._as("down", h.dtype), self._as("up", h.dtype)
        p = ends.point.to(h)
        tiny = torch.finfo(h.dtype).tiny * 1e6
        if ends.log_delta is None:
            strength = self.per_unit(h.square(), owner).sqrt() / self.radius + top
        else:
            strength = ends.log_delta.to(h).exp() + top
        strength = strength.clamp_min(tiny)
        for _ in range(rounds):
            pulled = self._back(weight * self._moved(p)) - h
            p = torch.minimum(torch.maximum(pulled / strength[owner], down), up)
            reached = self.per_unit(p.square(), owner).sqrt() / self.radius
            strength = torch.maximum(strength * reached, (1 + _LEAST) * top).clamp_min(tiny)
        ends.point, ends.log_delta = p, (strength - top).clamp_min(_LEAST * strength).log()

    def least(
        self, g: Tensor, weight: Tensor, top: Tensor, ends: Ends
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The least of g·Kd − ½(Kd)ᵀΛKd in the ball and the box (`domain.least_beyond`).

        With it Kp, Ke for the step e from there, and the derivative in ‖KᵀΛK‖.
        """
        assert ends.log_delta is not None
        owner, p, delta = self.pixel_owner, ends.point, ends.log_delta.exp()
        moved, step = self._moved(p), self._step(g, weight, top, ends)
        across, strength = self._moved(step), top + delta
        squares = [self.per_unit(t, owner) for t in (p.square(), p * step, step.square())]
        value = self.per_unit(
            g * (moved + across) - weight * moved * (0.5 * moved + across), self.tap_owner
        )
        steep = 0.5 * squares[0] + squares[1] - 0.5 * self.radius**2
        return value + strength * steep + 0.5 * delta * squares[2], moved, across, steep

    def _step(self, g: Tensor, weight: Tensor, top: Tensor, ends: Ends) -> Tensor:
        """e, the least of ∇·e + ½δ‖e‖² in the box from p on."""
        assert ends.log_delta is not None
        owner, p, delta = self.pixel_owner, ends.point, ends.log_delta.exp()
        gradient = self._back(g - weight * self._moved(p)) + (top + delta)[owner] * p
        down, up = self._as("down", p.dtype), self._as("up", p.dtype)
        return torch.minimum(torch.maximum(-gradient / delta[owner], down - p), up - p)

    def lost(
        self, g: Tensor, weight: Tensor, top: Tensor, ends: Ends, moved: Tensor, across: Tensor
    ) -> Tensor:
        """What rounding can have done to it: ∇ may be off by γ times its terms (`domain`)."""
        assert ends.log_delta is not None
        owner, p, delta = self.pixel_owner, ends.point, ends.log_delta.exp()
        step, strength = self._step(g, weight, top, ends), top + delta
        sizes = torch.from_numpy(self.absolute @ p.abs().numpy())
        reading = torch.from_numpy(self.absolute.T @ g.abs().numpy())
        twice = torch.from_numpy(self.absolute.T @ (weight * sizes).numpy())
        reach = torch.minimum(self.up - self.down, self.radius + p.abs())
        terms = reading + strength[owner] * p.abs() + twice
        lost = self.per_unit(terms * (reach + p.abs()), owner) + 0.5 * strength * self.radius**2
        lost = lost + self.per_unit(weight * sizes.square(), self.tap_owner)
        lost = lost + self.per_unit(strength[owner] * p.square(), owner)
        lost = lost + self.per_unit(delta[owner] * step.square(), owner)
        return 32 * self.terms * UNIT * lost

    def proved_top(self, weight: Float[Tensor, " taps_entries"]) -> Float[Tensor, " units"]:
        """What no eigenvalue of KᵀΛK exceeds, unit by unit, by Cholesky factors."""
        scaled = (diags(np.sqrt(weight.numpy())) @ self.matrix).tocsr()
        gram = (scaled.T @ scaled).tocoo()
        owner = self.pixel_owner.numpy()
        counts = np.bincount(owner, minlength=self.count)
        first, widest = np.cumsum(counts) - counts, int(counts.max(initial=1))
        unit, row, column = owner[gram.row], gram.row, gram.col
        together = max(1, _BLOCKS // widest**2)
        found = []
        for start in range(0, self.count, together):
            here = (unit >= start) & (unit < start + together)
            own = unit[here]
            blocks = torch.zeros(min(together, self.count - start), widest, widest).double()
            blocks[own - start, row[here] - first[own], column[here] - first[own]] = (
                torch.from_numpy(gram.data[here])
            )
            found.append(_above_all(blocks))
        bound = torch.cat(found)
        ones = np.ones(self.matrix.shape[1])
        size = torch.from_numpy(self.absolute.T @ (weight.numpy() * (self.absolute @ ones)))
        most = torch.zeros(self.count, dtype=torch.float64)
        most = most.scatter_reduce(0, self.pixel_owner, size, "amax")
        bound = bound * (1 + 8 * (widest + 2) * widest * UNIT)
        return bound + 16 * self.terms * UNIT * most


def _above_all(blocks: Float[Tensor, "units n n"]) -> Float[Tensor, " units"]:
    """What no eigenvalue of each exceeds, but for the rounding of its Cholesky factor."""
    count, widest = len(blocks), blocks.shape[1]
    v = torch.ones(count, widest, 1, dtype=torch.float64)
    v[:, ::2] -= 0.3
    for _ in range(40):
        v = blocks @ v
        v = v / v.norm(dim=1, keepdim=True).clamp_min(1e-300)
    bound = (v.mT @ (blocks @ v))[:, 0, 0].clamp_min(1e-300) * (1 + _ABOVE)
    waiting, above = torch.arange(count), 2 * _ABOVE
    while len(waiting):
        shifted = -blocks[waiting]
        shifted.diagonal(dim1=1, dim2=2).add_(bound[waiting, None])
        factors, failed = torch.linalg.cholesky_ex(shifted)
        good = (failed == 0) & factors.diagonal(dim1=1, dim2=2).isfinite().all(1)
        waiting = waiting[~good]
        bound[waiting] *= 1 + above
        above = min(2 * above, 1.0)
        bound[waiting[bound[waiting] > 1e300]] = torch.inf
        waiting = waiting[bound[waiting].isfinite()]
    return bound
