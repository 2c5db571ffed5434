"""What a pass backwards chooses at every curve, and where it leaves the searches within it."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.spectral.certificates.relaxation.domain import Nearest, Steepest


@dataclass(frozen=True)
class Choice:
    """What a pass chooses at a curve, for every row.

    Attributes:
        slopes: s, of every number that a curve or a window reads.
        strength: log ν; of every number by itself where a search has made them so, at the first
            curve, whose tails end at the input, and behind `Image.inner`.
        paid: Which share of the tail is paid, before a sigmoid: here, or, of every number by
            itself, behind the map that it passes.
        units: Log of what a map takes the curve's own numbers in, times what `Surroundings.inner`
            has: of every number where both have strengths of their own, else a 0 for all.
    """

    slopes: Float[Tensor, "rows inputs"]
    strength: Float[Tensor, "rows inputs_or_1"]
    paid: Float[Tensor, "rows 1"]
    units: Float[Tensor, "rows numbers_or_1"]

    @property
    def parts(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """All of it."""
        return self.slopes, self.strength, self.paid, self.units


@dataclass(frozen=True)
class Ends:
    """Where the searches within a pass end, and those of the next begin.

    Attributes:
        nearest: At the input.
        steepest: Of affine maps, by place.
    """

    nearest: Nearest | None = None
    steepest: Mapping[int, Steepest] = field(default_factory=dict)

    def each(self, of: Callable[[Tensor], Tensor]) -> "Ends":
        """With the same done to all that it is made of."""
        steepest = {at: one.each(of) for at, one in self.steepest.items()}
        return Ends(self.nearest and self.nearest.each(of), steepest)

    def rows(self, some: Int64[Tensor, " some"]) -> "Ends":
        """Of some rows."""
        return self.each(lambda t: t[some])

    def scaled(self, factor: float) -> "Ends":
        """For strengths times a factor, in a ball so much smaller."""
        steepest = {at: one.scaled(factor) for at, one in self.steepest.items()}
        return Ends(self.nearest and self.nearest.scaled(factor), steepest)

    @staticmethod
    def stacked(rows: Sequence["Ends"]) -> "Ends":
        """Of rows one by one; without what one of them lacks."""
        points = [row.nearest for row in rows if row.nearest is not None]
        shared = [at for at in rows[0].steepest if all(at in row.steepest for row in rows)]
        return Ends(
            Nearest.stacked(points) if len(points) == len(rows) else None,
            {at: Steepest.stacked([row.steepest[at] for row in rows]) for at in shared},
        )


@dataclass(frozen=True)
class Choices:
    """What a pass chooses.

    Attributes:
        curves: By place.
        ends: Where its searches begin.
    """

    curves: Mapping[int, Choice]
    ends: Ends = field(default_factory=Ends)

    def row(self, index: int) -> "Choices":
        """Of one row alone."""
        return self._each(lambda t: t[index : index + 1])

    def rows(self, some: Int64[Tensor, " some"]) -> "Choices":
        """Of some rows."""
        return self._each(lambda t: t[some])

    @staticmethod
    def stacked(rows: Sequence["Choices"]) -> "Choices":
        """Of rows that were chosen for one by one."""
        curves = {
            at: Choice(
                *(
                    torch.cat(parts)
                    for parts in zip(*(r.curves[at].parts for r in rows), strict=True)
                )
            )
            for at in rows[0].curves
        }
        return Choices(curves, Ends.stacked([row.ends for row in rows]))

    def scaled(self, factor: float) -> "Choices":
        """With strengths times a factor."""
        more = math.log(factor)
        curves = {
            at: replace(choice, strength=choice.strength + more)
            for at, choice in self.curves.items()
        }
        return Choices(curves, self.ends.scaled(factor))

    def _each(self, of: Callable[[Tensor], Tensor]) -> "Choices":
        curves = {at: Choice(*map(of, choice.parts)) for at, choice in self.curves.items()}
        return Choices(curves, self.ends.each(of))
