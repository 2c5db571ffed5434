"""The operator norm of convolutions, from above, as the network applies them (§4.3, Eq. 1)."""

import math
from collections.abc import Sequence
from dataclasses import replace

from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.convolution_layer import Convolution, each_axis, read_convolution
from intriguing.spectral.norms.eigenvalue import UNIT, exact_eigenvalue, largest_eigenvalue
from intriguing.spectral.norms.explicit_matrix import affordable, explicit_norm
from intriguing.spectral.norms.frequency_grid import Grid, choose_grid, given_grid
from intriguing.spectral.norms.gram_symbol import GramSymbol, gram_symbol
from intriguing.spectral.norms.matrix import rescaled, smaller_gram
from intriguing.spectral.norms.polyphase import Axis, axis_of, polyphase
from intriguing.spectral.norms.resampling import most_copies


def convolution_norm(
    weight: Float[Tensor, "out inputs *kernel"],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    input_size: Sequence[int] | None = None,
    transposed: bool = False,
    output_padding: int | Sequence[int] = 0,
    grid: int | None = None,
) -> float:
    """A guaranteed upper bound on the L2 norm of a convolutional layer.

    The layer is renamed into a plain convolution (`polyphase`). On a circle it is diagonal over
    frequencies, and its norm is the largest ‖A(ξ)‖ on the circle's frequencies. Over an image
    padded with zeros it is a submatrix of the one on a large enough circle, and of the one on the
    infinite lattice, whose norm is at most the maximum over N frequencies an axis times
    Π 1/cos(π·d/N), d half the taps less one (Ehlich and Zeller 1964). What is cheaper or tighter is
    taken an axis; operators of few rows or columns are written out as a matrix instead. Groups act
    on channels of their own: the norm is their maximum.

    Other padding modes copy border pixels: the bound of the unpadded convolution over the larger
    image, times the square root of the most copies of a pixel. Circular padding is compared with
    the layer on the image's own circle. A transposed convolution is the adjoint of one.

    Rounding: `eigenvalue` proves the maximum over the grid, `frequency` bounds what rounding did to
    the Gram matrices; both allowances are added, and the result is rounded outwards.

    Args:
        weight: As in torch's ConvNd (ConvTransposeNd if `transposed`), of 1, 2, 3 … axes.
        stride, padding, dilation, groups, padding_mode, output_padding: As in torch.
        input_size: Pixels an axis of the layer's input; None bounds the layer for every size.
        grid: Frequencies an axis; None chooses them, and writes small operators out.

    Returns:
        The bound; 0 where no output meets the image.

    Raises:
        InputError: The arguments do not describe a convolution.

    >>> import torch
    >>> ones = torch.ones(1, 1, 3, 3)
    >>> round(convolution_norm(ones, padding=1), 3), round(convolution_norm(ones, stride=3), 3)
    (9.0, 3.0)
    """
    layer = read_convolution(
        weight, stride=stride, padding=padding, dilation=dilation, groups=groups,
        padding_mode=padding_mode, input_size=input_size, transposed=transposed,
        output_padding=output_padding,
    )  # fmt: skip
    return norm_of_convolution(layer, grid)


def norm_of_convolution(layer: Convolution, grid: int | None = None) -> float:
    """`convolution_norm` of a layer as data."""
    scaled, scale = rescaled(layer.weight)
    if scale == 0.0:
        return 0.0
    layer = replace(layer, weight=scaled)
    if grid is None and affordable(layer):
        return outward(scale * explicit_norm(layer))
    bound = _zero_padded(layer.unpadded(), grid) * _copies(layer)
    if layer.padding_mode == "circular" and layer.input_size is not None:
        bound = min(bound, _wrapped(layer))
    return outward(scale * bound)


def circular_norm(
    weight: Float[Tensor, "out inputs *kernel"],
    size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
) -> float:
    """The L2 norm of the convolution on a circle of `size` pixels an axis, exact to 1e-10.

    Outputs are at the multiples of the stride below `size`. Not an upper bound for zero padding.

    Args:
        weight: As in torch's ConvNd.
        size: Pixels an axis.
        stride, dilation, groups: As in torch.

    Raises:
        InputError: As `convolution_norm`; or the stride does not divide the size, and the operator
            is too large to be written out.

    >>> import torch
    >>> round(circular_norm(torch.tensor([[[1.0, -1.0]]]), 8), 6)
    2.0
    """
    scaled, scale = rescaled(weight)
    layer = read_convolution(
        scaled, stride=stride, dilation=dilation, groups=groups, padding_mode="circular"
    )
    layer = layer.on_circle(each_axis(size, layer.axes, "size", 1))
    assert layer.input_size is not None
    if scale == 0.0:
        return 0.0
    if any(n % s for n, s in zip(layer.input_size, layer.stride, strict=True)):
        if not affordable(layer, generous=True):
            raise InputError(
                f"stride {layer.stride} does not divide size {size}, and the operator is too large "
                "to be written out; give a size that is a multiple of the stride"
            )
        return scale * explicit_norm(layer, exact=True)
    symbol = _circular_symbol(layer, layer.stride)
    circle = [n // s for n, s in zip(layer.input_size, layer.stride, strict=True)]
    best = 0.0
    for matrices in symbol.over(circle):
        best = exact_eigenvalue(matrices, at_least=best)
    return scale * math.sqrt(best)


def _zero_padded(layer: Convolution, grid: int | None) -> float:
    """The bound of a convolution over an image padded with zeros."""
    axes: list[Axis] = []
    for index in range(layer.axes):
        axis = axis_of(
            layer.kernel[index],
            layer.stride[index],
            layer.dilation[index],
            layer.padding[index],
            None if layer.input_size is None else layer.input_size[index],
            None if layer.outputs is None else layer.outputs[index],
        )
        if axis is None:
            return 0.0
        axes.append(axis)
    taps = polyphase(layer.weight, axes, layer.groups)
    symbol = gram_symbol(taps, [axis.taps for axis in axes])
    chosen = given_grid(axes, grid) if grid is not None else choose_grid(axes, symbol)
    bound = chosen.factor * _largest(symbol, chosen)
    return min(bound, _one_signed(taps, bound))


def _one_signed(taps: Float[Tensor, "taps groups rows columns"], bound: float) -> float:
    """‖Σ_t |a_t|‖ ≥ ‖A(ξ)‖ for every ξ: the norm itself where no weight is negative.

    Infinite where its value at the constant vector says already that it exceeds `bound`.
    """
    sums = taps.abs().sum(0)
    if float(sums.sum((1, 2)).max()) > bound * math.sqrt(sums[0].numel()):
        return math.inf
    rounding = 2.0 * (sum(sums.shape) + len(taps)) * UNIT * float(sums.square().sum((1, 2)).max())
    return math.sqrt(largest_eigenvalue(smaller_gram(sums), tolerance=1e-9) + rounding)


def _largest(symbol: GramSymbol, grid: Grid) -> float:
    """An upper bound on ‖A(ξ)‖ over the grid."""
    bound = 0.0
    for matrices in symbol.over(grid.points):
        bound = largest_eigenvalue(matrices, at_least=bound)
    return math.sqrt(bound + symbol.error)


def _copies(layer: Convolution) -> float:
    """‖E‖ of the padding E: the square root of the most copies of a pixel, over all axes."""
    if layer.padding_mode == "zeros":
        return 1.0
    sizes: Sequence[int | None] = layer.input_size or (None,) * layer.axes
    return math.sqrt(
        math.prod(
            most_copies(pads, layer.padding_mode, size)
            for pads, size in zip(layer.padding, sizes, strict=True)
        )
    )


def _wrapped(layer: Convolution) -> float:
    """The bound of circular padding from the image's own circle.

    Outputs are at s·i mod n. Where s divides n the polyphase circle has n/s points; where it does
    not, outputs are some of the stride-1 ones. Positions met m times count √m.
    """
    assert layer.input_size is not None
    strides = [s if n % s == 0 else 1 for s, n in zip(layer.stride, layer.input_size, strict=True)]
    met = [
        -(-outputs // (n // math.gcd(n, s)))
        for outputs, n, s in zip(layer.output_size, layer.input_size, layer.stride, strict=True)
    ]
    circle = [n // s for n, s in zip(layer.input_size, strides, strict=True)]
    bound = _largest(_circular_symbol(layer, strides), Grid(tuple(circle), 1.0))
    return bound * math.sqrt(math.prod(met))


def _circular_symbol(layer: Convolution, strides: Sequence[int]) -> GramSymbol:
    """The Gram symbol of the kernel with its holes filled by zeros."""
    axes = [Axis(-(-span // s), s, 0, None) for span, s in zip(layer.spans, strides, strict=True)]
    taps = polyphase(layer.filled(), axes, layer.groups)
    return gram_symbol(taps, [axis.taps for axis in axes])
