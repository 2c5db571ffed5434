"""May an image end after the short search, because what that finds is far beyond the limit?

A long search is worth its passes where it could come below the limit. How much nearer it comes than
the short one is seen on the first images, which are all searched to the end.
"""

import math
from collections.abc import Sequence

from intriguing.results.gate import GateRow

LEARNED = 6
"""Images searched to the end from which it is taken how much nearer that comes."""


def ends_beyond(rows: Sequence[GateRow], far: float) -> float | None:
    """In limits, where what the short search finds decides; None while it is not known.

    The whole search must have come nearer by less than the square root of `far` on every image so
    far: half of the way, in factors, that it would have to come to change what is decided.

    Args:
        rows: The images so far, each searched to the end.
        far: As asked for, 1 or more; infinite where every image is to be searched to the end.

    Returns:
        `far`, or infinity where the whole search comes much nearer.
    """
    both = [row for row in rows if row.ended == "search" and math.isfinite(row.first)]
    if any(row.first > math.sqrt(far) * row.found for row in both):
        return math.inf
    return far if len(both) >= LEARNED or math.isinf(far) else None
