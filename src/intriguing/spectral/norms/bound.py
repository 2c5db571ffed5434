"""A Lipschitz bound with its pedigree, and rounding that never rounds it down."""

import math
from dataclasses import dataclass

ALLOWANCE = 1e-9
"""Relative allowance of `outward`: some thousand times the rounding error of what it is given."""


@dataclass(frozen=True)
class Bound:
    """An upper bound on the L2 Lipschitz constant of one operation.

    Attributes:
        upper: The bound; infinite where none is known.
        formula: How it came about, in a few words.
        guaranteed: Whether it is proved; a bound that a user registers without proof is not.
        note: What a reader needs besides: why it is infinite, and what can be done.
    """

    upper: float
    formula: str
    guaranteed: bool = True
    note: str = ""


def times(factor: float, bound: float) -> float:
    """A product of two bounds; 0 times ∞ is 0, as what gives a constant stays constant."""
    return 0.0 if factor == 0.0 or bound == 0.0 else factor * bound


def outward(value: float, relative: float = ALLOWANCE) -> float:
    """`value` ≥ 0 made larger by a relative allowance, and by at least one unit in the last place.

    >>> outward(1.0) > 1.0, outward(0.0), outward(math.inf)
    (True, 0.0, inf)
    """
    if value == 0.0 or math.isinf(value):
        return value
    return math.nextafter(value * (1.0 + relative), math.inf)
