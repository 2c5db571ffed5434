"""A network that is one chain, as the layers that the semidefinite-quality bound takes."""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, fx

from intriguing.graph.execution import execute
from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.graph.operations.pools import pool_settings
from intriguing.graph.table import rule_of
from intriguing.models.classifier import device_of
from intriguing.spectral.certificates.step import Step, Walk, linear_map, permutation
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.linear_map import Diagonal, LinearMap, Matrix, composed
from intriguing.spectral.semidefinite.layers import Dense, Flatten, Layer, Pool, Slope

_DIAGONAL = 4096
"""Entries up to which a diagonal is written out as a matrix: 128 MiB in float64."""


def chain_of(walk: Walk) -> tuple[Layer, ...] | None:
    """The layers of a network without branches; None if it has some, or what is no such layer.

    None, too, if an operation has no bound: no chain may say more than the walk.

    A normalisation of the input and batch norms are made part of the linear layers beside them,
    and average pools are convolutions.
    """
    steps = walk.steps
    unbounded = any(math.isinf(step.own.upper) or step.since for step in steps if not step.fused)
    if unbounded or len(steps) < 2 or any(s.parents != (p,) for p, s in itertools.pairwise(steps)):
        return None
    writer = _Writer()
    taken = all(writer.take(step) for step in steps[1:])
    return tuple(writer.layers) if taken and writer.flush() and writer.layers else None


def activations_of(walk: Walk) -> tuple[Operation, ...]:
    """The operation of each slope of `chain_of`, in its order."""
    return tuple(step.operation for step in bending(walk) if step.operation)


def bending(walk: Walk) -> list[Step]:
    """The steps that `chain_of` makes slopes of."""
    return [step for step in walk.steps if _bends(step)]


def pooling(walk: Walk) -> list[Step]:
    """The steps that `chain_of` makes pools of."""
    return [s for s in walk.steps if s.kind == "pool" and s.operation and _is_max_pool(s.operation)]


def preactivations(
    graph: fx.GraphModule, walk: Walk, images: Float[Tensor, "n ..."]
) -> tuple[Float[Tensor, "n units"], ...] | None:
    """What enters each activation of a chain, in float64; None if the graph does more than that."""
    return entering_steps(graph, walk, images, bending(walk))


def entering_steps(
    graph: fx.GraphModule, walk: Walk, images: Float[Tensor, "n ..."], chosen: Sequence[Step]
) -> tuple[Float[Tensor, "n units"], ...] | None:
    """What enters some steps of a chain, the same way."""
    rows: list[list[Tensor]] = []
    numbers = [walk.steps.index(step) - 1 for step in chosen]
    for image in images.to(device_of(graph)):
        steps = [e.operation for e in execute(graph, image[None].double()) if e.operation]
        if len(steps) != len(walk.steps) - 1:
            return None
        rows.append([steps[number].x.flatten(1) for number in numbers])
    return tuple(torch.cat(column) for column in zip(*rows, strict=True))


def _bends(step: Step) -> bool:
    """Whether `chain_of` makes a slope of it."""
    if step.kind != "activation" or step.operation is None:
        return False
    return linear_map(step.operation) is None and slopes_of(step.operation) is not None


class _Writer:
    """Stages so far, and a linear map that the next operation may still join."""

    def __init__(self) -> None:
        self.layers: list[Layer] = []
        self.pending: LinearMap | None = None
        self.shape = torch.Size()

    def take(self, step: Step) -> bool:
        """Add one operation; False if it is no layer."""
        operation = step.operation
        assert operation is not None
        if not isinstance(operation.x, Tensor) or not isinstance(operation.output, Tensor):
            return False
        if operation.axes > 0 and operation.axes != operation.x.ndim - 2:
            return False  # an image without the batch's axis
        map = linear_map(operation) or _average(step, operation)
        if map is not None:
            return self._linear(map, operation)
        if step.kind == "shape":
            if not self.layers and self.pending is None and step.own.upper <= 1.0:
                return True  # moving values about before the first layer changes no bound
            return self._rearrange(operation)
        slopes = slopes_of(operation) if step.kind == "activation" else None
        if slopes is not None:
            return self.flush() and self._add(Slope(*slopes))
        if step.kind == "pool" and _is_max_pool(operation):
            size = tuple(operation.output.shape[2:])
            return self.flush() and self._add(Pool(step.own.upper, size))
        return False

    def flush(self) -> bool:
        """Make the pending map a layer."""
        map, self.pending = self.pending, None
        if map is None:
            return True
        if isinstance(map, Matrix):
            return len(self.shape) == 2 and self._add(Dense(map.weight))
        if isinstance(map, Diagonal):
            return self._diagonal(map)
        if map.padding_mode != "zeros" or map.transposed:
            return False
        return self._add(map)

    def _linear(self, map: LinearMap, operation: Operation) -> bool:
        if isinstance(map, Matrix) and operation.x.ndim != 2:
            return False
        whole = None if self.pending is None else composed(map, self.pending, operation.x.shape)
        if whole is None:
            if not self.flush():
                return False
            whole = map
        self.pending, self.shape = whole, operation.output.shape
        if operation.output.ndim == 2 and operation.x.ndim > 2:  # a mean over all positions
            return self.flush() and self._add(Flatten())
        return True

    def _rearrange(self, operation: Operation) -> bool:
        x, output = operation.x, operation.output
        order = permutation(operation)
        kept = rule_of(operation).keeps or (order is not None and bool((order.diff() == 1).all()))
        if not kept:
            return False
        if x.shape == output.shape:
            return True
        if output.ndim != 2 or output.numel() != x.numel():
            return False
        if isinstance(self.pending, Diagonal):
            self.pending = Diagonal(operation.again(self.pending.scale.expand(x.shape)))
            self.shape = output.shape
            return True
        return self.flush() and self._add(Flatten())

    def _diagonal(self, map: Diagonal) -> bool:
        scale = map.scale.expand(self.shape)[0]
        if scale.ndim == 1 and len(scale) <= _DIAGONAL:
            return self._add(Dense(torch.diag(scale)))
        if scale.ndim == 1 or bool((scale.flatten(1) != scale.flatten(1)[:, :1]).any()):
            return False
        axes = scale.ndim - 1
        weight = scale.flatten(1)[:, :1].reshape(-1, 1, *[1] * axes)
        ones, none = (1,) * axes, ((0, 0),) * axes
        size = tuple(scale.shape[1:])
        return self._add(Convolution(weight, ones, none, ones, len(weight), size))

    def _add(self, layer: Layer) -> bool:
        self.layers.append(layer)
        return True


def _is_max_pool(operation: Operation) -> bool:
    """Whether every value is the largest of its window of one channel."""
    rule = rule_of(operation)
    return rule.affine is None and rule.window is not None and rule.within(operation)


def _average(step: Step, operation: Operation) -> Convolution | None:
    """An average pool, or a mean over all positions, as a convolution of each channel."""
    x, output, rule = operation.x, operation.output, rule_of(operation)
    axes = x.ndim - 2
    if axes < 1 or step.kind != "pool" or rule.affine is None:
        return None
    size = tuple(x.shape[2:])
    padding = (0,) * axes
    pool = pool_settings(operation)
    if pool is not None:
        kernel, strides, padding = pool.kernel, pool.stride, pool.padding
        counted = operation.option(5, "count_include_pad", True) or not any(padding)
        plain = not operation.option(4, "ceil_mode", False)
        if not counted or not plain or operation.option(6, "divisor_override") is not None:
            return None
    else:
        if rule.window is None and not _over_positions(operation):
            return None
        after = (1,) * axes if rule.window is None else tuple(output.shape[2:])
        if any(n % m for n, m in zip(size, after, strict=True)):
            return None
        kernel = strides = tuple(n // m for n, m in zip(size, after, strict=True))
    channels, ones = x.shape[1], (1,) * axes
    weight = x.new_full((channels, 1, *kernel), 1 / math.prod(kernel))
    pads = tuple((pad, pad) for pad in padding)
    return Convolution(weight, strides, pads, ones, channels, size)


def _over_positions(operation: Operation) -> bool:
    """Whether a mean is over all positions of each channel, tried rather than read."""
    x = operation.x
    noise = torch.linspace(-1.0, 2.0, x.numel(), dtype=x.dtype, device=x.device).sin().view_as(x)
    found, expected = operation.again(noise), noise.flatten(2).mean(2)
    return found.numel() == expected.numel() and torch.allclose(found.flatten(), expected.flatten())
