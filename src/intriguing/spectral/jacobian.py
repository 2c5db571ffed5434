"""Lower bounds: the norm of a Jacobian at some point is never more than the Lipschitz constant.

Power iteration on JᵀJ from a random start, J v by forward and Jᵀu by reverse differentiation. Every
‖Jᵀu‖/‖u‖ on the way is a lower bound; how close it comes does not matter for its truth.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

Function = Callable[..., Tensor]

_STEADY = 1e-5
_INWARD = 1.0 - 1e-9


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
        inputs: The point.
        generator: Draws the start.
        iterations: At most; it ends when the bound rises by less than 1e-5 of itself.

    Returns:
        The bound, rounded inwards; NaN if the function cannot be differentiated both ways.
    """
    direction = tuple(
        torch.randn(x.shape, generator=generator, dtype=x.dtype).to(x.device) for x in inputs
    )
    best = 0.0
    try:
        vjp: Any = torch.func.vjp(function, *inputs)
        output, pull = vjp
        if not isinstance(output, Tensor) or not output.is_floating_point():
            return math.nan
        for _ in range(iterations):
            length = _length(direction)
            if length == 0.0:
                break
            direction = tuple(part / length for part in direction)
            jvp: Any = torch.func.jvp(function, tuple(inputs), direction)
            pushed = jvp[1]
            size = float(pushed.norm())
            if size == 0.0 or not math.isfinite(size):
                break
            direction = pull(pushed / size)
            now = _length(direction)
            steady = now <= best * (1 + _STEADY)
            best = max(best, now)
            if steady:
                break
    except (RuntimeError, NotImplementedError, TypeError):
        return math.nan
    return best * _INWARD


def _length(parts: Sequence[Tensor]) -> float:
    return math.hypot(*(float(part.norm()) for part in parts))
