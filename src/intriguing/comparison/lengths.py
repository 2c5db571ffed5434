"""Which method finds the shorter r, image by image: who is shortest, by how much, and who loses.

All is said of pairs on the same image. Images differ more from one another than methods do, so a
difference of averages would hide what a paired difference shows.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.measures import mean_interval

TOLERANCE = 1e-3
"""Lengths that differ by no more than this share of the shorter one count as equal."""


@dataclass(frozen=True)
class Paired:
    """One method beside another.

    both: images where both found one. difference: mean of ‖r‖₂ − ‖r_other‖₂ over them, and its 95 %
    interval by Student's t. relative: the same of the differences as shares of ‖r_other‖₂, over
    the `measured` images where that is not 0. shorter, longer: images where r is shorter, or
    longer, by more than the tolerance; what only one of them finds counts here, too.
    """

    both: int
    difference: float
    difference_interval: tuple[float, float]
    measured: int
    relative: float
    relative_interval: tuple[float, float]
    shorter: int
    longer: int


@dataclass(frozen=True)
class Lengths:
    """‖r‖₂ of every image by every method; infinite where nothing was found."""

    l2: Mapping[str, Float[Tensor, " image"]]

    @property
    def methods(self) -> tuple[str, ...]:
        """Their names, in the order given."""
        return tuple(self.l2)

    @cached_property
    def shortest(self) -> Float[Tensor, " image"]:
        """The envelope: the shortest r of any method."""
        return torch.stack(list(self.l2.values())).amin(0)

    def near(self, lengths: Float[Tensor, "image ..."]) -> Bool[Tensor, "image ..."]:
        """Where lengths are found and as short as the shortest, up to the tolerance."""
        limit = (1 + TOLERANCE) * self.shortest
        return lengths.isfinite() & (lengths <= limit.view(-1, *[1] * (lengths.dim() - 1)))

    @cached_property
    def best(self) -> str:
        """The method that is shortest on the most images; of equals the shorter one on average."""

        def rank(method: str) -> tuple[int, int, float]:
            lengths = self.l2[method]
            found = lengths.isfinite()
            mean = float(lengths[found].double().mean()) if found.any() else torch.inf
            return int(self.near(lengths).sum()), int(found.sum()), -mean

        return max(self.methods, key=rank)

    def beside(self, method: str, other: str) -> Paired:
        """How much longer the r of `method` is than that of `other`."""
        ours, theirs = self.l2[method].double(), self.l2[other].double()
        both = ours.isfinite() & theirs.isfinite()
        more = (ours - theirs)[both]
        share = (more / theirs[both])[theirs[both] > 0]
        return Paired(
            int(both.sum()),
            float(more.mean()),
            mean_interval(more),
            len(share),
            float(share.mean()),
            mean_interval(share),
            int(_exceeds(theirs, ours).sum()),
            int(_exceeds(ours, theirs).sum()),
        )

    def lost(self, method: str) -> Bool[Tensor, " image"]:
        """Images where another method is shorter by more than the tolerance."""
        return _exceeds(self.l2[method], self.shortest)

    def winner(self) -> list[str]:
        """The method with the shortest r of each image; the first named of equals."""
        first = torch.stack(list(self.l2.values())).argmin(0)
        return [self.methods[index] for index in first.tolist()]


def _exceeds(lengths: Tensor, others: Tensor) -> Tensor:
    return (lengths > (1 + TOLERANCE) * others) & others.isfinite()
