"""The operator norm of a matrix, from above: fully connected layers, and maps along one axis."""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.eigenvalue import UNIT, largest_eigenvalue

TOLERANCE = 1e-8
"""Relative distance to the squared norm that is aimed at; a thousandfold where Lanczos is slow."""

BLOCK = 512
"""Rows of a block of a large Gram matrix."""


def matrix_norm(weight: Float[Tensor, "rows columns"]) -> float:
    """An upper bound on ‖W‖, the largest singular value, within 1e-6 of it.

    λ is proved to bound the eigenvalues of the smaller Gram matrix G of W / max|w|
    (`eigenvalue.largest_eigenvalue`). Computing G in float64 changes it by at most γ_m·‖W‖_F² in
    norm, γ_m = m·u/(1 − m·u) with m the longer side, so that ‖W‖² ≤ λ + γ_m·‖W‖_F².

    Args:
        weight: Any real matrix.

    Raises:
        InputError: It is not a matrix, or not finite.

    >>> round(matrix_norm(torch.tensor([[3.0, 0.0], [4.0, 0.0]])), 6)
    5.0
    """
    if weight.ndim != 2:
        raise InputError(
            f"weight of shape {tuple(weight.shape)} is no matrix; give (rows, columns)"
        )
    scaled, scale = rescaled(weight)
    if scale == 0.0:
        return 0.0
    gram = smaller_gram(scaled)
    bound = largest_eigenvalue(gram[None], tolerance=TOLERANCE)
    return outward(scale * (bound + gram_error(scaled)) ** 0.5)


def matrix_norms(weights: Float[Tensor, "batch rows columns"]) -> Float[Tensor, " batch"]:
    """Upper bounds on the norms of many matrices of one shape, each within 1e-6 of its norm.

    As `matrix_norm`, with all eigenvalues computed; meant for some hundred rows or columns.
    """
    if weights.ndim != 3:
        raise InputError(f"weights of shape {tuple(weights.shape)}; give (batch, rows, columns)")
    if 0 in weights.shape:
        return weights.new_zeros(len(weights), dtype=torch.float64)
    scaled, scale = rescaled(weights)
    bounds = [largest_eigenvalue(gram[None], tolerance=TOLERANCE) for gram in smaller_gram(scaled)]
    squares = [bound + gram_error(one) for bound, one in zip(bounds, scaled, strict=True)]
    return scaled.new_tensor([outward(scale * square**0.5) for square in squares])


def rescaled(weight: Tensor) -> tuple[Tensor, float]:
    """Weights in float64, divided by their largest absolute value, and that value."""
    weight = weight.detach()
    if weight.device.type == "mps":
        weight = weight.cpu()  # It has no float64.
    weight = weight.double()
    scale = float(weight.abs().max()) if weight.numel() else 0.0
    if not scale < float("inf"):
        raise InputError("the weights are not finite; load or train the network again")
    return (weight / scale if scale > 0.0 else weight), scale


def smaller_gram(weight: Float[Tensor, "*batch rows columns"]) -> Float[Tensor, "*batch n n"]:
    """W·Wᵀ or Wᵀ·W, the smaller; of large ones blocks on one side of the diagonal only."""
    rows = weight if weight.shape[-2] <= weight.shape[-1] else weight.mT
    size = rows.shape[-2]
    if size <= BLOCK:
        return rows @ rows.mT
    gram = rows.new_empty(*rows.shape[:-1], size)
    for start in range(0, size, BLOCK):
        stop = min(start + BLOCK, size)
        gram[..., start:stop, start:] = rows[..., start:stop, :] @ rows[..., start:, :].mT
        gram[..., start:, start:stop] = gram[..., start:stop, start:].mT.clone()
    return gram


def gram_error(weight: Float[Tensor, "rows columns"]) -> float:
    """γ_m·‖W‖_F², what rounding can change the Gram matrix by, twice over for ‖W‖_F's rounding."""
    return 2.0 * max(weight.shape) * UNIT * float(weight.square().sum())
