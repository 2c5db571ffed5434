"""Where several tensors that depend on the input meet.

Each is known by a Lipschitz bound Lᵢ relative to the network's input. Sums add up, concatenation
takes the root of the sum of squares, and products need to know how large their factors can be,
which only a bounded domain tells.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.graph.operation import Operation, ValueRange
from intriguing.graph.table import join
from intriguing.spectral.norms.bound import Bound, outward, times
from intriguing.spectral.norms.matrix import matrix_norm

_DOMAIN = (
    "a product of two tensors that both depend on the input has no bound on an unbounded domain; "
    "give one: domain=Box(0, 1)"
)
_QUOTIENT = (
    "a quotient by a tensor that depends on the input has no bound where that can be 0; if it "
    "cannot on the images, give their domain: domain=Box(0, 1)"
)
_QUOTIENT_L = "true but of little use: it is attained only where the divisor is least"
_LARGE = "true but of little use: it grows with the square of the domain's size"


@join("add", "sub", "subtract", "rsub")
def added(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """L₁ + L₂."""
    weight = abs(float(operation.given(2, "alpha", 1)))
    if len(bounds) != 2:
        return None
    first, second = (
        bound * _copies(operation.output, tensor)
        for bound, tensor in zip(bounds, operation.moving, strict=True)
    )
    if operation.name == "rsub":
        first, second = second, first
    return Bound(outward(first + times(weight, second)), "L₁ + L₂")


@join("cat", "concat", "concatenate", "stack", "hstack", "vstack", "dstack", "column_stack")
def side_by_side(operation: Operation, bounds: tuple[float, ...]) -> Bound:
    """√(Σ Lᵢ²)."""
    return Bound(outward(math.hypot(*bounds)), "√(Σ Lᵢ²)")


@join("maximum", "minimum", "max", "min", "where", "fmax", "fmin", "clamp", "clip", "clamp_min",
      "clamp_max")  # fmt: skip
def either(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """√(Σ Lᵢ²): an entry moves at most as far as the farthest of its sources."""
    if not all(tensor.is_floating_point() for tensor in operation.moving):
        return None
    scaled = [
        bound * _copies(operation.output, tensor)
        for bound, tensor in zip(bounds, operation.moving, strict=True)
    ]
    return Bound(outward(math.hypot(*scaled)), "√(Σ Lᵢ²)")


@join("mul", "multiply")
def multiplied(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """sup |a|·L_b + sup |b|·L_a."""
    if len(bounds) != 2:
        return None
    if not operation.ranges:
        return Bound(math.inf, "product", note=_DOMAIN)
    total = 0.0
    for own, other in ((0, 1), (1, 0)):
        copies = _copies(operation.output, operation.moving[own])
        reach = operation.ranges[other]
        wide = _copies(operation.output, operation.moving[other])
        total += times(bounds[own], min(reach.peak * copies, reach.length * wide))
    return Bound(outward(total), "sup|a|·L_b + sup|b|·L_a on the domain")


@join("div", "divide", "true_divide")
def divided(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """L_a/inf|b| + sup|a|·L_b/(inf|b|)²."""
    if len(bounds) != 2 or operation.kwargs.get("rounding_mode") is not None:
        return None
    if not operation.ranges:
        return Bound(math.inf, "quotient", note=_QUOTIENT)
    a, b = operation.ranges
    least = float(torch.where(b.low > 0, b.low, (-b.high).clamp_min(0.0)).min())
    if least == 0.0:
        return Bound(math.inf, "quotient", note=_QUOTIENT)
    first, second = (_copies(operation.output, tensor) for tensor in operation.moving)
    top = min(a.peak * second, a.length * first)
    total = times(bounds[0], first / least) + times(bounds[1], top / least**2)
    return Bound(outward(total), "L_a/inf|b| + sup|a|·L_b/inf|b|² on the domain", note=_QUOTIENT_L)


@join("glu", nn.GLU)
def gated(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """a·sigmoid(b): √(sup sigmoid(b)² + (sup|a|/4)²) times the bound of both."""
    if len(bounds) != 1:
        return None
    if not operation.ranges:
        return Bound(math.inf, "gate", note=_DOMAIN)
    dim = operation.option(1, "dim", -1)
    low, high = operation.ranges[0].low, operation.ranges[0].high
    a = torch.maximum(low.abs(), high.abs()).expand(operation.x.shape).chunk(2, dim)[0]
    open_ = high.expand(operation.x.shape).chunk(2, dim)[1].sigmoid()
    steepest = float((open_.square() + (a / 4).square()).sqrt().max())
    return Bound(outward(times(steepest, bounds[0])), "√(1 + (sup|a|/4)²) on the domain")


@join("matmul", "bmm", "mm")
def matrices(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """sup ‖A‖·L_B + sup ‖B‖·L_A."""
    if len(bounds) != 2:
        return None
    if not operation.ranges:
        return Bound(math.inf, "product", note=_DOMAIN)
    a, b = operation.ranges
    if _batches(operation.moving[0]) != _batches(operation.moving[1]):
        return None
    return Bound(
        outward(times(a.length, bounds[1]) + times(b.length, bounds[0])),
        "sup‖A‖·L_B + sup‖B‖·L_A on the domain",
    )


@join("scaled_dot_product_attention")
def attention(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """softmax(s·QKᵀ)·V as two products and a softmax, on a bounded domain."""
    query, key, value = (operation.given(i, n) for i, n in enumerate(("query", "key", "value")))
    if operation.given(4, "dropout_p", 0.0) or operation.kwargs.get("enable_gqa"):
        return None
    if _is_moving(operation, operation.given(3, "attn_mask")):
        return None
    if not operation.ranges:
        return Bound(math.inf, "dot-product attention", note=_DOMAIN)
    reach = dict(zip(map(id, operation.moving), operation.ranges, strict=True))
    grows = dict(zip(map(id, operation.moving), bounds, strict=True))

    def of(tensor: Tensor) -> tuple[ValueRange, float]:
        known = reach.get(id(tensor))
        return known or ValueRange(0.0, float(tensor.norm()), tensor, tensor), grows.get(
            id(tensor), 0.0
        )

    (q, grow_q), (k, grow_k), (v, grow_v) = of(query), of(key), of(value)
    scale = operation.kwargs.get("scale") or 1 / math.sqrt(query.shape[-1])
    scores = abs(scale) * (times(q.length, grow_k) + times(k.length, grow_q))
    rows = math.sqrt(query.shape[-2])  # a head's weights: each row is a distribution
    return Bound(
        outward(rows * grow_v + times(v.length, 0.5 * scores)),
        "attention on the domain",
        note=_LARGE,
    )


@join(nn.MultiheadAttention)
def multihead_attention(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """The projections, attention over all heads at once, and the projection of the result."""
    layer: Any = operation.module
    inputs = [operation.given(i, n) for i, n in enumerate(("query", "key", "value"))]
    plain = layer._qkv_same_embed_dim and layer.bias_k is None and not layer.add_zero_attn
    if not plain or not all(_is_moving(operation, tensor) for tensor in inputs):
        return None
    if not all(any(moving is tensor for tensor in inputs) for moving in operation.moving):
        return None  # a mask depends on the image, too
    if not operation.ranges:
        return Bound(math.inf, "dot-product attention", note=_DOMAIN)
    reach = dict(zip(map(id, operation.moving), operation.ranges, strict=True))
    grows = dict(zip(map(id, operation.moving), bounds, strict=True))
    offsets = layer.in_proj_bias.chunk(3) if layer.in_proj_bias is not None else (None,) * 3
    lengths, rates = [], []
    for tensor, weight, offset in zip(inputs, layer.in_proj_weight.chunk(3), offsets, strict=True):
        norm, tokens = matrix_norm(weight), math.prod(tensor.shape[:-1])
        shift = 0.0 if offset is None else float(offset.norm()) * math.sqrt(tokens)
        lengths.append(norm * reach[id(tensor)].length + shift)
        rates.append(norm * grows[id(tensor)])
    scores = times(lengths[0], rates[1]) + times(lengths[1], rates[0])
    scores /= math.sqrt(layer.head_dim)
    queries = inputs[0].shape[-2 if layer.batch_first or inputs[0].ndim == 2 else 0]
    mixed = math.sqrt(queries) * rates[2] + times(lengths[2], 0.5 * scores)
    answer = matrix_norm(layer.out_proj.weight) * mixed
    whole = math.hypot(answer, 0.5 * scores)  # the weights are given back beside the answer
    return Bound(outward(whole), "attention on the domain", note=_LARGE)


def _copies(output: Any, tensor: Any) -> float:
    """√(how often broadcasting repeats an entry)."""
    return math.sqrt(max(1.0, output.numel() / tensor.numel()))


def _is_moving(operation: Operation, tensor: Any) -> bool:
    return any(tensor is moving for moving in operation.moving)


def _batches(tensor: Tensor) -> int:
    return math.prod(tensor.shape[:-2])
