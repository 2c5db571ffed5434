"""Normalisation layers: contrast and response normalisation (§4.3), and today's."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.spectral.norms.bound import outward


def batch_norm_norm(
    gamma: Float[Tensor, " channel"] | None, variance: Float[Tensor, " channel"], eps: float = 1e-5
) -> float:
    """The norm of batch normalisation in evaluation: max |γ|/sqrt(var + ε).

    Args:
        gamma: The layer's weight; None is 1.
        variance: The running variance.
        eps: ε of the layer.

    >>> round(batch_norm_norm(None, torch.tensor([0.25, 4.0]), eps=0.0), 6)
    2.0
    """
    spread = variance.detach().cpu().double() + eps
    if not bool((spread > 0.0).all()):
        raise InputError("the variance plus eps is not positive; give the statistics of training")
    scale = spread.rsqrt() if gamma is None else gamma.detach().cpu().double().abs() / spread.sqrt()
    return outward(float(scale.max()))


def layer_norm_norm(gamma: Tensor | None, eps: float = 1e-5) -> float:
    """The Lipschitz constant of layer normalisation from above: max |γ|/sqrt(ε).

    The Jacobian at x is diag(γ)·(P − x̂·x̂ᵀ/n)/sqrt(var + ε), P taking off the mean and x̂ = P·x/
    sqrt(var + ε), |x̂|² ≤ n: nowhere longer than 1/sqrt(ε), which a constant x attains. True, and
    useless: 316 at torch's defaults. Group normalisation and instance normalisation without
    running statistics are the same over their groups.

    >>> round(layer_norm_norm(None), 3)
    316.228
    """
    if eps <= 0.0:
        return math.inf
    largest = 1.0 if gamma is None else float(gamma.detach().cpu().double().abs().max())
    return outward(largest / math.sqrt(eps))


def rms_norm_norm(gamma: Tensor | None, eps: float | None = None) -> float:
    """x·γ/sqrt(mean x² + ε): max |γ|/sqrt(ε), attained at x = 0.

    Args:
        gamma: The layer's weight; None is 1.
        eps: ε of the layer; torch's None is float32's machine epsilon.

    >>> round(rms_norm_norm(None, 1e-4), 3)
    100.0
    """
    return layer_norm_norm(gamma, torch.finfo(torch.float32).eps if eps is None else eps)


def contrast_norm(epsilon: float, gamma: float) -> float:
    """Contrast normalisation x/(ε + ‖x‖²)^γ: ε^(−γ), attained at 0, as §4.3 says; for every γ ≥ 0.

    Across x the Jacobian is (ε + r²)^(−γ); along x it is that times 1 − 2γt, t = r²/(ε + r²), and
    (1 − t)^γ·|1 − 2γt| ≤ 1 on [0, 1].

    >>> round(contrast_norm(0.25, 0.5), 6)
    2.0
    """
    if gamma < 0.0 or epsilon < 0.0:
        raise InputError(f"contrast normalisation of ε = {epsilon}, γ = {gamma}; give both ≥ 0")
    if epsilon == 0.0:
        return math.inf if gamma > 0.0 else 1.0
    return outward(epsilon**-gamma)


def local_response_norm(size: int, alpha: float, beta: float, k: float) -> float:
    """Response normalisation across channels from above, for any size n and any α ≥ 0:

        k^(−β)·[1 + 2√2·β·((β+1)/β)^(−β)/(β+1)], that is 1.642·k^(−β) at β = 3/4.

    y_i = x_i·s_i^(−β), s_i = k + a·Σ_{j∈W(i)} x_j². The Jacobian is a diagonal of at most k^(−β)
    less M_ij = 2aβ·x_i·x_j·s_i^(−β−1) for j ∈ W(i). Schur's test with weights |x|: a row of M gives
    at most R = 2β·max_s (s − k)·s^(−β−1) = 2β·k^(−β)·((β+1)/β)^(−β)/(β+1). A column j gathers the
    i ≤ j and the i > j whose windows hold j; those of one side hold one another, so that each side
    gives at most R. Hence ‖M‖ ≤ sqrt(R·2R).

    Args:
        size, alpha, beta, k: As in torch (whose α/n is a, whose k is 1); Krizhevsky et al. have 2.

    >>> round(local_response_norm(5, 1e-4, 0.75, 1.0), 3)
    1.642
    """
    if k <= 0.0 or alpha < 0.0 or beta < 0.0:
        raise InputError(
            f"response normalisation with k = {k}, alpha = {alpha}, beta = {beta} has no bound; "
            "give k > 0 and the others ≥ 0"
        )
    if beta == 0.0 or alpha == 0.0:
        return outward(k**-beta)
    row = 2.0 * beta * ((beta + 1.0) / beta) ** -beta / (beta + 1.0)
    # A window of one channel has one side only.
    return outward(k**-beta * (1.0 + row * (math.sqrt(2.0) if size > 1 else 1.0)))
