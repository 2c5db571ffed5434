"""The best adversarial image met so far, what it cost, and how fast it came."""

from copy import copy

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.rows import chosen
from intriguing.measures import l2

BUDGETS = tuple(sorted({round(2 ** (step / 2)) for step in range(27)}))
"""Passes an image at which a curve of distortion is read: 1, 2, 3, 4, 6, 8, 11, 16 … 8192."""


class Incumbent:
    """The shortest adversarial point offered for each row, with its passes and its curve.

    A pass is half the sum of the forward and backward passes of an image. Points that come after
    the budget are not taken, and rows that have spent it count no more passes. Nothing here waits
    for the device: rows are updated by selection.
    """

    def __init__(self, images: Float[Tensor, "b n"], budget: float = torch.inf) -> None:
        self.images = images
        self.budget = budget
        count = len(images)
        self.points = images.clone()
        self.l2 = images.new_full((count,), torch.inf)
        self.forward: Int64[Tensor, " b"] = torch.zeros(
            count, dtype=torch.long, device=images.device
        )
        self.spent = torch.zeros_like(self.forward)
        self.curve = images.new_full((count, len(BUDGETS)), torch.inf)
        self._allowed = 2 * torch.tensor(BUDGETS, device=images.device)

    _ROWS = ("images", "points", "l2", "forward", "spent", "curve")

    @property
    def within_budget(self) -> Bool[Tensor, " b"]:
        """Rows that have a pass left."""
        return self.affords(2)

    def affords(self, passes: int) -> Bool[Tensor, " b"]:
        """Rows that have so many forward and backward passes left, together."""
        return self.spent <= 2 * self.budget - passes

    @property
    def backward(self) -> Int64[Tensor, " b"]:
        """Backward passes of each row."""
        return self.spent - self.forward

    def take(self, rows: Tensor) -> "Incumbent":
        """The same for `rows` alone, in that order."""
        part = copy(self)
        for name in self._ROWS:
            setattr(part, name, getattr(self, name)[rows])
        return part

    def put(self, rows: Tensor, part: "Incumbent") -> None:
        """Write back what has become of `rows`."""
        for name in self._ROWS[1:]:
            getattr(self, name)[rows] = getattr(part, name)

    def offer(
        self,
        points: Float[Tensor, "b n"],
        margin: Float[Tensor, " b"],
        *,
        forward: int | Int64[Tensor, " b"] = 1,
        backward: int | Int64[Tensor, " b"] = 0,
        length: Float[Tensor, " b"] | None = None,
    ) -> Bool[Tensor, " b"]:
        """Count the passes that gave `margin` at `points`; keep what is adversarial and shorter.

        `margin` is the secure margin of the goal: positive when adversarial; `length` is ‖r‖₂,
        where that is known. Says which rows improved.
        """
        counted = self.within_budget
        taken = forward + backward
        for count, passes in ((self.forward, forward), (self.spent, taken)):
            if isinstance(passes, Tensor):
                count += passes * counted
            elif passes:
                count.add_(counted, alpha=passes)
        length = l2(self.images, points) if length is None else length
        better = counted & (margin > 0) & (length < self.l2)
        if isinstance(taken, Tensor) or taken > 2:
            better &= self.spent <= 2 * self.budget
        (kept,) = chosen(better, (points,), (self.points,))
        # A caller may go on in the tensor that was offered.
        self.points = kept.clone() if kept is points else kept
        self.l2 = torch.where(better, length, self.l2)
        in_time = self._allowed >= self.spent[:, None]
        self.curve = torch.where(in_time, self.l2[:, None], self.curve)
        return better
