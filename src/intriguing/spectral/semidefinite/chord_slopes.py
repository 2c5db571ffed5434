"""Slopes of an activation as seen from one point: those of its chords that start there.

Where a unit goes from z₀ to z with |z − z₀| ≤ d, only the chord's slope (σ(z) − σ(z₀))/(z − z₀)
matters. Its range is narrower than the derivative's: a rectified unit at z₀ > 0 has slopes in
[min(1, z₀/d), 1], one that stays on or off has a single slope, a saturated sigmoid almost none.

    convex or concave σ   a chord's slope is monotone in z: its ends are at z₀ ± d
    S-shaped σ            it rises and then falls: its least is at one end, its greatest at one end
                          or where the chord touches the curve, σ'(z*) = (σ(z*) − σ(z₀))/(z* − z₀)
    smooth σ, |σ''| ≤ M   chords to a grid of points, and M/2 times how far any z is from one
    others                the derivative's whole range
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.graph.table import rule_of

_GRID = 16
"""Points to a side that chords of a smooth curve are drawn to; what is between costs M/2·d/16."""
ROUNDING = 1e-9
"""Allowance for what float64 does to z₀ and to σ, relative to 1 + their size."""
NARROWEST = 1e-3
"""Slopes are kept so far apart, relative to the steepest: a multiplier needs some room."""
_HALVINGS = 40
"""Of the interval in which a chord touches: to 1e-12 of it."""


def chord_slopes(
    operation: Operation, at: Float[Tensor, "rows units"], reach: Float[Tensor, "rows units"]
) -> tuple[Float[Tensor, "rows units"], Float[Tensor, "rows units"]]:
    """Least and greatest slope of a unit's chords from z₀ to any z with |z − z₀| ≤ reach.

    Args:
        operation: An activation with a known range of slopes; units are its input, flattened.
        at: z₀, of each row's image.
        reach: d, infinite where nothing is known.
    """
    ends = slopes_of(operation)
    assert ends is not None
    least, greatest = ends
    low, high = torch.full_like(at, least), torch.full_like(at, greatest)
    curve = rule_of(operation).chords(operation)
    if curve is not None:
        distance = reach + ROUNDING * (1.0 + at.abs())
        distance = torch.where(distance.isfinite(), distance, 1e300)
        known = distance < 1e6 * (1.0 + at.abs())
        distance = torch.where(known, distance, 1.0)
        value = _values(operation, at)

        def chord(side: float) -> Tensor:
            return (_values(operation, at + side * distance) - value) / (side * distance)

        doubt = ROUNDING * (1.0 + at.abs() + value.abs()) / distance
        chords = [chord(-1.0), chord(1.0)]
        if curve.curvature is not None:
            chords += [chord(side * k / _GRID) for side in (-1.0, 1.0) for k in range(1, _GRID)]
            doubt = _GRID * doubt + 0.5 * curve.curvature * distance / _GRID
        bottom = torch.stack(chords).amin(0) - doubt
        top = high
        if curve.convex or curve.curvature is not None:
            top = torch.stack(chords).amax(0) + doubt
        elif curve.slope is not None:
            top = _steepest_chord(operation, curve.slope, at, distance) + doubt
        low = torch.where(known, bottom.clamp(least, greatest), low)
        high = torch.where(known, top.clamp(least, greatest), high)
    return _apart(low, high, NARROWEST * max(abs(least), abs(greatest)))


def _values(operation: Operation, flat: Float[Tensor, "rows units"]) -> Tensor:
    shaped = flat.reshape(len(flat), *operation.x.shape[1:])
    values: Tensor = operation.again(shaped)
    return values.flatten(1)


def _steepest_chord(
    operation: Operation, slope: Callable[[Tensor], Tensor], at: Tensor, distance: Tensor
) -> Tensor:
    """The greatest slope, for z₀ ≥ 0 as σ is the same on both sides: where its chord touches."""
    here = at.abs()
    value = _values(operation, here)
    far = here - distance

    def chord(z: Tensor) -> Tensor:
        return (_values(operation, z) - value) / (z - here).clamp_max(-1e-300)

    end = chord(far)
    outside = (far >= 0.0) | (slope(far) >= end)
    # σ' rises towards 0; the chord's slope grows as long as σ' is below it.
    lower, upper = torch.where(outside, -1.0, far), torch.zeros_like(far)
    for _ in range(_HALVINGS):
        middle = 0.5 * (lower + upper)
        touches = slope(middle) >= chord(middle)
        lower, upper = torch.where(touches, lower, middle), torch.where(touches, middle, upper)
    return torch.where(outside, end, slope(upper))


def _apart(low: Tensor, high: Tensor, least: float) -> tuple[Tensor, Tensor]:
    """A wider interval where it is too narrow: towards 0 from above, upwards at 0."""
    missing = (least - (high - low)).clamp_min(0.0)
    down = torch.minimum(missing, low.clamp_min(0.0))
    return low - down, high + (missing - down)
