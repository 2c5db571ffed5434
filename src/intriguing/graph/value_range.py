"""How far a tensor can go while the image stays in its domain."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from intriguing.graph.interval import Ends, Interval
from intriguing.graph.linear_map import linear_map
from intriguing.graph.operation import Operation, ValueRange
from intriguing.graph.table import curve_of
from intriguing.spectral.norms.linear_map import Matrix

_PEAKS = {
    "sigmoid": 1.0, "Sigmoid": 1.0, "hardsigmoid": 1.0, "Hardsigmoid": 1.0, "tanh": 1.0,
    "Tanh": 1.0, "softsign": 1.0, "Softsign": 1.0, "erf": 1.0, "sin": 1.0, "cos": 1.0,
    "relu6": 6.0, "ReLU6": 6.0, "softmax": 1.0, "Softmax": 1.0,
}  # fmt: skip
_NEVER_NEGATIVE = {
    "norm", "vector_norm", "linalg_vector_norm", "std", "var", "softmax", "Softmax", "cdist",
    "sqrt", "abs", "square",
}  # fmt: skip
_NEVER_FALLING = {
    "sum", "mean", "amax", "amin", "logsumexp", "flatten", "reshape", "view", "squeeze",
    "unsqueeze", "permute", "transpose", "expand", "contiguous", "getitem", "unflatten", "cat",
    "stack", "repeat", "flip", "roll", "clone", "Flatten", "Unflatten", "Identity", "cumsum",
    "max_pool1d", "max_pool2d", "MaxPool1d", "MaxPool2d", "avg_pool1d", "avg_pool2d", "AvgPool1d",
    "AvgPool2d", "adaptive_avg_pool2d", "AdaptiveAvgPool2d",
}  # fmt: skip


def entry_range(
    operation: Operation | None, value: Any, farther: float, before: Sequence[Ends | None]
) -> Ends | None:
    """Between which numbers each entry of a tensor lies over the domain; None if it is no tensor.

    Args:
        operation, value: What made it, and what it gave for the centre of the domain.
        farther: How far nothing in it moves from there.
        before: The same of what the operation takes.
    """
    if not isinstance(value, Tensor) or not value.is_floating_point():
        return None
    low, high = value - farther, value + farther
    known = tuple(ends for ends in before if ends is not None)
    if operation is not None and len(known) == len(before):
        inner = _through(operation, known)
        if inner is not None and inner[0].shape == inner[1].shape == low.shape:
            low, high = torch.fmax(low, inner[0]), torch.fmin(high, inner[1])
        peak = _PEAKS.get(operation.name, math.inf)
        least = 0.0 if operation.name in _NEVER_NEGATIVE else -peak
        low, high = low.clamp_min(least), high.clamp_max(peak)
    return low, torch.maximum(low, high)


def _through(operation: Operation, before: tuple[Ends, ...]) -> Ends | None:
    """What the operation makes of intervals."""
    try:
        rule = curve_of(operation.module, operation.name)
        if rule is not None:
            still = (torch.zeros_like(low) for low, _ in before)
            spans = tuple(
                Interval(low, high, zero, zero)
                for (low, high), zero in zip(before, still, strict=True)
            )
            span = rule(operation, spans)
            return None if span is None else _wider(span.low, span.high)
        if operation.name in _NEVER_FALLING and isinstance(operation.output, Tensor):
            return _wider(
                operation.again(*(low for low, _ in before)),
                operation.again(*(high for _, high in before)),
            )
        map = linear_map(operation) if len(before) == 1 else None
        if isinstance(map, Matrix):
            ((low, high),) = before
            middle, half = operation.again((low + high) / 2), (high - low) / 2 @ map.weight.abs().T
            return _wider(middle - half, middle + half)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        pass  # arguments that the rule was not written for
    return None


def _wider(low: Tensor, high: Tensor) -> Ends:
    """The interval with rounding allowed for."""
    slack = 1e-12 * torch.maximum(low.abs(), high.abs())
    return (low - slack).nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf), (
        high + slack
    ).nan_to_num(nan=torch.inf, posinf=torch.inf, neginf=-torch.inf)


def value_range(
    operation: Operation | None, value: Any, total: float, radius: float, ends: Ends | None
) -> ValueRange:
    """The largest entry and the length of a value over the domain.

    Within `radius` of the example, nothing moves farther than `total`·radius from its `value`; and
    each entry stays between its `ends`.
    """
    tensors = [
        t.abs().double() if t.is_complex() else t.double()
        for t in pytree.tree_leaves(value)
        if isinstance(t, Tensor)
    ]
    farther = total * radius
    peak = max((float(t.abs().max()) for t in tensors if t.numel()), default=0.0) + farther
    length = math.hypot(*(float(t.norm()) for t in tensors)) + farther
    if ends is None:
        nowhere = torch.full((), math.inf, dtype=torch.float64)
        return ValueRange(peak, length, -nowhere, nowhere)
    largest = torch.maximum(ends[0].abs(), ends[1].abs())
    peak = min(peak, float(largest.max()) if largest.numel() else 0.0)
    length = min(length, float(largest.norm()))
    if operation is not None and operation.name in ("softmax", "Softmax"):
        dim = operation.option(1, "dim", -1)
        rows = tensors[0].numel() // tensors[0].shape[-1 if dim is None else dim]
        length = min(length, math.sqrt(rows))
    return ValueRange(peak, length, *ends)
