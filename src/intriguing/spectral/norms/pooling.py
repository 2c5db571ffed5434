"""Pooling layers: what §4.3 calls contractive, and is only without overlap."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.convolution_layer import each_axis
from intriguing.spectral.norms.resampling import axis_norm

Ints = int | Sequence[int]


def max_pool_norm(
    kernel: Ints, stride: Ints | None = None, dilation: Ints = 1, *, axes: int = 2
) -> float:
    """The Lipschitz constant of max pooling: Π over axes of sqrt(ceil(k·gcd(s, d)/s)).

    A pixel is in that many windows, and a change of it can show in all of them: |max a − max b| is
    at most the window's largest |a − b|, whose squares add up to the windows' number times the
    pixel's at most. Attained where a pixel is the maximum of all windows it is in, on images large
    enough to hold them. 1, as the paper says of every max pool, without overlap.

    Args:
        kernel, stride, dilation: As in torch; one number for all axes or one each.
        axes: How many, where all three are numbers.

    >>> round(max_pool_norm(3, 2), 6), round(max_pool_norm(2), 6)
    (2.0, 1.0)
    """
    axes = max([axes if isinstance(kernel, int) else len(kernel)])
    kernels = each_axis(kernel, axes)
    strides = kernels if stride is None or stride == () else each_axis(stride, axes)
    rows = zip(kernels, strides, each_axis(dilation, axes), strict=True)
    return outward(math.sqrt(math.prod(-(-k * math.gcd(s, d) // s) for k, s, d in rows)))


def average_pool_norm(
    input_size: Sequence[int],
    kernel: Ints,
    stride: Ints | None = None,
    padding: Ints = 0,
    *,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> float:
    """The norm of average pooling: the product of one matrix' norm an axis.

    A window is a product of intervals and its divisor a product of their lengths, so that the
    operator is a Kronecker product. Not below 1 in general: without counting the padding, border
    windows weigh their few pixels more.

    Args:
        input_size: Pixels an axis.
        kernel, stride, padding, ceil_mode, count_include_pad, divisor_override: As in torch.

    >>> round(average_pool_norm((8, 8), 2), 6)
    0.5
    """
    axes = len(input_size)
    kernels, pads = each_axis(kernel, axes), each_axis(padding, axes)
    strides = kernels if stride is None or stride == () else each_axis(stride, axes)
    norms = [
        axis_norm(_averages(n, k, s, p, ceil_mode, count_include_pad, divisor_override is not None))
        for n, k, s, p in zip(input_size, kernels, strides, pads, strict=True)
    ]
    return outward(math.prod(norms) / abs(divisor_override or 1))


def adaptive_max_pool_norm(input_size: Sequence[int], output_size: Ints | None) -> float:
    """The Lipschitz constant of adaptive max pooling: Π of the square root of the most windows.

    Windows overlap where the output's size does not divide the input's.

    >>> round(adaptive_max_pool_norm((8, 8), 4), 6), round(adaptive_max_pool_norm((5,), 2), 6)
    (1.0, 1.414214)
    """
    most = [
        max(1, int(adaptive_windows(n, m).sum(0).max()))
        for n, m in _adaptive_sizes(input_size, output_size)
    ]
    return outward(math.sqrt(math.prod(most)))


def adaptive_average_pool_norm(input_size: Sequence[int], output_size: Ints | None) -> float:
    """The norm of adaptive average pooling: the product of one matrix' norm an axis.

    >>> round(adaptive_average_pool_norm((8, 8), 1), 6)
    0.125
    """
    norms = []
    for pixels, out in _adaptive_sizes(input_size, output_size):
        windows = adaptive_windows(pixels, out)
        norms.append(axis_norm(windows / windows.sum(1, keepdim=True)))
    return outward(math.prod(norms))


def pooled_size(size: int, kernel: int, stride: int, padding: int, ceil_mode: bool) -> int:
    """Outputs along one axis: a window of ceil mode must begin inside the image or its left pad."""
    span = size + 2 * padding - kernel
    if span < 0 and not ceil_mode:
        raise InputError(
            f"a window of {kernel} does not fit on {size} pixels padded by {padding}; give the "
            "input size this pool has in the network"
        )
    out = (-(-span // stride) if ceil_mode else span // stride) + 1
    return out - 1 if ceil_mode and (out - 1) * stride >= size + padding else out


def _averages(
    size: int,
    kernel: int,
    stride: int,
    padding: int,
    ceil_mode: bool,
    count_padding: bool,
    plain_sum: bool,
) -> Float[Tensor, "out inputs"]:
    """One axis of an average pool; rows sum windows where the divisor is given."""
    starts = torch.arange(pooled_size(size, kernel, stride, padding, ceil_mode)) * stride - padding
    stops = (starts + kernel).clamp_max(size + padding)
    pixels = torch.arange(size)
    inside = (pixels >= starts[:, None]) & (pixels < stops[:, None])
    counted = stops - starts if count_padding else inside.sum(1)
    if plain_sum:
        counted = torch.ones_like(counted)
    return inside.double() / counted.clamp_min(1)[:, None]


def adaptive_windows(size: int, out: int) -> Float[Tensor, "out inputs"]:
    """1 where output i covers a pixel: from floor(i·n/m) to ceil((i + 1)·n/m)."""
    index, pixels = torch.arange(out), torch.arange(size)
    starts, stops = index * size // out, -(-(index + 1) * size // out)
    return ((pixels >= starts[:, None]) & (pixels < stops[:, None])).double()


def _adaptive_sizes(
    input_size: Sequence[int], output_size: Ints | Sequence[int | None] | None
) -> list[tuple[int, int]]:
    outs = (
        (output_size,) * len(input_size) if not isinstance(output_size, Sequence) else output_size
    )
    pairs = zip(input_size, outs, strict=True)
    return [(n, n if m is None else m) for n, m in pairs]
