"""Gates and attention: products of what depends on the image, bounded on a domain only."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.graph import affine_form, form_functions
from intriguing.graph.affine_form import AffineForm
from intriguing.graph.operation import Operation, ValueRange
from intriguing.graph.operations.arithmetic import DOMAIN
from intriguing.graph.operations.windows import if_over_channels
from intriguing.graph.table import Formed, declare
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


def product_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm | None:
    """A product of two tensors that move, sums of products of their numbers."""
    if len(forms) != 2:
        return None
    ranks = tuple(form.centre.ndim for form in forms)
    terms = max(form.centre.numel() for form in forms)

    def product(*given: Tensor) -> Tensor:
        rows = tuple(0 if x.ndim > rank else None for x, rank in zip(given, ranks, strict=True))
        if not any(row == 0 for row in rows):
            return operation.again(*given)  # type: ignore[no-any-return]
        return torch.vmap(operation.again, rows)(*given)  # type: ignore[no-any-return]

    return affine_form.product(*forms, product, terms)


def _attended(
    query: AffineForm, key: AffineForm, value: AffineForm, scale: float | None = None
) -> AffineForm:
    """softmax(s·QKᵀ)·V of the last two axes."""
    width = query.centre.shape[-1]
    scale = 1 / math.sqrt(width) if scale is None else scale
    keys = key.moved(lambda t: scale * t.mT, lambda t: abs(scale) * t.mT)
    shares = form_functions.softmax(affine_form.matrix_product(query, keys), -1)
    # Shares add up to 1, so that values may be taken less any constant.
    middle = value.centre.mean(-2, keepdim=True).expand_as(value.centre)
    apart = value.shifted(-middle)
    mixed = affine_form.matrix_product(shares, apart)
    return mixed.shifted(middle[..., :1, :].expand_as(mixed.centre))


def _attention_form(operation: Operation, forms: tuple[AffineForm, ...]) -> AffineForm | None:
    masked = operation.given(3, "attn_mask") is not None or operation.given(5, "is_causal", False)
    plain = not masked and not operation.given(4, "dropout_p", 0.0)
    if not plain or operation.kwargs.get("enable_gqa"):
        return None
    known = dict(zip(map(id, operation.moving), forms, strict=True))
    given = [known.get(id(operation.given(i, n))) for i, n in enumerate(("query", "key", "value"))]
    query, key, value = given
    if query is None or key is None or value is None:
        return None
    return _attended(query, key, value, operation.kwargs.get("scale"))


def _multihead_form(operation: Operation, forms: tuple[AffineForm, ...]) -> Formed:
    layer: Any = operation.module
    inputs = [operation.given(i, n) for i, n in enumerate(("query", "key", "value"))]
    plain = layer._qkv_same_embed_dim and layer.bias_k is None and not layer.add_zero_attn
    others = [operation.given(3, "key_padding_mask"), operation.given(5, "attn_mask")]
    if not plain or any(mask is not None for mask in others) or inputs[0].ndim != 3:
        return None
    known = dict(zip(map(id, operation.moving), forms, strict=True))
    parts: list[AffineForm] = []
    offsets = layer.in_proj_bias.chunk(3) if layer.in_proj_bias is not None else (None,) * 3
    for tensor, weight, offset in zip(inputs, layer.in_proj_weight.chunk(3), offsets, strict=True):
        if id(tensor) not in known:
            return None
        form = projected(known[id(tensor)], weight, offset)
        parts.append(form.moved(lambda t: _heads(t, layer)))
    query, key, value = parts
    mixed = _attended(query, key, value).moved(lambda t: _merged(t, layer))
    return projected(mixed, layer.out_proj.weight, layer.out_proj.bias), None


def projected(form: AffineForm, weight: Tensor, offset: Tensor | None) -> AffineForm:
    """A linear layer."""
    matrix = weight.detach().to(form.centre)
    made = form.moved(lambda t: t @ matrix.T, lambda t: t @ matrix.abs().T, matrix.shape[1])
    return made if offset is None else made.shifted(offset.detach().to(form.centre))


def _heads(tokens: Tensor, layer: Any) -> Tensor:
    """(…, batch, heads, tokens, features) of tokens with all heads beside one another."""
    tokens = tokens if layer.batch_first else tokens.transpose(-3, -2)
    apart = tokens.view(*tokens.shape[:-1], layer.num_heads, layer.head_dim)
    return apart.transpose(-3, -2)


def _merged(tokens: Tensor, layer: Any) -> Tensor:
    """The way back."""
    tokens = tokens.transpose(-3, -2).flatten(-2)
    return tokens if layer.batch_first else tokens.transpose(-3, -2)


declare("glu", nn.GLU, join=_gated, window=if_over_channels)
declare("scaled_dot_product_attention", join=_attention, form=_attention_form)
declare(nn.MultiheadAttention, join=_multihead_attention, form=_multihead_form)


def _is_moving(operation: Operation, tensor: Any) -> bool:
    return any(tensor is moving for moving in operation.moving)


def _batches(tensor: Tensor) -> int:
    return math.prod(tensor.shape[:-2])
