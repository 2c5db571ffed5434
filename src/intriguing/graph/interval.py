"""Interval arithmetic of a function of one number: where its values lie, and where its slopes."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Ends = tuple[Tensor, Tensor]
Slopes = tuple[float, float]


@dataclass(frozen=True)
class Interval:
    """A function of one number while that runs through an interval; an entry for each number.

    Attributes:
        low, high: Between which values it lies.
        down, up: Between which slopes it runs.
    """

    low: Tensor
    high: Tensor
    down: Tensor
    up: Tensor

    @staticmethod
    def still(value: Tensor) -> "Interval":
        """A constant."""
        return Interval(value, value, torch.zeros_like(value), torch.zeros_like(value))

    @staticmethod
    def between(low: Tensor, high: Tensor) -> "Interval":
        """The number itself."""
        return Interval(low, high, torch.ones_like(low), torch.ones_like(low))

    def plus(self, other: "Interval") -> "Interval":
        """The sum."""
        return Interval(
            self.low + other.low, self.high + other.high,
            self.down + other.down, self.up + other.up,
        )  # fmt: skip

    def times(self, other: "Interval") -> "Interval":
        """The product, by the product rule."""
        low, high = product((self.low, self.high), (other.low, other.high))
        first = product((self.down, self.up), (other.low, other.high))
        second = product((self.low, self.high), (other.down, other.up))
        return Interval(low, high, first[0] + second[0], first[1] + second[1])

    def scaled(self, factor: float) -> "Interval":
        """A multiple."""
        return self.times(Interval.still(torch.full_like(self.low, factor)))

    def through(self, values: Ends, slopes: Ends) -> "Interval":
        """A function of this one with such values and slopes, by the chain rule."""
        return Interval(*values, *product((self.down, self.up), slopes))

    def rising(self, function: Callable[[Tensor], Tensor], slopes: Slopes) -> "Interval":
        """A function of this one that never falls, with slopes between two numbers."""
        low = function(self.low).nan_to_num(nan=-torch.inf, neginf=-torch.inf, posinf=torch.inf)
        high = function(self.high).nan_to_num(nan=torch.inf, neginf=-torch.inf, posinf=torch.inf)
        return self.through((low, high), self.everywhere(slopes))

    def everywhere(self, slopes: Slopes) -> Ends:
        """The same two slopes for every number."""
        return torch.full_like(self.low, slopes[0]), torch.full_like(self.low, slopes[1])

    def joined(self, other: "Interval") -> "Interval":
        """Either of two."""
        return Interval(
            torch.minimum(self.low, other.low), torch.maximum(self.high, other.high),
            torch.minimum(self.down, other.down), torch.maximum(self.up, other.up),
        )  # fmt: skip

    def chosen(self, where: Tensor, other: "Interval") -> "Interval":
        """This one where the condition holds, the other elsewhere."""
        return Interval(
            torch.where(where, self.low, other.low), torch.where(where, self.high, other.high),
            torch.where(where, self.down, other.down), torch.where(where, self.up, other.up),
        )  # fmt: skip


def product(a: Ends, b: Ends) -> Ends:
    """Between which numbers x·y lies, x and y in two intervals; 0 times ∞ is 0, as x = 0 is one."""
    products = [(x * y).nan_to_num(0.0, torch.inf, -torch.inf) for x in a for y in b]
    return (
        torch.minimum(torch.minimum(*products[:2]), torch.minimum(*products[2:])),
        torch.maximum(torch.maximum(*products[:2]), torch.maximum(*products[2:])),
    )
