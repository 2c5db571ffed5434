"""How much nearer the whole search comes than the short one, and what follows from it.

A whole search is worth its passes where it could come below the limit. How much it gains is seen on
the first images, which are all searched to the end. Where that is little, an image whose example by
the short search is far beyond its limit ends there; where it is much, the whole search may not have
come to its end either (`gate/longer.py`).
"""

import math
from collections.abc import Sequence

from intriguing.results.gate import GateRow

LEARNED = 6
"""Images searched to the end from which it is taken how much that gains."""
MUCH = math.sqrt(2)
"""The distance of the short search over that of the whole one: networks behind steep sigmoids, and
single images of adversarially trained ones, go beyond it (benchmarks/figures/gate_early.csv)."""


def gains_much(rows: Sequence[GateRow]) -> bool:
    """Whether the whole search came much nearer for any image, or alone found something."""
    return any(row.first > MUCH * row.found for row in _searched(rows))


def ends_beyond(rows: Sequence[GateRow], far: float) -> float | None:
    """In limits, where what the short search finds decides; None while it is not known.

    Args:
        rows: The images so far, each searched to the end.
        far: As asked for, 1 or more; infinite where every image is to be searched to the end.

    Returns:
        `far`, or infinity where the whole search gains much.
    """
    if gains_much(rows):
        return math.inf
    return far if len(_searched(rows)) >= LEARNED or math.isinf(far) else None


def _searched(rows: Sequence[GateRow]) -> list[GateRow]:
    return [row for row in rows if row.ended == "search" and math.isfinite(row.found)]
