"""What chooses among numbers one by one: the larger, what a mask holds, and what jumps."""

import math

import torch
from torch import Tensor

from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation
from intriguing.graph.operations.arithmetic import Intervals, arguments, copies, repeated
from intriguing.graph.table import Affine, Steps, declare, rule
from intriguing.spectral.norms.bound import Bound, outward


def either(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """√(Σ Lᵢ²): an entry moves at most as far as the farthest of its sources."""
    if not all(tensor.is_floating_point() for tensor in operation.moving):
        return None
    each = [
        bound * copies(operation.output, tensor)
        for bound, tensor in zip(bounds, operation.moving, strict=True)
    ]
    return Bound(outward(math.hypot(*each)), "√(Σ Lᵢ²)")


def larger(operation: Operation, spans: Intervals) -> Interval | None:
    """The larger or the smaller of two."""
    if not isinstance(operation.output, Tensor) or operation.given(1, "other") is None:
        return None
    a, b = arguments(operation, spans, "input", "other")
    pick = torch.minimum if "min" in operation.name else torch.maximum
    one = a.joined(b)
    return Interval(pick(a.low, b.low), pick(a.high, b.high), one.down, one.up)


declare("maximum", "minimum", "fmax", "fmin", join=either, interval=larger)


def _clamped(operation: Operation, spans: Intervals) -> Interval | None:
    """x, kept between constants."""
    if len(spans) != 1 or operation.given(0, "input") is not operation.x:
        return None
    return spans[0].rising(operation.again, (0.0, 1.0))


@rule("clamp", "clip", "clamp_min", "clamp_max", kind="activation", join=either,
      interval=_clamped)  # fmt: skip
def clamped(operation: Operation) -> Bound:
    """1: values are cut off; repeated if what cuts them is larger than x."""
    return repeated(operation, "steepest slope")


def _where_interval(operation: Operation, spans: Intervals) -> Interval:
    """One of two, by a condition that does not change."""
    method = getattr(operation.given(1, "condition"), "dtype", None) == torch.bool
    order = ("input", "condition", "other") if method else ("condition", "input", "other")
    named = dict(zip(order, arguments(operation, spans, *order), strict=True))
    return named["input"].chosen(named["condition"].low != 0, named["other"])


declare("where", join=either, interval=_where_interval)


def _masked_interval(operation: Operation, spans: Intervals) -> Interval:
    """A constant where the mask holds, which does not change."""
    x, mask, value = arguments(operation, spans, "input", "mask", "value")
    return value.chosen(mask.low != 0, x)


@rule("masked_fill", kind="shape", affine=Affine.FIRST, interval=_masked_interval)
def masked(operation: Operation) -> Bound:
    """1: some entries become a constant; repeated if the mask is larger than x."""
    return repeated(operation, "masking")


def assigned(operation: Operation, spans: Intervals) -> Interval | None:
    """x with a constant where a mask of its shape holds, as `x[mask] = value` writes it."""
    places, value = operation.given(1, "indices"), operation.given(2, "values")
    if len(places) != 1 or operation.given(3, "accumulate", False) or value.numel() != 1:
        return None
    known = dict(zip(map(id, operation.moving), spans, strict=True))
    x, mask = known[id(operation.given(0, "self"))], known.get(id(places[0]))
    if mask is None or places[0].dtype != torch.bool or places[0].shape != x.low.shape:
        return None
    return Interval.still(value.to(x.low).expand_as(x.low)).chosen(mask.low != 0, x)


# What jumps

declare("gt", "ge", "lt", "le", "eq", "ne", "greater", "greater_equal", "less", "less_equal",
        "not_equal", entrywise=True, steps=Steps.COMPARISON)  # fmt: skip
declare("sgn", "sign", "heaviside", entrywise=True, steps=Steps.SIGN, jumps=True)
declare("bool", "logical_not", "signbit", entrywise=True, steps=Steps.SIGN)
declare("isnan", "isinf", "isfinite", "isposinf", "isneginf", "isreal", entrywise=True,
        steps=Steps.NEVER)  # fmt: skip
declare("logical_and", "logical_or", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_xor",
        "bitwise_not", "and", "or", "xor", "invert", "__and__", "__or__", "__xor__", "__invert__",
        "int", "long", "short", "byte", "char", entrywise=True)  # fmt: skip
declare("round", "floor", "ceil", "trunc", "fix", "frac", "fmod", "remainder", "floordiv",
        "floor_divide", "mod", "quantize_per_tensor", "fake_quantize_per_tensor_affine",
        "bernoulli", "copysign", "nextafter", jumps=True)  # fmt: skip
