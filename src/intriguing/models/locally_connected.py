"""Locally connected filtering: a convolution whose weights are not shared between places (untied).

PyTorch has no such layer (its issue 499).  Forward, adjoint and weight gradient are the products in
`tiles`; each one's derivatives are the other two, so that gradients of any order, forward mode and
the transposed layer need nothing more.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models import tiles

Pair = tuple[int, int]


class LocallyConnected2d(nn.Module):
    """yₚₘ = Σ Wₚₘ·xₚ (+ bₚₘ): every output position p has filters of its own.

    The weight has shape (output rows, output columns, maps, field height, field width, channels):
    rows of outputs first, so that a band of rows, or torch's FSDP, which shards the first
    dimension, gives each device whole places.

    Args:
        channels: Of the input.
        maps: Outputs at each position.
        size: (height, width) of the input.
        field: Side of what one output sees, or (height, width).
        stride: Steps between the fields of neighbours.
        bias: Whether each output has one.

    Raises:
        InputError: If the field does not fit into the input.

    >>> layer = LocallyConnected2d(3, 8, size=(32, 32), field=6)
    >>> layer(torch.zeros(2, 3, 32, 32)).shape, layer.weight.numel()
    (torch.Size([2, 8, 27, 27]), 629856)
    """

    def __init__(
        self,
        channels: int,
        maps: int,
        size: Sequence[int],
        field: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        bias: bool = False,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        self.size, self.field, self.stride = _pair(size), _pair(field), _pair(stride)
        if min(channels, maps, *self.size, *self.field, *self.stride) < 1:
            raise InputError("channels, maps, size, field and stride must be at least 1")
        if self.field[0] > self.size[0] or self.field[1] > self.size[1]:
            raise InputError(
                f"fields of {_by(self.field)} do not fit into inputs of {_by(self.size)}; "
                "give a smaller field or a larger size"
            )
        rows, columns = (
            (side - k) // s + 1
            for side, k, s in zip(self.size, self.field, self.stride, strict=True)
        )
        self.outputs = (rows, columns)
        shape = (rows, columns, maps, *self.field, channels)
        self.weight = nn.Parameter(torch.empty(shape, device=device, dtype=dtype))
        self.bias = (
            nn.Parameter(torch.empty(rows, columns, maps, device=device, dtype=dtype))
            if bias
            else None
        )
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Normal weights of variance 1 / inputs of one output, biases 0.

        The draw happens row by row of outputs on the CPU in float32, so that a seed means the same
        weights on every device and a band of rows can be drawn alone.
        """
        if self.weight.is_meta:
            return
        deviation = 1 / math.sqrt(math.prod(self.weight.shape[3:]))
        for row in self.weight:
            row.copy_(torch.randn(row.shape, generator=generator).mul_(deviation))
        if self.bias is not None:
            self.bias.zero_()

    def forward(self, x: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b map p q"]:
        """The filters' responses; images have to be of `size`."""
        if tuple(x.shape[2:]) != self.size:
            raise InputError(
                f"inputs of {_by(x.shape[2:])}, but the untied weights are of {_by(self.size)}; "
                "resize or crop the images"
            )
        y = locally_connected2d(x, self.weight, self.stride)
        return y if self.bias is None else y + self.bias.permute(2, 0, 1)

    def extra_repr(self) -> str:
        rows, columns, maps, height, width, channels = self.weight.shape
        return (
            f"{channels}, {maps}, size={self.size}, field=({height}, {width}), "
            f"stride={self.stride}, outputs=({rows}, {columns}), bias={self.bias is not None}"
        )


def locally_connected2d(
    x: Float[Tensor, "b channel h w"],
    weight: Float[Tensor, "p q map i j channel"],
    stride: int | Sequence[int] = 1,
) -> Float[Tensor, "b map p q"]:
    """Filter `x` by weights of their own at every place (p, q).

    Raises:
        InputError: If the shapes do not fit.
    """
    steps = _pair(stride)
    _check(x, weight, 1)
    needed = tiles.Layout.of(weight, steps).inputs
    if x.shape[2] < needed[0] or x.shape[3] < needed[1]:
        raise InputError(
            f"outputs of {_by(weight.shape[:2])} with fields of {_by(weight.shape[3:5])} need "
            f"inputs of {_by(needed)}, not {_by(x.shape[2:])}"
        )
    y: Tensor = _Forward.apply(_last(x), weight, steps)  # type: ignore[no-untyped-call]
    return y.permute(0, 3, 1, 2)


def locally_connected_transpose2d(
    y: Float[Tensor, "b map p q"],
    weight: Float[Tensor, "p q map i j channel"],
    size: Sequence[int],
    stride: int | Sequence[int] = 1,
) -> Float[Tensor, "b channel h w"]:
    """The adjoint: Σₚ Wₚᵀ·yₚ put where p looks, in images of `size`; the decoder of tied weights.

    Raises:
        InputError: If the shapes do not fit.
    """
    steps, into = _pair(stride), _pair(size)
    _check(y, weight, 0)
    needed = tiles.Layout.of(weight, steps).inputs
    if into[0] < needed[0] or into[1] < needed[1]:
        raise InputError(f"the weights reach {_by(needed)}, beyond images of {_by(into)}")
    x: Tensor = _Adjoint.apply(_last(y), weight, steps, into)  # type: ignore[no-untyped-call]
    return x.permute(0, 3, 1, 2)


class _Forward(torch.autograd.Function):
    """F(x, W); its derivatives are A(·, W) and O(x, ·)."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, weight: Tensor, stride: Pair) -> Tensor:
        return tiles.forward(x, weight, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, weight, ctx.stride = inputs
        ctx.size = (x.shape[1], x.shape[2])
        ctx.save_for_backward(x, weight)
        ctx.save_for_forward(x, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs = ctx.needs_input_grad
        field = (weight.shape[3], weight.shape[4])
        return (
            _Adjoint.apply(grad, weight, ctx.stride, ctx.size) if needs[0] else None,  # type: ignore[no-untyped-call]
            _Outer.apply(x, grad, field, ctx.stride) if needs[1] else None,  # type: ignore[no-untyped-call]
            None,
        )

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dw: Tensor | None, _: None) -> Any:
        x, weight = ctx.saved_tensors
        return _sum(
            None if dx is None else _Forward.apply(dx, weight, ctx.stride),  # type: ignore[no-untyped-call]
            None if dw is None else _Forward.apply(x, dw, ctx.stride),  # type: ignore[no-untyped-call]
        )


class _Adjoint(torch.autograd.Function):
    """A(y, W); its derivatives are F(·, W) and O(·, y)."""

    generate_vmap_rule = False

    @staticmethod
    def forward(y: Tensor, weight: Tensor, stride: Pair, size: Pair) -> Tensor:
        return tiles.adjoint(y, weight, stride, size)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        y, weight, ctx.stride, ctx.size = inputs
        ctx.save_for_backward(y, weight)
        ctx.save_for_forward(y, weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        y, weight = ctx.saved_tensors
        grad = grad.contiguous()
        needs = ctx.needs_input_grad
        field = (weight.shape[3], weight.shape[4])
        return (
            _Forward.apply(grad, weight, ctx.stride) if needs[0] else None,  # type: ignore[no-untyped-call]
            _Outer.apply(grad, y, field, ctx.stride) if needs[1] else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, dy: Tensor | None, dw: Tensor | None, *_: None) -> Any:
        y, weight = ctx.saved_tensors
        return _sum(
            None if dy is None else _Adjoint.apply(dy, weight, ctx.stride, ctx.size),  # type: ignore[no-untyped-call]
            None if dw is None else _Adjoint.apply(y, dw, ctx.stride, ctx.size),  # type: ignore[no-untyped-call]
        )


class _Outer(torch.autograd.Function):
    """O(x, y); its derivatives are A(y, ·) and F(x, ·)."""

    generate_vmap_rule = False

    @staticmethod
    def forward(x: Tensor, y: Tensor, field: Pair, stride: Pair) -> Tensor:
        return tiles.outer(x, y, field, stride)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, y, ctx.field, ctx.stride = inputs
        ctx.size = (x.shape[1], x.shape[2])
        ctx.save_for_backward(x, y)
        ctx.save_for_forward(x, y)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, y = ctx.saved_tensors
        needs = ctx.needs_input_grad
        return (
            _Adjoint.apply(y, grad, ctx.stride, ctx.size) if needs[0] else None,  # type: ignore[no-untyped-call]
            _Forward.apply(x, grad, ctx.stride) if needs[1] else None,  # type: ignore[no-untyped-call]
            None,
            None,
        )

    @staticmethod
    def jvp(ctx: Any, dx: Tensor | None, dy: Tensor | None, *_: None) -> Any:
        x, y = ctx.saved_tensors
        return _sum(
            None if dx is None else _Outer.apply(dx, y, ctx.field, ctx.stride),  # type: ignore[no-untyped-call]
            None if dy is None else _Outer.apply(x, dy, ctx.field, ctx.stride),  # type: ignore[no-untyped-call]
        )


def _sum(first: Tensor | None, second: Tensor | None) -> Tensor | None:
    if first is None or second is None:
        return second if first is None else first
    return first + second


def _last(x: Tensor) -> Tensor:
    """Channels last and contiguous."""
    return x.permute(0, 2, 3, 1).contiguous()


def _check(x: Tensor, weight: Tensor, side: int) -> None:
    """Refuse what does not fit: `side` is 1 for inputs, 0 for outputs of the layer."""
    if x.ndim != 4 or weight.ndim != 6:
        raise InputError(
            f"shapes {tuple(x.shape)} and {tuple(weight.shape)}; give (batch, channel, row, "
            "column) and (row, column, map, field row, field column, channel)"
        )
    wanted = weight.shape[5] if side else weight.shape[2]
    fits = side or tuple(x.shape[2:]) == tuple(weight.shape[:2])
    if x.shape[1] != wanted or not fits:
        raise InputError(
            f"{tuple(x.shape)} does not fit weights {tuple(weight.shape)}; "
            f"it needs {wanted} channels" + ("" if fits else f" of {_by(weight.shape[:2])}")
        )
    if (x.dtype, x.device) != (weight.dtype, weight.device):
        raise InputError(
            f"inputs are {x.dtype} on {x.device}, weights {weight.dtype} on {weight.device}; "
            "move the inputs: x.to(weight)"
        )


def _pair(value: int | Sequence[int]) -> Pair:
    if isinstance(value, int):
        return value, value
    if len(value) != 2:
        raise InputError(f"{tuple(value)} is not (height, width)")
    return int(value[0]), int(value[1])


def _by(size: Sequence[int]) -> str:
    return f"{size[0]}×{size[1]}"
