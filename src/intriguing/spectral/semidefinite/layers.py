"""The layers of a feed-forward chain, as data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.spectral.norms.convolution_layer import Convolution, PerAxis


@dataclass(frozen=True)
class Dense:
    """x → W x; a bias changes no Lipschitz constant."""

    weight: Float[Tensor, "out in"]


@dataclass(frozen=True)
class Slope:
    """An elementwise map whose difference quotients lie in [low, high]."""

    low: float
    high: float


@dataclass(frozen=True)
class Pool:
    """A map of windows, channel by channel, with ‖Δy_c‖ ≤ factor·‖Δx_c‖ for every channel c.

    Max pooling has factor 1 where windows do not overlap (`pooling.max_pool_norm` otherwise).
    """

    factor: float
    output_size: PerAxis


@dataclass(frozen=True)
class Flatten:
    """From (channels, *size) to one axis, channels first, as `torch.flatten`."""


Layer: TypeAlias = Dense | Convolution | Slope | Pool | Flatten
Shape: TypeAlias = tuple[int, ...]


def shapes(layers: Sequence[Layer]) -> list[Shape | None]:
    """The shape of what enters each layer and leaves the last, (n,) or (channels, *size).

    None before the first layer that tells it.

    Raises:
        InputError: A layer is invalid or does not fit what comes before it.

    >>> import torch
    >>> shapes([Dense(torch.zeros(3, 4)), Slope(0.0, 1.0), Dense(torch.zeros(2, 3))])
    [(4,), (3,), (3,), (2,)]
    """
    if not layers:
        raise InputError("the chain has no layers; give at least one")
    shape: Shape | None = None
    found: list[Shape | None] = []
    for number, layer in enumerate(layers):
        needed = _needed(layer, number)
        if needed is not None and shape is not None and shape != needed:
            raise InputError(
                f"layer {number} ({type(layer).__name__}) takes {needed}, but {shape} comes before "
                "it; give layers that fit, with Flatten() before the first Dense"
            )
        shape = needed if shape is None else shape
        found.append(shape)
        shape = _after(layer, shape, number)
    return [*found, shape]


def _needed(layer: Layer, number: int) -> Shape | None:
    """The shape that a layer takes, where it takes only one."""
    if isinstance(layer, Dense):
        if layer.weight.ndim != 2:
            raise InputError(
                f"layer {number}: Dense takes a matrix (out, in), not {tuple(layer.weight.shape)}"
            )
        return (layer.weight.shape[1],)
    if isinstance(layer, Convolution):
        axes = layer.weight.ndim - 2
        per_axis = (layer.stride, layer.padding, layer.dilation, layer.input_size or ())
        if axes < 1 or any(len(values) != axes for values in per_axis):
            raise InputError(
                f"layer {number}: Convolution with a weight of {axes} axes takes stride, padding "
                "((before, after)), dilation and input_size with one entry an axis"
            )
        plain = layer.padding_mode == "zeros" and not layer.transposed and layer.input_size
        smallest = min(*layer.stride, *layer.dilation, *(layer.input_size or (0,)), layer.groups)
        if not plain or smallest < 1 or min(side for pair in layer.padding for side in pair) < 0:
            raise InputError(
                f"layer {number}: Convolution takes zeros around an image of known size, strides, "
                "dilations and sizes that are positive, and zeros ≥ 0"
            )
        try:
            _ = layer.output_size
        except InputError as error:
            raise InputError(f"layer {number}: Convolution has no output: {error}") from None
        if layer.weight.shape[0] % layer.groups:
            raise InputError(
                f"layer {number}: {layer.weight.shape[0]} channels do not divide into "
                f"{layer.groups} groups"
            )
        return (layer.in_channels, *(layer.input_size or ()))
    return None


def _after(layer: Layer, shape: Shape | None, number: int) -> Shape | None:
    if isinstance(layer, Dense):
        return (layer.weight.shape[0],)
    if isinstance(layer, Convolution):
        return (layer.weight.shape[0], *layer.output_size)
    if isinstance(layer, Slope):
        if not (math.isfinite(layer.low) and math.isfinite(layer.high)) or layer.low > layer.high:
            raise InputError(
                f"layer {number}: slopes in [{layer.low}, {layer.high}]; give finite low ≤ high"
            )
        return shape
    if isinstance(layer, Pool):
        if not (math.isfinite(layer.factor) and layer.factor >= 0):
            raise InputError(f"layer {number}: Pool with factor {layer.factor}; give a finite one")
        if shape is not None and len(shape) != len(layer.output_size) + 1:
            raise InputError(
                f"layer {number}: Pool over {len(layer.output_size)} axes takes (channels, "
                f"*size), but {shape} comes before it"
            )
        return None if shape is None else (shape[0], *layer.output_size)
    return None if shape is None else (math.prod(shape),)
