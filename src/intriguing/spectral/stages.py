"""The stages of a feed-forward chain, as data."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError

PerAxis: TypeAlias = tuple[int, ...]


@dataclass(frozen=True)
class Dense:
    """x → W x; a bias changes no Lipschitz constant."""

    weight: Float[Tensor, "out in"]


@dataclass(frozen=True)
class Convolution:
    """A convolution with zeros around its input, over any number of axes.

    Attributes:
        weight: (out, in / groups, *kernel).
        stride: One number an axis.
        padding: (before, after) an axis: rows of zeros.
        dilation: One number an axis.
        groups: As in `torch.nn.Conv2d`.
        input_size: Positions an axis, without the padding.
    """

    weight: Float[Tensor, "out in *kernel"]
    stride: PerAxis
    padding: tuple[tuple[int, int], ...]
    dilation: PerAxis
    groups: int
    input_size: PerAxis

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.weight.shape[1] * self.groups

    @property
    def output_size(self) -> PerAxis:
        """Positions an axis of the output."""
        return tuple(
            (size + before + after - dilation * (kernel - 1) - 1) // stride + 1
            for size, (before, after), dilation, kernel, stride in zip(
                self.input_size,
                self.padding,
                self.dilation,
                self.weight.shape[2:],
                self.stride,
                strict=True,
            )
        )


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


Stage: TypeAlias = Dense | Convolution | Slope | Pool | Flatten
Shape: TypeAlias = tuple[int, ...]


def shapes(stages: Sequence[Stage]) -> list[Shape | None]:
    """The shape of what enters each stage and leaves the last, (n,) or (channels, *size).

    None before the first stage that tells it.

    Raises:
        InputError: A stage is invalid or does not fit what comes before it.

    >>> import torch
    >>> shapes([Dense(torch.zeros(3, 4)), Slope(0.0, 1.0), Dense(torch.zeros(2, 3))])
    [(4,), (3,), (3,), (2,)]
    """
    if not stages:
        raise InputError("the chain has no stages; give at least one")
    shape: Shape | None = None
    found: list[Shape | None] = []
    for number, stage in enumerate(stages):
        needed = _needed(stage, number)
        if needed is not None and shape is not None and shape != needed:
            raise InputError(
                f"stage {number} ({type(stage).__name__}) takes {needed}, but {shape} comes before "
                "it; give stages that fit, with Flatten() before the first Dense"
            )
        shape = needed if shape is None else shape
        found.append(shape)
        shape = _after(stage, shape, number)
    return [*found, shape]


def _needed(stage: Stage, number: int) -> Shape | None:
    """The shape that a stage takes, where it takes only one."""
    if isinstance(stage, Dense):
        if stage.weight.ndim != 2:
            raise InputError(
                f"stage {number}: Dense takes a matrix (out, in), not {tuple(stage.weight.shape)}"
            )
        return (stage.weight.shape[1],)
    if isinstance(stage, Convolution):
        axes = stage.weight.ndim - 2
        per_axis = (stage.stride, stage.padding, stage.dilation, stage.input_size)
        if axes < 1 or any(len(values) != axes for values in per_axis):
            raise InputError(
                f"stage {number}: Convolution with a weight of {axes} axes takes stride, padding "
                "((before, after)), dilation and input_size with one entry an axis"
            )
        smallest = min(*stage.stride, *stage.dilation, *stage.input_size, stage.groups)
        padding = min(side for pair in stage.padding for side in pair)
        if smallest < 1 or padding < 0 or min(stage.output_size) < 1:
            raise InputError(
                f"stage {number}: Convolution has no output of size {stage.output_size}; give "
                "positive strides, dilations and sizes, zeros ≥ 0, and a kernel that fits"
            )
        if stage.weight.shape[0] % stage.groups:
            raise InputError(
                f"stage {number}: {stage.weight.shape[0]} channels do not divide into "
                f"{stage.groups} groups"
            )
        return (stage.in_channels, *stage.input_size)
    return None


def _after(stage: Stage, shape: Shape | None, number: int) -> Shape | None:
    if isinstance(stage, Dense):
        return (stage.weight.shape[0],)
    if isinstance(stage, Convolution):
        return (stage.weight.shape[0], *stage.output_size)
    if isinstance(stage, Slope):
        if not (math.isfinite(stage.low) and math.isfinite(stage.high)) or stage.low > stage.high:
            raise InputError(
                f"stage {number}: slopes in [{stage.low}, {stage.high}]; give finite low ≤ high"
            )
        return shape
    if isinstance(stage, Pool):
        if not (math.isfinite(stage.factor) and stage.factor >= 0):
            raise InputError(f"stage {number}: Pool with factor {stage.factor}; give a finite one")
        if shape is not None and len(shape) != len(stage.output_size) + 1:
            raise InputError(
                f"stage {number}: Pool over {len(stage.output_size)} axes takes (channels, "
                f"*size), but {shape} comes before it"
            )
        return None if shape is None else (shape[0], *stage.output_size)
    return None if shape is None else (math.prod(shape),)
