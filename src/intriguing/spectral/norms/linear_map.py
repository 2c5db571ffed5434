"""Linear maps that stay small when put one after the other: diagonals, matrices, convolutions.

Their composition has a norm of at most, and mostly below, the product of their norms. What has none
of these forms is still known to be linear, but is bounded on its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.convolution import norm_of_convolution
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.matrix import matrix_norm


@dataclass(frozen=True)
class Diagonal:
    """x ↦ scale · x, the scale of x's shape (1, …) or broadcasting to it without enlarging it."""

    scale: Tensor


@dataclass(frozen=True)
class Matrix:
    """x ↦ W x on the last dimension of x."""

    weight: Tensor


LinearMap: TypeAlias = Diagonal | Matrix | Convolution


def norm_of(map: LinearMap) -> float:
    """An upper bound on the operator norm."""
    if isinstance(map, Diagonal):
        return outward(float(map.scale.abs().max()))
    return matrix_norm(map.weight) if isinstance(map, Matrix) else norm_of_convolution(map)


def formula_of(map: LinearMap) -> str:
    """In a few words, what that bound is."""
    return map.formula if isinstance(map, Convolution) else "largest singular value"


def composed(second: LinearMap, first: LinearMap, between: torch.Size) -> LinearMap | None:
    """`second` after `first` as one map, or None; `between` is the shape (1, …) of what passes."""
    if isinstance(second, Diagonal) and isinstance(first, Diagonal):
        return Diagonal(second.scale * first.scale)
    if lacks_batch(between, first, second):
        return None
    if isinstance(second, Diagonal) and isinstance(first, Convolution):
        scale = _by_channel(second.scale, between)
        return None if scale is None else _rows_scaled(first, scale)
    if isinstance(second, Convolution) and isinstance(first, Diagonal):
        scale = _by_channel(first.scale, between)
        return None if scale is None else _columns_scaled(second, scale)
    if len(between) != 2:
        return None
    if isinstance(second, Matrix) and isinstance(first, Diagonal):
        return Matrix(second.weight * first.scale.expand(between))
    if isinstance(second, Diagonal) and isinstance(first, Matrix):
        return Matrix(second.scale.expand(between).T * first.weight)
    if isinstance(second, Matrix) and isinstance(first, Matrix):
        return Matrix(second.weight @ first.weight)
    return None


def lacks_batch(shape: torch.Size, *maps: LinearMap) -> bool:
    """Whether channels are not where they are looked for, next to the batch's axis."""
    return any(isinstance(m, Convolution) and len(shape) != m.axes + 2 for m in maps)


def _by_channel(scale: Tensor, shape: torch.Size) -> Tensor | None:
    """The scale of each channel if it is the same all over the image."""
    full = scale.expand(shape)[0].flatten(1)
    return full[:, 0] if bool((full == full[:, :1]).all()) else None


def _rows_scaled(layer: Convolution, scale: Tensor) -> Convolution:
    if layer.transposed:
        grouped = scale.view(layer.groups, 1, -1, *[1] * layer.axes)
        return replace(layer, weight=_grouped(layer, grouped))
    return replace(layer, weight=layer.weight * scale.view(-1, 1, *[1] * layer.axes))


def _columns_scaled(layer: Convolution, scale: Tensor) -> Convolution:
    if layer.transposed:
        return replace(layer, weight=layer.weight * scale.view(-1, 1, *[1] * layer.axes))
    grouped = scale.view(layer.groups, 1, -1, *[1] * layer.axes)
    return replace(layer, weight=_grouped(layer, grouped))


def _grouped(layer: Convolution, scale: Tensor) -> Tensor:
    """The weight with its second dimension scaled, each group by its own channels' factors."""
    weight = layer.weight.view(layer.groups, -1, *layer.weight.shape[1:])
    return (weight * scale).view(layer.weight.shape)


def summed(first: LinearMap, second: LinearMap, size: torch.Size) -> LinearMap | None:
    """The sum of two maps of one input of shape `size`, (1, …); None if it has no short form."""
    if isinstance(first, Diagonal) and isinstance(second, Diagonal):
        return Diagonal(first.scale + second.scale)
    if lacks_batch(size, first, second):
        return None
    if isinstance(second, Diagonal):
        first, second = second, first
    if isinstance(first, Diagonal) and isinstance(second, Matrix) and len(size) == 2:
        if second.weight.shape[0] != second.weight.shape[1]:
            return None
        return Matrix(second.weight + torch.diag(first.scale.expand(size)[0]))
    if isinstance(first, Diagonal) and isinstance(second, Convolution):
        pointwise = _pointwise(first, second, size)
        return None if pointwise is None else _kernels_summed(second, pointwise)
    if isinstance(first, Matrix) and isinstance(second, Matrix):
        return Matrix(first.weight + second.weight)
    if isinstance(first, Convolution) and isinstance(second, Convolution):
        return _kernels_summed(first, second)
    return None


def negative(map: LinearMap) -> LinearMap:
    """−map."""
    if isinstance(map, Diagonal):
        return Diagonal(-map.scale)
    return replace(map, weight=-map.weight)


def _pointwise(diagonal: Diagonal, like: Convolution, size: torch.Size) -> Convolution | None:
    """A diagonal as a convolution of one tap."""
    scale = _by_channel(diagonal.scale, size)
    if scale is None:
        return None
    weight = torch.diag(scale).view(size[1], size[1], *[1] * like.axes)
    ones, none = (1,) * like.axes, ((0, 0),) * like.axes
    return Convolution(weight, ones, none, ones, 1, like.input_size)


def stacked(maps: Sequence[LinearMap]) -> LinearMap | None:
    """Maps of one input side by side, as channels or entries; None if that has no short form."""
    matrices = [map for map in maps if isinstance(map, Matrix)]
    if len(matrices) == len(maps):
        return Matrix(torch.cat([matrix.weight for matrix in matrices]))
    layers = [map for map in maps if isinstance(map, Convolution)]
    laid = _laid_over(layers) if len(layers) == len(maps) else None
    return None if laid is None else replace(laid[0], weight=torch.cat([c.weight for c in laid]))


def _kernels_summed(first: Convolution, second: Convolution) -> Convolution | None:
    laid = _laid_over((first, second)) if len(first.weight) == len(second.weight) else None
    return None if laid is None else replace(laid[0], weight=laid[0].weight + laid[1].weight)


def _laid_over(layers: Sequence[Convolution]) -> list[Convolution] | None:
    """The same convolutions, some with more outputs, as kernels of one size over each other."""
    plain = all(layer.padding_mode == "zeros" and not layer.transposed for layer in layers)
    if not plain or len({layer.stride for layer in layers}) > 1:
        return None
    kernels = [layer.ungrouped().filled() for layer in layers]
    size, start = [], []
    for axis in range(layers[0].axes):
        sides = [(*layer.padding[axis], layer.spans[axis]) for layer in layers]
        stop = max(span - before for before, _, span in sides)
        # As many zeros before as make outputs enough after, on which torch puts the same number.
        needed = (max(before, before + after - span + stop) for before, after, span in sides)
        start.append(max(*needed, 0))
        size.append(start[-1] + max(stop, 1))
    laid = []
    for layer, kernel in zip(layers, kernels, strict=True):
        whole = kernel.new_zeros(*kernel.shape[:2], *size)
        window = [
            slice(first - before, first - before + span)
            for first, (before, _), span in zip(start, layer.padding, layer.spans, strict=True)
        ]
        whole[(slice(None), slice(None), *window)] = kernel
        ones, pads = (1,) * len(size), tuple((first, first) for first in start)
        laid.append(replace(layer, weight=whole, padding=pads, dilation=ones, groups=1))
    return laid
