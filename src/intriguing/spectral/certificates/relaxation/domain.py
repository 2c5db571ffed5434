"""The least value of a linear function where images lie: in a ball around one, and in the box.

For any λ > 0,   h·d ≥ Σᵢ min over dᵢ ∈ [aᵢ, bᵢ] of (hᵢdᵢ + ½λdᵢ²) − ½λR²   where ‖d‖ ≤ R, and at
the best λ the two are equal. There ‖d‖ = R, unless the box ends before: from λ = ‖h‖/R, that of the
ball alone, λ is found by taking for granted which dᵢ the box stops, which gives the others'
λ = ‖h_free‖/√(R² − ‖d_stopped‖²), and looking again. λ only falls, and every λ gives a bound.
"""

import torch
from jaxtyping import Float
from torch import Tensor

_ROUNDS = 8
"""Of looking again; two or three change anything."""
_UNIT = 2.0**-53


def least_inside(
    h: Float[Tensor, "rows pixels"],
    down: Float[Tensor, "... pixels"],
    up: Float[Tensor, "... pixels"],
    radius: float,
    rounds: int = _ROUNDS,
) -> tuple[Float[Tensor, " rows"], Float[Tensor, " rows"]]:
    """min h·d where ‖d‖ ≤ radius and down ≤ d ≤ up, from below, and what rounding can have done.

    Args:
        down, up: a ≤ 0 ≤ b, for all rows or each.
        rounds: How often to look again.
    """
    with torch.no_grad():
        tiny = torch.finfo(h.dtype).tiny * 1e6
        multiplier = torch.linalg.vector_norm(h, dim=1, keepdim=True).clamp_min(tiny) / radius
        for _ in range(rounds):
            d = -h / multiplier
            free = (d > down) & (d < up)
            stopped = torch.where(free, 0.0, torch.minimum(torch.maximum(d, down), up))
            left = radius**2 - stopped.square().sum(1, keepdim=True)
            length = torch.linalg.vector_norm(torch.where(free, h, 0.0), dim=1, keepdim=True)
            next_ = length / left.clamp_min(0.0).sqrt().clamp_min(1e-3 * radius)
            multiplier = torch.minimum(multiplier, next_).clamp_min(tiny)
        d = torch.minimum(torch.maximum(-h / multiplier, down), up)
    terms, squares = h * d, 0.5 * (multiplier * d.square()).sum(1)
    whole = 0.5 * multiplier[:, 0] * radius**2
    value = terms.sum(1) + squares - whole
    sizes = terms.abs().sum(1) + squares + whole
    return value, 8 * (h.shape[1] + 16) * _UNIT * sizes.detach()
