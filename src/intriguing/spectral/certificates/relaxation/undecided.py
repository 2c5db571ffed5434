"""Which ranges are worth tightening: those that leave open how a curve or a max pool runs there.

A ReLU whose input cannot change its sign is straight, and a number of a window that others cannot
stay behind is all that counts there. So what can show that comes first: of each number the end
towards the kink, of a window what its largest number at the image keeps at least and the others
reach at most. Where that does not decide, both ends count, as lines and cells run between them.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.spectral.certificates.relaxation.program import Curve
from intriguing.spectral.certificates.relaxation.windows import Window


@dataclass(frozen=True)
class Sides:
    """Ends of ranges, number by number in flat order.

    Attributes:
        below, above: Which lower and which upper ends.
        enough: What a lower end that gets so far up decides, or an upper end so far down.
    """

    below: Bool[Tensor, " numbers"]
    above: Bool[Tensor, " numbers"]
    enough: Float[Tensor, " numbers"]


def deciding(
    rule: Curve | Window, low: Float[Tensor, " numbers"], high: Float[Tensor, " numbers"],
    here: Float[Tensor, " numbers"],
) -> Sides:  # fmt: skip
    """Ends that may decide.

    Args:
        here: The numbers at the image.
    """
    if isinstance(rule, Window):
        return _deciding_windows(rule, low, high, here)
    kinks = sorted(rule.bends.kinks)
    if not kinks or rule.bends.curvature:
        none = torch.zeros_like(here, dtype=torch.bool)
        return Sides(none, none, here)
    nearest = torch.stack([here - k for k in kinks]).abs().argmin(0)
    kink = torch.tensor(kinks, dtype=here.dtype, device=here.device)[nearest]
    open_ = (low < kink) & (high > kink)
    return Sides(open_ & (here >= kink), open_ & (here < kink), kink)


def bending(
    rule: Curve | Window, low: Float[Tensor, " numbers"], high: Float[Tensor, " numbers"]
) -> Bool[Tensor, " numbers"]:
    """Numbers that are not decided: both ends count."""
    if isinstance(rule, Window):
        taken = _undominated(rule, low, high)[0]
        found = torch.zeros_like(low, dtype=torch.bool)
        found[rule.places[taken]] = True
        return found
    if rule.bends.curvature:
        return high > low
    found = torch.zeros_like(low, dtype=torch.bool)
    for kink in rule.bends.kinks:
        found |= (low < kink) & (high > kink)
    return found


def _undominated(window: Window, low: Tensor, high: Tensor) -> tuple[Tensor, Tensor]:
    """Numbers of windows in which several can be the largest; what the largest is at least."""
    lows, highs = low[window.places], high[window.places]
    least = lows.amax(0)
    if window.rectified:
        least = least.clamp_min(0.0)
    possible = highs > least
    candidates = possible.sum(0)
    if window.rectified:
        # 0 is one of them, where no number is above it for sure.
        candidates = candidates + (lows.amax(0) < 0)
    return possible & (candidates > 1), least


def _deciding_windows(window: Window, low: Tensor, high: Tensor, here: Tensor) -> Sides:
    taken, least = _undominated(window, low, high)
    values = here[window.places]
    first = values == values.amax(0)
    if window.rectified:
        first &= values > 0
    below, above = (torch.zeros_like(here, dtype=torch.bool) for _ in range(2))
    below[window.places[taken & first]] = True
    above[window.places[taken & ~first]] = True
    enough = torch.full_like(here, -torch.inf)
    most = least.expand_as(values)[taken & ~first]
    enough = enough.scatter_reduce(
        0, window.places[taken & ~first], most, "amin", include_self=False
    )
    # No lower end is enough by itself: others may still be above it.
    return Sides(below, above, torch.where(below, torch.inf, enough))
