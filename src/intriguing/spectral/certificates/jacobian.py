"""Lower bounds: the norm of a Jacobian at some point is never more than the Lipschitz constant.

Power iteration on JᵀJ from a random start, J v by forward and Jᵀu by reverse differentiation. Every
‖Jᵀu‖/‖u‖ on the way is a lower bound; how close it comes does not matter for its truth. That holds
of true derivatives only, and what a gradient says at a kink, or by a rule of its own, may be none:
a difference quotient along the same direction has to confirm it, and stands in where it does not.
"""

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Tensor]

_STEADY = 1e-5
"""Relative gain of a power step below which more of them are not worth their passes."""
_INWARD = 1.0 - 1e-9
"""As far down as upper bounds are rounded up (`bound.ALLOWANCE`), so that the two never cross."""
_STEP = 2.0**-17
"""Of a difference quotient: about ε^(1/3) of float64, where rounding and curvature balance."""
_NEAR = 2.0**-10
"""Of that step: between kinks that lie closer than it, as in a pool over pixels nearly equal."""
_ROUNDING = 2.0**-40
"""Of the largest output: some thousand times the rounding of one operation in float64."""
_CONFIRMED = 1e-3
"""How far from the derivative a quotient over such a step may stay by curvature."""


def jacobian_norm(
    function: Function,
    inputs: Sequence[Tensor],
    generator: torch.Generator,
    *,
    iterations: int = 30,
) -> float:
    """A lower bound on the Lipschitz constant of a function near one point.

    Args:
        function: Of the inputs, to one tensor.
        inputs: The point, in float64.
        generator: Draws the start.
        iterations: At most; it ends when the bound rises by less than 1e-5 of itself.

    Returns:
        The bound, rounded inwards; NaN if the function is not one between tensors of real numbers.
    """
    if not all(isinstance(x, Tensor) and x.is_floating_point() for x in inputs):
        return math.nan
    start = [torch.randn(x.shape, generator=generator, dtype=x.dtype) for x in inputs]
    direction = _unit([part.to(x) for part, x in zip(start, inputs, strict=True)])
    claimed = 0.0
    for pulled in itertools.islice(_powers(function, inputs, direction), iterations):
        now = _length(pulled)
        steady, claimed = now <= claimed * (1 + _STEADY), max(claimed, now)
        direction = _unit(pulled)
        if steady:
            break
    found = _quotient(function, inputs, direction)
    confirmed = abs(claimed - found) <= _CONFIRMED * found
    return (claimed if confirmed else found) * _INWARD


def _powers(
    function: Function, inputs: Sequence[Tensor], direction: Sequence[Tensor]
) -> Iterator[list[Tensor]]:
    """v ↦ JᵀJv/‖Jv‖ again and again, until there is no derivative, or none but 0."""
    try:
        pull: Any = torch.func.vjp(function, *inputs)[1]
        while True:
            pushed = _pushed(function, inputs, direction)
            size = float(pushed.norm())
            if size == 0.0 or not math.isfinite(size):
                return
            pulled = list(pull(pushed / size))
            length = _length(pulled)
            if length == 0.0 or not math.isfinite(length):
                return
            yield pulled
            direction = _unit(pulled)
    except Exception:  # whatever somebody's backward raises
        return


def _pushed(function: Function, inputs: Sequence[Tensor], direction: Sequence[Tensor]) -> Tensor:
    """Jv, or about that where an operation has no forward derivative."""
    try:
        tangent: Tensor = torch.func.jvp(function, tuple(inputs), tuple(direction))[1]
        return tangent
    except Exception:
        before, after = _ends(function, inputs, direction)
        return after - before


def _quotient(function: Function, inputs: Sequence[Tensor], direction: Sequence[Tensor]) -> float:
    """‖f(x′) − f(x″)‖ / ‖x′ − x″‖ on a line through x, less what rounding can add to it.

    The largest over both sides of x and over each alone, by a step and by a short one: every such
    quotient is attained, and near kinks one tells more than another. NaN if it is no number.
    """
    try:
        with torch.no_grad():
            here = function(*inputs)
        if not isinstance(here, Tensor) or not here.is_floating_point():
            return math.nan
        step = _length([_step(x) * part for x, part in zip(inputs, direction, strict=True)])
        rounding = _ROUNDING * 2 * _length([here])
        best = 0.0
        for share in (1.0, _NEAR):
            before, after = _ends(function, inputs, direction, share)
            for start, end, sides in ((before, after, 2), (before, here, 1), (here, after, 1)):
                moved = _length([end - start]) - rounding
                best = max(best, moved / (sides * share * step))
        return best
    except Exception:  # whatever somebody's backward raises
        return math.nan


def _ends(
    function: Function, inputs: Sequence[Tensor], direction: Sequence[Tensor], share: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The function at both ends of a step, or of a share of it, to either side."""
    with torch.no_grad():
        before, after = (
            function(
                *(x + side * share * _step(x) * v for x, v in zip(inputs, direction, strict=True))
            )
            for side in (-1, 1)
        )
    return before, after


def _step(x: Tensor) -> float:
    """How far to go from x, by the size of its entries."""
    return _STEP * max(float(x.abs().max()) if x.numel() else 0.0, _STEP)


def _unit(parts: Sequence[Tensor]) -> list[Tensor]:
    length = _length(parts)
    return [part / length for part in parts] if length else list(parts)


def _length(parts: Sequence[Tensor]) -> float:
    return math.hypot(*(float(part.norm()) for part in parts))
