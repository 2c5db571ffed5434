"""The norm of any linear map that is small, from its matrix."""

from collections.abc import Callable

import torch
from torch import Tensor

from intriguing.spectral.matrix import matrix_norm

_ENTRIES = 1 << 22
_PASSES = 1024


def small_norm(function: Callable[[Tensor], Tensor], x: Tensor, output: Tensor) -> float | None:
    """An upper bound on the norm of the linear part of an affine function; None if it is large.

    Args:
        function: Affine.
        x, output: An example of what it takes and gives.
    """
    inputs, outputs = x.numel(), output.numel()
    if inputs * outputs > _ENTRIES or min(inputs, outputs) > _PASSES:
        return None
    return matrix_norm(_rows(function, x) if outputs <= inputs else _columns(function, x))


def _rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    with torch.enable_grad():
        point = torch.zeros_like(x).requires_grad_()
        values = function(point).flatten()
        rows = [torch.autograd.grad(v, point, retain_graph=True)[0].flatten() for v in values]
    return torch.stack(rows)


def _columns(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    zero = torch.zeros_like(x)
    with torch.no_grad():
        offset = function(zero).flatten()
        columns = []
        for place in range(x.numel()):
            unit = zero.clone()
            unit.view(-1)[place] = 1.0
            columns.append(function(unit).flatten() - offset)
    return torch.stack(columns, dim=1)
