"""Arithmetic on numbers one by one: sums, products, quotients, powers and exponentials.

An interval rule is given the `Interval` of every tensor that depends on the image and says that of
the result; what enters twice is not known to be the same number, so that slopes are outer ones.
Where several tensors meet, each is known by a Lipschitz bound Lᵢ relative to the network's input:
sums add up, and products need to know how large their factors can be, which only a bounded domain
tells.
"""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from intriguing.graph import affine_form, form_functions
from intriguing.graph.affine_form import AffineForm
from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation
from intriguing.graph.table import Affine, Bends, Chords, declare, rule
from intriguing.spectral.norms.bound import Bound, outward, times
from intriguing.spectral.norms.linear_map import Diagonal

Intervals = tuple[Interval, ...]

DOMAIN = (
    "a product of two tensors that both depend on the input has no bound on an unbounded domain; "
    "give one: domain=Box(0, 1)"
)
_QUOTIENT = (
    "a quotient by a tensor that depends on the input has no bound where that can be 0; if it "
    "cannot on the images, give their domain: domain=Box(0, 1)"
)
_QUOTIENT_L = "true but of little use: it is attained only where the divisor is least"


def copies(output: Tensor, tensor: Tensor) -> float:
    """√(how often broadcasting repeats an entry)."""
    return math.sqrt(max(1.0, output.numel() / tensor.numel()))


def repeated(operation: Operation, formula: str) -> Bound:
    """1, or √(how often broadcasting repeats an entry)."""
    again = operation.copies
    return Bound(outward(math.sqrt(again)) if again > 1 else 1.0, formula)


def arguments(operation: Operation, spans: Intervals, *names: str) -> list[Interval]:
    """The call's arguments in order, constants as intervals without slope."""
    known = dict(zip(map(id, operation.moving), spans, strict=True))
    like = spans[0].low
    found = []
    for place, name in enumerate(names):
        given = operation.given(place, name)
        still = known.get(id(given))
        if still is None:
            constant = torch.as_tensor(given, dtype=like.dtype, device=like.device)
            still = Interval.still(constant.expand_as(like))
        found.append(still)
    return found


# Sums


def _sum_interval(operation: Operation, spans: Intervals) -> Interval:
    """a ± αb; rsub is b − αa."""
    a, b = arguments(operation, spans, "input", "other")
    first, second = (b, a) if operation.name == "rsub" else (a, b)
    weight = float(operation.given(2, "alpha", 1))
    return first.plus(second.scaled(weight if operation.name == "add" else -weight))


def _sum_join(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """L₁ + L₂."""
    weight = abs(float(operation.given(2, "alpha", 1)))
    if len(bounds) != 2:
        return None
    first, second = (
        bound * copies(operation.output, tensor)
        for bound, tensor in zip(bounds, operation.moving, strict=True)
    )
    if operation.name == "rsub":
        first, second = second, first
    return Bound(outward(first + times(weight, second)), "L₁ + L₂")


def _factor(operation: Operation) -> float:
    """What x is multiplied by in x ± αc and c ± αx."""
    weight = float(operation.given(2, "alpha", 1))
    second = operation.given(0, "input") is not operation.x
    if operation.name == "rsub":
        return 1.0 if second else -weight
    return (weight if operation.name == "add" else -weight) if second else 1.0


def _signed(operation: Operation) -> Diagonal | None:
    """Its factor, but for 1: nothing happens to x itself."""
    factor = _factor(operation)
    same = operation.output.shape == operation.x.shape
    return Diagonal(operation.x.new_tensor([factor])) if same and factor != 1.0 else None


_SUM: dict[str, Any] = {
    "kind": "shape", "affine": Affine.TOGETHER, "linear": _signed, "join": _sum_join,
    "interval": _sum_interval,
}  # fmt: skip


@rule("add", "sub", "subtract", keeps=True, **_SUM)
def shifted(operation: Operation) -> Bound:
    """1, or α where that stands with x: a constant is added."""
    size = abs(_factor(operation)) * math.sqrt(operation.copies)
    return Bound(size if size == 1.0 else outward(size), "shift")


rule("rsub", **_SUM)(shifted)


@rule("neg", "negative", kind="activation", affine=Affine.FIRST,
      linear=lambda operation: Diagonal(operation.x.new_tensor([-1.0])),
      interval=lambda _, spans: spans[0].scaled(-1.0))  # fmt: skip
def negative(operation: Operation) -> Bound:
    """1."""
    return Bound(1.0, "steepest slope")


# Products and quotients


def _divides(operation: Operation) -> bool:
    return operation.name.startswith(("div", "true"))


def _scales(operation: Operation) -> bool:
    """Whether it is x·c, c·x or x/c, exactly, or a product or quotient of two that move."""
    if operation.kwargs.get("rounding_mode") is not None:
        return False
    swapped = operation.given(0, "input") is not operation.x
    return not (swapped and _divides(operation))


def _scale(operation: Operation) -> Tensor:
    """What x is multiplied by."""
    swapped = operation.given(0, "input") is not operation.x
    other = operation.given(0, "input") if swapped else operation.given(1, "other")
    factor = torch.as_tensor(other, dtype=operation.x.dtype, device=operation.x.device).detach()
    return 1 / factor if _divides(operation) else factor


def _scaling(operation: Operation) -> Diagonal | None:
    same = _scales(operation) and operation.output.shape == operation.x.shape
    return Diagonal(_scale(operation)) if same else None


def _product_interval(operation: Operation, spans: Intervals) -> Interval:
    """a·b, which is a² if both are the same."""
    a, b = arguments(operation, spans, "input", "other")
    return _power(a, 2.0) if a is b else a.times(b)


def _quotient_interval(operation: Operation, spans: Intervals) -> Interval | None:
    """a/b."""
    if operation.kwargs.get("rounding_mode") is not None:
        return None
    a, b = arguments(operation, spans, "input", "other")
    inverse = _inverse(b)
    return None if inverse is None else a.times(inverse)


def _product_join(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """sup |a|·L_b + sup |b|·L_a."""
    if len(bounds) != 2:
        return None
    if not operation.ranges:
        return Bound(math.inf, "product", note=DOMAIN)
    total = 0.0
    for own, other in ((0, 1), (1, 0)):
        own_copies = copies(operation.output, operation.moving[own])
        other_copies = copies(operation.output, operation.moving[other])
        top = operation.ranges[other]
        total += times(bounds[own], min(top.peak * own_copies, top.length * other_copies))
    return Bound(outward(total), "sup|a|·L_b + sup|b|·L_a on the domain")


def _quotient_join(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """L_a/inf|b| + sup|a|·L_b/(inf|b|)²."""
    if len(bounds) != 2 or operation.kwargs.get("rounding_mode") is not None:
        return None
    if not operation.ranges:
        return Bound(math.inf, "quotient", note=_QUOTIENT)
    a, b = operation.ranges
    least = float(torch.where(b.low > 0, b.low, (-b.high).clamp_min(0.0)).min())
    if least == 0.0:
        return Bound(math.inf, "quotient", note=_QUOTIENT)
    first, second = (copies(operation.output, tensor) for tensor in operation.moving)
    top = min(a.peak * second, a.length * first)
    total = times(bounds[0], first / least) + times(bounds[1], top / least**2)
    return Bound(outward(total), "L_a/inf|b| + sup|a|·L_b/inf|b|² on the domain", note=_QUOTIENT_L)


_SCALE: dict[str, Any] = {"kind": "scale", "when": _scales, "linear": _scaling}


def _product_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm | None:
    """a·b."""
    return affine_form.product(*forms, torch.mul) if len(forms) == 2 else None


def _quotient_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm | None:
    """a·(1/b)."""
    if len(forms) != 2 or operation.kwargs.get("rounding_mode") is not None:
        return None
    inverse = form_functions.curved(forms[1], torch.reciprocal, _inverse)
    return None if inverse is None else affine_form.product(forms[0], inverse, torch.mul)


@rule("mul", "multiply", affine=Affine.EITHER, join=_product_join, interval=_product_interval,
      form=_product_form, **_SCALE)  # fmt: skip
def scaled(operation: Operation) -> Bound:
    """The largest factor; of a value that is repeated, the root of the sum of their squares."""
    squares = _scale(operation).square().expand(operation.output.shape)
    largest = squares.sum_to_size(operation.x.shape).max().sqrt()
    return Bound(outward(float(largest)), "largest factor")


rule("div", "divide", "true_divide", affine=Affine.FIRST, join=_quotient_join,
     interval=_quotient_interval, form=_quotient_form, **_SCALE)(scaled)  # fmt: skip


def _inverse(x: Interval) -> Interval | None:
    """1/x, where x keeps away from 0."""
    if not bool(((x.low > 0) | (x.high < 0)).all()):
        return None
    values = (1 / x.high, 1 / x.low)
    steepest = -torch.maximum(values[0].square(), values[1].square())
    return x.through(values, (steepest, -torch.minimum(values[0].square(), values[1].square())))


declare("reciprocal", interval=lambda _, spans: _inverse(spans[0]))

# Powers, exponentials and roots


def _power_interval(operation: Operation, spans: Intervals) -> Interval | None:
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
    ends = torch.stack([x.low.pow(p), x.high.pow(p)])
    low, high = ends.amin(0), ends.amax(0)
    if p % 2 == 0 and p > 0:
        low = torch.where((x.low < 0) & (x.high > 0), 0.0, low)
    slopes = p * torch.stack([x.low.pow(p - 1), x.high.pow(p - 1)]) if p else 0 * ends
    down, up = slopes.amin(0), slopes.amax(0)
    if p % 2 == 1 and p > 1:  # an even power: least at 0
        down = torch.where((x.low < 0) & (x.high > 0), 0.0, down)
    return x.through((low, high), (down, up))


declare("square", values=lambda _: (0.0, math.inf),
        interval=lambda _, spans: _power(spans[0], 2.0))  # fmt: skip
declare("pow", "float_power", interval=_power_interval)


def _rises(
    name: str, function: Callable[[Tensor], Tensor], slope: Callable[[Tensor], Tensor],
    above: float = -math.inf, values: tuple[float, float] = (-math.inf, math.inf),
) -> None:  # fmt: skip
    """Declare a rising function of numbers above one, whose slope rises or falls throughout."""

    def bounded(operation: Operation, spans: Intervals) -> Interval | None:
        (x,) = spans
        if above > -math.inf and not bool((x.low > above).all()):
            return None
        ends = torch.stack([slope(x.low), slope(x.high)])
        return x.through((function(x.low), function(x.high)), (ends.amin(0), ends.amax(0)))

    declare(name, interval=bounded, values=lambda _: values)


_rises("exp", torch.exp, torch.exp)
_rises("exp2", torch.exp2, lambda x: torch.exp2(x) * math.log(2))
_rises("expm1", torch.expm1, torch.exp)
_rises("log", torch.log, lambda x: 1 / x, 0.0)
_rises("log2", torch.log2, lambda x: 1 / (x * math.log(2)), 0.0)
_rises("log10", torch.log10, lambda x: 1 / (x * math.log(10)), 0.0)
_rises("log1p", torch.log1p, lambda x: 1 / (1 + x), -1.0)
_rises("sqrt", torch.sqrt, lambda x: 0.5 * x.rsqrt(), 0.0, (0.0, math.inf))


def _inverse_root(operation: Operation, spans: Intervals) -> Interval | None:
    """1/√x."""
    (x,) = spans
    if not bool((x.low > 0).all()):
        return None
    slopes = (-0.5 * x.low.pow(-1.5), -0.5 * x.high.pow(-1.5))
    return x.through((x.high.rsqrt(), x.low.rsqrt()), slopes)


declare("rsqrt", interval=_inverse_root)


def _absolute(_: Operation, spans: Intervals) -> Interval:
    """|x|."""
    (x,) = spans
    low, high = x.low.abs(), x.high.abs()
    across = (x.low < 0) & (x.high > 0)
    least = torch.where(across, 0.0, torch.minimum(low, high))
    slopes = (torch.where(x.low >= 0, 1.0, -1.0), torch.where(x.high <= 0, -1.0, 1.0))
    return x.through((least, torch.maximum(low, high)), (slopes[0].to(low), slopes[1].to(low)))


@rule("abs", "absolute", kind="activation", interval=_absolute, slopes=lambda _: (-1.0, 1.0),
      values=lambda _: (0.0, math.inf), chords=lambda _: Chords(convex=True),
      bends=lambda _: Bends((0.0,)))  # fmt: skip
def absolute(operation: Operation) -> Bound:
    """1."""
    return Bound(1.0, "steepest slope")
