"""Gates and attention: products of what depends on the image, bounded on a domain only."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.graph.operation import Operation, ValueRange
from intriguing.graph.operations.arithmetic import DOMAIN
from intriguing.graph.operations.windows import if_over_channels
from intriguing.graph.table import declare
from intriguing.spectral.norms.bound import Bound, outward, times
from intriguing.spectral.norms.matrix import matrix_norm

_LARGE = "true but of little use: it grows with the square of the domain's size"


def _gated(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """a·sigmoid(b): √(sup sigmoid(b)² + (sup|a|/4)²) times the bound of both."""
    if len(bounds) != 1:
        return None
    if not operation.ranges:
        return Bound(math.inf, "gate", note=DOMAIN)
    dim = operation.option(1, "dim", -1)
    low, high = operation.ranges[0].low, operation.ranges[0].high
    a = torch.maximum(low.abs(), high.abs()).expand(operation.x.shape).chunk(2, dim)[0]
    open_ = high.expand(operation.x.shape).chunk(2, dim)[1].sigmoid()
    steepest = float((open_.square() + (a / 4).square()).sqrt().max())
    return Bound(outward(times(steepest, bounds[0])), "√(1 + (sup|a|/4)²) on the domain")


def matrices(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """sup ‖A‖·L_B + sup ‖B‖·L_A."""
    if len(bounds) != 2:
        return None
    if not operation.ranges:
        return Bound(math.inf, "product", note=DOMAIN)
    a, b = operation.ranges
    if _batches(operation.moving[0]) != _batches(operation.moving[1]):
        return None
    return Bound(
        outward(times(a.length, bounds[1]) + times(b.length, bounds[0])),
        "sup‖A‖·L_B + sup‖B‖·L_A on the domain",
    )


def _attention(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """softmax(s·QKᵀ)·V as two products and a softmax, on a bounded domain."""
    query, key, value = (operation.given(i, n) for i, n in enumerate(("query", "key", "value")))
    if operation.given(4, "dropout_p", 0.0) or operation.kwargs.get("enable_gqa"):
        return None
    if _is_moving(operation, operation.given(3, "attn_mask")):
        return None
    if not operation.ranges:
        return Bound(math.inf, "dot-product attention", note=DOMAIN)
    within = dict(zip(map(id, operation.moving), operation.ranges, strict=True))
    grows = dict(zip(map(id, operation.moving), bounds, strict=True))

    def of(tensor: Tensor) -> tuple[ValueRange, float]:
        known = within.get(id(tensor))
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


def _multihead_attention(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """The projections, attention over all heads at once, and the projection of the result."""
    layer: Any = operation.module
    inputs = [operation.given(i, n) for i, n in enumerate(("query", "key", "value"))]
    plain = layer._qkv_same_embed_dim and layer.bias_k is None and not layer.add_zero_attn
    if not plain or not all(_is_moving(operation, tensor) for tensor in inputs):
        return None
    if not all(any(moving is tensor for tensor in inputs) for moving in operation.moving):
        return None  # a mask depends on the image, too
    if not operation.ranges:
        return Bound(math.inf, "dot-product attention", note=DOMAIN)
    within = dict(zip(map(id, operation.moving), operation.ranges, strict=True))
    grows = dict(zip(map(id, operation.moving), bounds, strict=True))
    offsets = layer.in_proj_bias.chunk(3) if layer.in_proj_bias is not None else (None,) * 3
    lengths, rates = [], []
    for tensor, weight, offset in zip(inputs, layer.in_proj_weight.chunk(3), offsets, strict=True):
        norm, tokens = matrix_norm(weight), math.prod(tensor.shape[:-1])
        shift = 0.0 if offset is None else float(offset.norm()) * math.sqrt(tokens)
        lengths.append(norm * within[id(tensor)].length + shift)
        rates.append(norm * grows[id(tensor)])
    scores = times(lengths[0], rates[1]) + times(lengths[1], rates[0])
    scores /= math.sqrt(layer.head_dim)
    queries = inputs[0].shape[-2 if layer.batch_first or inputs[0].ndim == 2 else 0]
    mixed = math.sqrt(queries) * rates[2] + times(lengths[2], 0.5 * scores)
    answer = matrix_norm(layer.out_proj.weight) * mixed
    whole = math.hypot(answer, 0.5 * scores)  # the weights are given back beside the answer
    return Bound(outward(whole), "attention on the domain", note=_LARGE)


declare("glu", nn.GLU, join=_gated, window=if_over_channels)
declare("scaled_dot_product_attention", join=_attention)
declare(nn.MultiheadAttention, join=_multihead_attention)


def _is_moving(operation: Operation, tensor: Any) -> bool:
    return any(tensor is moving for moving in operation.moving)


def _batches(tensor: Tensor) -> int:
    return math.prod(tensor.shape[:-2])
