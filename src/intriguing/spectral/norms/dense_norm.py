"""The norm of any linear map that is small, from its matrix."""

from collections.abc import Callable

import torch
from torch import Tensor

from intriguing.spectral.norms.matrix import matrix_norm

_ENTRIES = 1 << 22
"""Entries of a matrix that is written out: 32 MiB in float64."""
_PASSES = 1024
"""Gradients or unit vectors that this may take: some tenths of a second."""


def dense_norm(function: Callable[[Tensor], Tensor], x: Tensor, output: Tensor) -> float | None:
    """An upper bound on the norm of the linear part of an affine function; None if it is large.

    Args:
        function: Affine.
        x, output: An example of what it takes and gives.
    """
    inputs, outputs = x.numel(), output.numel()
    if inputs * outputs > _ENTRIES or min(inputs, outputs) > _PASSES:
        return None
    rows = _rows(function, x) if outputs <= inputs else None
    if rows is None and inputs > _PASSES:
        return None
    return matrix_norm(_columns(function, x) if rows is None else rows)


def _rows(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor | None:
    """By gradients; None where they are not the function's, as past a `detach`."""
    try:
        with torch.enable_grad():
            point = torch.zeros_like(x).requires_grad_()
            values = function(point).flatten()
            grads = [torch.autograd.grad(v, point, retain_graph=True)[0] for v in values]
    except Exception:  # no gradient, or whatever somebody's backward raises
        return None
    rows = torch.stack([grad.flatten() for grad in grads])
    with torch.no_grad():
        tried = torch.linspace(1.0, 2.0, x.numel(), dtype=x.dtype, device=x.device).sin()
        moved = function(tried.view_as(x)).flatten() - values
        agree = torch.allclose(rows @ tried, moved, atol=1e-9 * float(values.abs().amax() + 1))
    return rows if agree else None


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
