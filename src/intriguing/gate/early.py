"""How much nearer the whole search comes than shorter ones, and what follows from it.

A whole search is worth its passes where it could come below the limit. How much it gains is seen on
the first images, which are all searched to the end. An image for which a shorter search found
nothing nearer than its limit times that gain, and as much again for safety, ends there. Where the
gain is much, the whole search may not have come to its end either (`gate/longer.py`), and no image
ends early.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

from intriguing.results.gate import GateRow

LEARNED = 6
"""Images searched to the end from which it is taken how much that gains."""
MUCH = math.sqrt(2)
"""The distance of the short search over that of the whole one: networks behind steep sigmoids, and
single images of adversarially trained ones, go beyond it (benchmarks/figures/gate_early.csv)."""
LEAST = 8
"""Passes by which most images have an example: on ResNet-20 all of 24 have one by eight, 16 by five
and none by three."""
Beyond: TypeAlias = tuple[float, float]
"""In limits, after the first search and after the short one: what is found farther decides."""


def first_budget(short: int) -> int:
    """Passes of the search before the short one: half of these; 0 where that would find nothing.

    >>> first_budget(20), first_budget(15)
    (10, 0)
    """
    return short // 2 if short >= 2 * LEAST else 0


def gains_much(rows: Sequence[GateRow]) -> bool:
    """Whether the whole search came much nearer for any image, or alone found something."""
    return any(row.short > MUCH * row.found for row in searched(rows))


def ends_beyond(rows: Sequence[GateRow], far: float) -> Beyond | None:
    """Where what the shorter searches find decides; None while it is not known.

    Args:
        rows: The images so far, each searched to the end.
        far: As asked for, 1 or more; infinite where every image is to be searched to the end.

    Returns:
        `far` times the largest gain over each of these searches, or infinity where that over the
        short one is much.
    """
    if math.isinf(far) or gains_much(rows):
        return math.inf, math.inf
    known = searched(rows)
    if len(known) < LEARNED:
        return None
    return (
        far * _largest([row.first / row.found for row in known]),
        far * _largest([row.short / row.found for row in known]),
    )


def _largest(gains: Sequence[float]) -> float:
    """Of what was found at all; infinite where that is less than half."""
    some = [gain for gain in gains if math.isfinite(gain)]
    return max(1.0, *some) if len(some) >= len(gains) / 2 else math.inf


def searched(rows: Sequence[GateRow]) -> list[GateRow]:
    """Those whose nearest example by the whole search is known."""
    return [row for row in rows if row.ended == "search" and 0 < row.found < math.inf]
