"""A layer's or network's Jacobian, written out by autograd in float64, and its norm."""

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn


def dense_jacobian(
    function: Callable[[Tensor], Tensor],
    input_shape: Sequence[int],
    at: Tensor | None = None,
    *,
    vectorize: bool = False,
) -> Tensor:
    """Outputs by inputs at `at` (zeros if not given), of one image without its batch axis.

    A module is converted to float64 in place. `vectorize` is faster where all in it
    can be vectorised.
    """
    if isinstance(function, nn.Module):
        function = function.double().eval()
    point = torch.zeros(tuple(input_shape), dtype=torch.float64) if at is None else at.double()

    def flat(vector: Tensor) -> Tensor:
        return function(vector.reshape(1, *input_shape)).flatten()

    jacobian = torch.autograd.functional.jacobian(flat, point.flatten(), vectorize=vectorize)
    return jacobian.reshape(-1, math.prod(input_shape)).detach()


def dense_norm(
    function: Callable[[Tensor], Tensor],
    input_shape: Sequence[int],
    at: Tensor | None = None,
    *,
    vectorize: bool = False,
) -> float:
    """The Jacobian's largest singular value."""
    jacobian = dense_jacobian(function, input_shape, at, vectorize=vectorize)
    return float(torch.linalg.matrix_norm(jacobian, 2)) if jacobian.numel() else 0.0
