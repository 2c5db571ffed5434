"""How far a tensor can go while the image stays in its domain."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from intriguing.graph.interval import Ends, Interval
from intriguing.graph.operation import Operation, ValueRange
from intriguing.graph.table import rule_of
from intriguing.spectral.norms.linear_map import Matrix


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
        least, most = rule_of(operation).values(operation)
        low, high = low.clamp_min(least), high.clamp_max(most)
    return low, torch.maximum(low, high)


def _through(operation: Operation, before: tuple[Ends, ...]) -> Ends | None:
    """What the operation makes of intervals."""
    rule = rule_of(operation)
    try:
        if rule.interval is not None:
            zeros = (torch.zeros_like(low) for low, _ in before)
            spans = tuple(
                Interval(*ends, zero, zero) for ends, zero in zip(before, zeros, strict=True)
            )
            span = rule.interval(operation, spans)
            return None if span is None else _wider(span.low, span.high)
        if rule.rising and rule.when(operation) and isinstance(operation.output, Tensor):
            lows, highs = zip(*before, strict=True)
            return _wider(operation.again(*lows), operation.again(*highs))
        map = rule.linear(operation) if operation.first_moves else None
        if isinstance(map, Matrix):
            ((low, high),) = before
            middle, half = operation.again((low + high) / 2), (high - low) / 2 @ map.weight.abs().T
            return _wider(middle - half, middle + half)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, AssertionError):
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
    if operation is not None:
        length = min(length, rule_of(operation).length(operation))
    return ValueRange(peak, length, *ends)
