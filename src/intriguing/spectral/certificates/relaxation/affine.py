"""The affine operations of a graph as what a backward pass needs: adjoints and magnitudes.

Of z = Σ Wᵢyᵢ + b a backward pass takes q to Wᵢᵀq and qᵀb. Short forms (convolutions, matrices,
diagonals, what only reshapes) are written out, in whatever precision; all others are transposed by
reverse differentiation of torch's own operation, which is tried on noise first. |W|·|y| bounds what
rounding can do: it is needed entry by entry, and is had from weights' absolute values, from the
operation itself where no weight is negative, or from the matrix written out where that is small.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from intriguing.graph.operation import Operation
from intriguing.graph.table import Affine, rule_of
from intriguing.spectral.certificates.step import Step, fused_map, linear_map, permutation
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.linear_map import Diagonal, LinearMap, Matrix, norm_of

Adjoint = Callable[[Tensor], tuple[Tensor, ...]]
Magnitude = Callable[[Sequence[Tensor]], Tensor]
_WRITTEN_OUT = 4_000_000
"""Entries up to which a matrix is written out for its absolute values: 32 MB."""
_AGREES = 1e-9
"""How far ⟨q, Wy⟩ and ⟨Wᵀq, y⟩ may be apart, relative to their terms."""


@dataclass(frozen=True)
class AffineMap:
    """z = Σ Wᵢyᵢ + b; all tensors have the batch's axis.

    Attributes:
        forward: z of the yᵢ, each a batch of 1 in float64.
        adjoint: Every Wᵢᵀq of rows of q.
        magnitude: Σ |Wᵢ||yᵢ| of magnitudes |yᵢ|, each a batch of 1.
        offset: b.
        norms: ‖Wᵢ‖ from above.
        terms: No sum on the way has more.
    """

    forward: Callable[..., Tensor]
    adjoint: Adjoint
    magnitude: Magnitude
    offset: Tensor
    norms: tuple[float, ...]
    terms: int


def affine_map(step: Step) -> AffineMap | None:
    """What a step of a walk does, with the layer that is fused with it; None if it is not affine.

    None, too, if its adjoint or its magnitudes cannot be had.
    """
    operation = step.call
    inner = step.parents[0] if step.parents and step.parents[0].fused else None
    rule = rule_of(operation)
    if not rule.is_affine(operation) or not isinstance(step.value, Tensor):
        return None
    if inner is None:
        inputs, forward = operation.moving, operation.again
        map = linear_map(operation)
    else:
        if not rule_of(inner.call).is_affine(inner.call) or len(inner.call.moving) != 1:
            return None
        first = inner.call
        inputs, map = first.moving, fused_map(step)

        def forward(x: Tensor) -> Tensor:
            value: Tensor = operation.again(first.again(x))
            return value

        if map is None:
            return None
    if not all(isinstance(x, Tensor) and x.is_floating_point() for x in inputs):
        return None
    offset = forward(*(torch.zeros_like(x) for x in inputs))
    short = None if map is None else _short(map, inputs[0], offset)
    adjoint = short or _reshaping(operation, inner) or _differentiated(forward, inputs, offset)
    if adjoint is None:
        return None
    magnitude = _magnitude(operation, map, inputs, offset, forward, adjoint)
    norms = _norms(operation, map, len(inputs))
    if magnitude is None or norms is None or not _fits(forward, adjoint, inputs, offset):
        return None
    terms = 2 * (offset.numel() + sum(x.numel() for x in inputs))
    return AffineMap(forward, adjoint, magnitude, offset, norms, terms)


def _short(map: LinearMap, x: Tensor, output: Tensor) -> Adjoint | None:
    """The adjoint of a map that has a short form."""
    kept: dict[torch.dtype, Tensor] = {}

    def weight(like: Tensor) -> Tensor:
        whole = map.scale.expand(output.shape) if isinstance(map, Diagonal) else map.weight
        if like.dtype not in kept:
            kept[like.dtype] = whole.to(like)
        return kept[like.dtype]

    if isinstance(map, Diagonal):
        return (lambda q: (q * weight(q),)) if output.shape == x.shape else None
    if isinstance(map, Matrix):
        return lambda q: (q @ weight(q),)
    plain = map.padding_mode == "zeros" and all(a == b for a, b in map.padding)
    transpose = {1: functional.conv_transpose1d, 2: functional.conv_transpose2d}.get(map.axes)
    if map.transposed or not plain or transpose is None or x.ndim != map.axes + 2:
        return None
    pads, size = [a for a, _ in map.padding], x.shape[2:]
    reached = (
        (n - 1) * s - 2 * p + span
        for n, s, p, span in zip(output.shape[2:], map.stride, pads, map.spans, strict=True)
    )
    extra = [n - r for n, r in zip(size, reached, strict=True)]
    if min(extra) < 0 or any(e >= max(s, d) for e, s, d in zip(
        extra, map.stride, map.dilation, strict=True)):  # fmt: skip
        return None
    layer = map

    def adjoint(q: Tensor) -> tuple[Tensor, ...]:
        return (
            transpose(q, weight(q), None, layer.stride, pads, extra, layer.groups, layer.dilation),
        )

    return adjoint


def _reshaping(operation: Operation, inner: Step | None) -> Adjoint | None:
    """Of what only gives the numbers another shape."""
    if inner is not None or len(operation.moving) != 1:
        return None
    same = rule_of(operation).keeps and operation.output.shape == operation.x.shape
    order = None if same else permutation(operation)
    if not same and (order is None or bool((order.diff() != 1).any())):
        return None
    shape = operation.x.shape[1:]
    return lambda q: (q.reshape(len(q), *shape),)


def _differentiated(
    forward: Callable[..., Tensor], inputs: tuple[Tensor, ...], offset: Tensor
) -> Adjoint | None:
    """By reverse differentiation at 0, once for many rows; None where torch has no derivative."""
    with torch.enable_grad():
        zeros = [torch.zeros_like(x).requires_grad_() for x in inputs]
        output = forward(*zeros)

    def adjoint(q: Tensor) -> tuple[Tensor, ...]:
        rows = q.to(output.dtype)[:, None]
        found = torch.autograd.grad(
            output, zeros, rows, retain_graph=True, create_graph=q.requires_grad,
            is_grads_batched=True, allow_unused=True, materialize_grads=True,
        )  # fmt: skip
        return tuple(g[:, 0].to(q) for g in found)

    try:
        adjoint(torch.zeros_like(offset))
    except (RuntimeError, NotImplementedError):
        return None
    return adjoint


def _magnitude(
    operation: Operation, map: LinearMap | None, inputs: tuple[Tensor, ...], offset: Tensor,
    forward: Callable[..., Tensor], adjoint: Adjoint,
) -> Magnitude | None:  # fmt: skip
    rule = rule_of(operation)
    if isinstance(map, Diagonal) and offset.shape == inputs[0].shape:
        return lambda sizes: map.scale.abs() * sizes[0]
    if isinstance(map, Matrix):
        return lambda sizes: sizes[0] @ map.weight.abs().T
    if isinstance(map, Convolution) and map.padding_mode == "zeros" and not map.transposed:
        convolve = {1: functional.conv1d, 2: functional.conv2d, 3: functional.conv3d}[map.axes]
        pads = [side for pair in reversed(map.padding) for side in pair]

        def convolved(sizes: Sequence[Tensor]) -> Tensor:
            padded = functional.pad(sizes[0], pads)
            return convolve(padded, map.weight.abs(), None, map.stride, 0, map.dilation, map.groups)

        shown = convolved([torch.zeros_like(inputs[0])]).shape if inputs[0].ndim > 2 else None
        return convolved if shown == offset.shape else None
    if rule.rising or (operation.name == "add" and operation.given(2, "alpha", 1) == 1):
        return lambda sizes: forward(*sizes) - offset
    if rule.affine_in(operation) is Affine.TOGETHER and operation.name in (
        "sub", "subtract", "rsub", "add",
    ):  # fmt: skip
        weight = abs(float(operation.given(2, "alpha", 1)))
        most = max(1.0, weight)
        return lambda sizes: (
            most
            * sum(
                (size.expand(offset.shape) for size in sizes),
                torch.zeros_like(offset),
            )
        )
    if offset.numel() * sum(x.numel() for x in inputs) > _WRITTEN_OUT:
        return None
    identity = torch.eye(offset.numel(), dtype=offset.dtype, device=offset.device)
    rows = adjoint(identity.view(-1, *offset.shape[1:]))
    absolute = [row.flatten(1).abs() for row in rows]
    return lambda sizes: sum(
        (m @ size.flatten() for m, size in zip(absolute, sizes, strict=True)),
        torch.zeros_like(offset).flatten(),
    ).view(offset.shape)


def _norms(operation: Operation, map: LinearMap | None, count: int) -> tuple[float, ...] | None:
    rule = rule_of(operation)
    if map is not None:
        return (norm_of(map),)
    if count == 1:
        bound = rule.bound(operation)
        return None if bound is None or not bound.guaranteed else (bound.upper,)
    if rule.join is None:
        return None
    single = [rule.join(operation, tuple(unit)) for unit in torch.eye(count).tolist()]
    return tuple(math.inf if bound is None else bound.upper for bound in single)


def _fits(
    forward: Callable[..., Tensor], adjoint: Adjoint, inputs: tuple[Tensor, ...], offset: Tensor
) -> bool:
    """Whether the adjoint is that of the operation, tried on noise."""
    generator = torch.Generator().manual_seed(0)

    def noise(like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=generator, dtype=torch.float64).to(like)

    given, q = [noise(x) for x in inputs], noise(offset)
    try:
        found = adjoint(q)
        moved = forward(*given) - offset
    except (RuntimeError, TypeError, ValueError, NotImplementedError):
        return False
    if any(f.shape != x.shape for f, x in zip(found, given, strict=True)):
        return False
    sides = (q * moved).sum(), sum((f * x).sum() for f, x in zip(found, given, strict=True))
    scale = (q * moved).abs().sum() + sum(
        (f * x).abs().sum() for f, x in zip(found, given, strict=True)
    )
    return bool((sides[0] - sides[1]).abs() <= _AGREES * scale)
