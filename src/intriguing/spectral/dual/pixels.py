"""The multipliers of all pixels' boxes, eliminated from a step of Newton's method.

Less the second derivatives by them are D + VᵀQV: each has a term of its own, from where its pixel's
box is met softly and from λ, and the others go through p, of which there are few. So the inverse
needs a matrix of p's size only (Woodbury 1950).
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.dual.elimination import times


@dataclass(frozen=True)
class Pixels:
    """A system of equations without the pixels' multipliers.

    Attributes:
        diagonal, inner, right: D, Q and V.
        along: Mixed derivatives along p, of all other multipliers.
        across: And across, of λ.
        scale: Where λ is among them.
    """

    diagonal: Float[Tensor, "rows pixels"]
    inner: Float[Tensor, "rows rank rank"]
    right: Float[Tensor, "rank pixels"]
    along: Float[Tensor, "rows rank parameters"]
    across: Float[Tensor, "rows pixels"]
    scale: int

    @cached_property
    def _weighed(self) -> Tensor:
        """V D⁻¹ Vᵀ."""
        return (self.right / self.diagonal[:, None]) @ self.right.mT

    @cached_property
    def _least(self) -> Tensor:
        """(I + Q V D⁻¹ Vᵀ)⁻¹ Q."""
        identity = torch.eye(len(self.right), dtype=self.inner.dtype, device=self.inner.device)
        least: Tensor = torch.linalg.solve(identity + self.inner @ self._weighed, self.inner)
        return least

    def less(self, bends: Tensor) -> Tensor:
        """What is left of the others' second derivatives, in their place, below the diagonal."""
        seen = self._weighed - self._weighed @ self._least @ self._weighed
        left = bends.baddbmm_(self.along.mT, seen @ self.along, alpha=-1.0)
        solved_across = self._solve(self.across)
        by_scale = times(self.along.mT, solved_across @ self.right.mT)
        left[:, self.scale, : self.scale] -= by_scale[:, : self.scale]
        left[:, self.scale :, self.scale] -= by_scale[:, self.scale :]
        twice = (self.across * solved_across).sum(1) + by_scale[:, self.scale]
        left[:, self.scale, self.scale] -= twice
        return left

    def rest(self, uphill: Tensor, by_boxes: Tensor) -> Tensor:
        """What is left of the others' derivatives."""
        own = self._solve(by_boxes)
        rest = uphill - times(self.along.mT, own @ self.right.mT)
        rest[:, self.scale] -= (self.across * own).sum(1)
        return rest

    def back(self, step: Tensor, by_boxes: Tensor) -> Tensor:
        """The pixels' own step."""
        moved = times(self.along, step) @ self.right
        return self._solve(by_boxes - moved - self.across * step[:, self.scale, None])

    def _solve(self, x: Tensor) -> Tensor:
        first = x / self.diagonal
        inner = times(self._least, first @ self.right.mT)
        found: Tensor = first - inner @ self.right / self.diagonal
        return found
