"""Elementwise operations: what they do to one number while it runs through an interval.

Each is given the `Interval` of every tensor that depends on the image and says that of its result.
What enters twice is not known to be the same number, so that slopes are outer ones.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.graph.interval import Ends, Interval
from intriguing.graph.operation import Operation
from intriguing.graph.operations.pointwise import FUNCTIONS, MODULES, slopes_of
from intriguing.graph.table import curve


def _arguments(operation: Operation, spans: tuple[Interval, ...], *names: str) -> list[Interval]:
    """The call's arguments in order, constants as spans without slope."""
    known = dict(zip(map(id, operation.moving), spans, strict=True))
    like = spans[0].low
    found = []
    for place, name in enumerate(names):
        given = operation.given(place, name)
        span = known.get(id(given))
        found.append(
            span
            or Interval.still(
                torch.as_tensor(given, dtype=like.dtype, device=like.device).expand_as(like)
            )
        )
    return found


@curve("clone", "to", "float", "double", "type_as", "detach", "_to_copy", "alias", "contiguous",
       "lift_fresh_copy", "nan_to_num", "pos", "positive", nn.Identity)  # fmt: skip
def same(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """x."""
    precise = isinstance(operation.output, Tensor) and operation.output.dtype == torch.float64
    return spans[0] if precise and len(spans) == 1 else None


@curve("neg", "negative")
def negative(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """−x."""
    return spans[0].scaled(-1.0)


@curve("add", "sub", "subtract", "rsub")
def added(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """a ± αb; rsub is b − αa."""
    a, b = _arguments(operation, spans, "input", "other")
    first, second = (b, a) if operation.name == "rsub" else (a, b)
    weight = float(operation.given(2, "alpha", 1))
    return first.plus(second.scaled(weight if operation.name == "add" else -weight))


@curve("mul", "multiply")
def multiplied(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """a·b, which is a² if both are the same."""
    a, b = _arguments(operation, spans, "input", "other")
    return _power(a, 2.0) if a is b else a.times(b)


@curve("div", "divide", "true_divide")
def divided(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """a/b."""
    if operation.kwargs.get("rounding_mode") is not None:
        return None
    a, b = _arguments(operation, spans, "input", "other")
    inverse = _inverse(b)
    return None if inverse is None else a.times(inverse)


@curve("reciprocal")
def reciprocal(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """1/x."""
    return _inverse(spans[0])


def _inverse(x: Interval) -> Interval | None:
    """1/x, where x keeps away from 0."""
    if not bool(((x.low > 0) | (x.high < 0)).all()):
        return None
    values = (1 / x.high, 1 / x.low)
    steepest = -torch.maximum(values[0].square(), values[1].square())
    return x.through(values, (steepest, -torch.minimum(values[0].square(), values[1].square())))


@curve(*FUNCTIONS, *MODULES)
def activation(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """What never falls, from end to end; else nowhere farther than its slopes from its middle."""
    slopes = slopes_of(operation)
    if slopes is None or len(spans) != 1:
        return None
    (x,) = spans
    if slopes[0] >= 0:
        return _between(operation.again, x, slopes)
    middle = operation.again(((x.low + x.high) / 2).nan_to_num())
    reach = max(abs(slopes[0]), abs(slopes[1])) * (x.high - x.low) / 2
    return x.through((middle - reach, middle + reach), _everywhere(slopes, x.low))


@curve("abs", "absolute")
def absolute(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """|x|."""
    (x,) = spans
    low, high = x.low.abs(), x.high.abs()
    across = (x.low < 0) & (x.high > 0)
    least = torch.where(across, 0.0, torch.minimum(low, high))
    slopes = (torch.where(x.low >= 0, 1.0, -1.0), torch.where(x.high <= 0, -1.0, 1.0))
    return x.through((least, torch.maximum(low, high)), (slopes[0].to(low), slopes[1].to(low)))


@curve("clamp", "clip", "clamp_min", "clamp_max")
def clamped(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """x, kept between constants."""
    if len(spans) != 1 or operation.given(0, "input") is not operation.x:
        return None
    return _between(operation.again, spans[0], (0.0, 1.0))


def _between(function: Callable[..., Any], x: Interval, slopes: tuple[float, float]) -> Interval:
    """A function that never falls."""
    low = function(x.low).nan_to_num(nan=-torch.inf, neginf=-torch.inf, posinf=torch.inf)
    high = function(x.high).nan_to_num(nan=torch.inf, neginf=-torch.inf, posinf=torch.inf)
    return x.through((low, high), _everywhere(slopes, x.low))


def _everywhere(slopes: tuple[float, float], like: Tensor) -> Ends:
    return torch.full_like(like, slopes[0]), torch.full_like(like, slopes[1])


@curve("maximum", "minimum", "max", "min", "fmax", "fmin")
def either(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """The larger or the smaller of two."""
    if not isinstance(operation.output, Tensor) or operation.given(1, "other") is None:
        return None
    a, b = _arguments(operation, spans, "input", "other")
    pick = torch.minimum if "min" in operation.name else torch.maximum
    one = a.joined(b)
    return Interval(pick(a.low, b.low), pick(a.high, b.high), one.down, one.up)


@curve("where")
def where(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """One of two, by a condition that does not change."""
    method = getattr(operation.given(1, "condition"), "dtype", None) == torch.bool
    order = ("input", "condition", "other") if method else ("condition", "input", "other")
    named = dict(zip(order, _arguments(operation, spans, *order), strict=True))
    return named["input"].chosen(named["condition"].low != 0, named["other"])


@curve("masked_fill")
def masked(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """A constant where the mask holds, which does not change."""
    x, mask, value = _arguments(operation, spans, "input", "mask", "value")
    return value.chosen(mask.low != 0, x)


@curve("index_put")
def assigned(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """x with a constant where a mask of its shape holds, as `x[mask] = value` writes it."""
    places, value = operation.given(1, "indices"), operation.given(2, "values")
    if len(places) != 1 or operation.given(3, "accumulate", False) or value.numel() != 1:
        return None
    known = dict(zip(map(id, operation.moving), spans, strict=True))
    x, mask = known[id(operation.given(0, "self"))], known.get(id(places[0]))
    if mask is None or places[0].dtype != torch.bool or places[0].shape != x.low.shape:
        return None
    return Interval.still(value.to(x.low).expand_as(x.low)).chosen(mask.low != 0, x)


@curve("square")
def square(operation: Operation, spans: tuple[Interval, ...]) -> Interval:
    """x²."""
    return _power(spans[0], 2.0)


@curve("pow", "float_power")
def power(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """xᵖ for a constant p."""
    exponent = operation.given(1, "exponent")
    if len(spans) != 1 or not isinstance(exponent, (int, float)):
        return None
    (x,) = spans
    whole = float(exponent).is_integer()
    if exponent < 0:
        base = _power(x, -exponent) if whole or bool((x.low > 0).all()) else None
        return None if base is None else _inverse(base)
    if not whole and not bool((x.low >= 0).all()):
        return None
    return _power(x, float(exponent))


def _power(x: Interval, p: float) -> Interval:
    """xᵖ, p ≥ 0; only of x ≥ 0 if p is no whole number."""
    even = p % 2 == 0
    ends = torch.stack([x.low.pow(p), x.high.pow(p)])
    low, high = ends.amin(0), ends.amax(0)
    if even and p > 0:
        low = torch.where((x.low < 0) & (x.high > 0), 0.0, low)
    slopes = p * torch.stack([x.low.pow(p - 1), x.high.pow(p - 1)]) if p else 0 * ends
    down, up = slopes.amin(0), slopes.amax(0)
    if p % 2 == 1 and p > 1:  # an even power: least at 0
        down = torch.where((x.low < 0) & (x.high > 0), 0.0, down)
    return x.through((low, high), (down, up))


def _rises(
    function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor], lowest: float
) -> Callable[[Operation, tuple[Interval, ...]], Interval | None]:
    """A rising function of numbers above `lowest`, whose slope rises or falls throughout."""

    def bounded(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
        (x,) = spans
        if not bool((x.low > lowest).all()) and lowest > -math.inf:
            return None
        ends = torch.stack([slope(x.low), slope(x.high)])
        return x.through((function(x.low), function(x.high)), (ends.amin(0), ends.amax(0)))

    return bounded


curve("exp")(_rises(torch.exp, torch.exp, -math.inf))
curve("exp2")(_rises(torch.exp2, lambda x: torch.exp2(x) * math.log(2), -math.inf))
curve("expm1")(_rises(torch.expm1, torch.exp, -math.inf))
curve("log")(_rises(torch.log, lambda x: 1 / x, 0.0))
curve("log2")(_rises(torch.log2, lambda x: 1 / (x * math.log(2)), 0.0))
curve("log10")(_rises(torch.log10, lambda x: 1 / (x * math.log(10)), 0.0))
curve("log1p")(_rises(torch.log1p, lambda x: 1 / (1 + x), -1.0))
curve("sqrt")(_rises(torch.sqrt, lambda x: 0.5 * x.rsqrt(), 0.0))


@curve("rsqrt")
def inverse_root(operation: Operation, spans: tuple[Interval, ...]) -> Interval | None:
    """1/√x."""
    (x,) = spans
    if not bool((x.low > 0).all()):
        return None
    slopes = (-0.5 * x.low.pow(-1.5), -0.5 * x.high.pow(-1.5))
    return x.through((x.high.rsqrt(), x.low.rsqrt()), slopes)
