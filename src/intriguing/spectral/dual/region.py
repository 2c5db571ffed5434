"""What is known of a change of the image: it is in a ball, and keeps all pixels in their box."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.norms.eigenvalue import UNIT

_HALVINGS = 50
"""Of the logarithm of μ: to 1e-13 of it. A worse μ makes a worse bound, not a wrong one."""


@dataclass(frozen=True)
class Region:
    """‖δ‖ ≤ radius and low ≤ δ ≤ high, low ≤ 0 ≤ high."""

    radius: float
    low: Float[Tensor, " pixels"]
    high: Float[Tensor, " pixels"]

    def least(
        self, rows: Float[Tensor, "rows pixels"]
    ) -> tuple[Float[Tensor, " rows"], Float[Tensor, "rows pixels"]]:
        """A proved lower bound of h·δ over the region, and where it is nearly attained.

        At the minimum δ = −h/μ, but for pixels that are held by their box. With e = h + μδ, which
        is 0 but there, h·δ = (h − e)·δ + e·δ ≥ −R‖h − e‖ + Σ min(e·low, e·high) for whatever e.
        """
        corner = torch.where(rows > 0, self.low, self.high)
        inside = torch.linalg.vector_norm(corner, dim=1) <= self.radius
        # A row may be 0: what it is divided by must not be.
        unit = (torch.linalg.vector_norm(rows, dim=1) / self.radius).clamp_min(1e-200)
        low, high = torch.full_like(unit, -60.0), torch.full_like(unit, 1.0)
        for _ in range(_HALVINGS):
            middle = (low + high) / 2
            at = self._kept(rows, unit * middle.exp())
            outside = torch.linalg.vector_norm(at, dim=1) > self.radius
            low = torch.where(outside, middle, low)
            high = torch.where(outside, high, middle)
        weight = torch.where(inside, 0.0, unit * high.exp())
        at = torch.where(inside[:, None], corner, self._kept(rows, unit * high.exp()))
        held = rows + weight[:, None] * at
        free = rows - held
        at_most = torch.minimum(held * self.low, held * self.high).sum(1)
        length = torch.linalg.vector_norm(free, dim=1)
        size = (rows.abs() + held.abs()) @ torch.maximum(-self.low, self.high).clamp_max(
            self.radius
        )
        rounding = 8.0 * (rows.shape[1] + 16) * UNIT * (size + self.radius * length)
        return at_most - self.radius * length - rounding, at

    def _kept(self, rows: Tensor, weight: Tensor) -> Tensor:
        return (-rows / weight[:, None]).clamp(self.low, self.high)
