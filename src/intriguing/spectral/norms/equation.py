"""Eq. 1 of the paper, as printed and corrected, and a convolution's spectrum over frequencies.

Eq. 1 takes the largest ‖A(ξ)‖ over ξ ∈ [0, N/Δ)², where the rows of A(ξ) hold Δ^(−2)·ŵ at ξ and its
aliases ξ + l·N/Δ. Two slips, and a third thing that is not said:

* Aliasing gives Δ^(−2), but the output lives on a grid of Δ² times fewer points, on which
  Parseval gives Δ back: in two dimensions the factor is Δ^(−1), in m dimensions Δ^(−m/2).
* The exponent of the transform is 2πi(u·ξ)/N, without the square: with it no ξ would be a frequency
  of the transform that Parseval's formula speaks of.
* The supremum is over real ξ. On the N × N frequencies of a transform of the kernel's support it is
  missed, for kernels of 3 by as much as a fifth.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.norms.convolution import convolution_norm
from intriguing.spectral.norms.convolution_layer import read_convolution
from intriguing.spectral.norms.gram_symbol import CHUNK, gram_symbol, half_grid
from intriguing.spectral.norms.matrix import rescaled
from intriguing.spectral.norms.polyphase import Axis, axis_of, polyphase


def paper_norm(
    weight: Float[Tensor, "out inputs *kernel"],
    *,
    stride: int = 1,
    groups: int = 1,
    as_printed: bool = False,
    grid: int | None = None,
) -> float:
    """Eq. 1: sup over ξ of ‖A(ξ)‖, for an infinite image.

    Args:
        weight: As in torch's ConvNd, of a kernel of N pixels an axis.
        stride: Δ.
        groups: As in torch; the norm is the largest of the groups'.
        as_printed: Δ^(−2) in two dimensions (Δ^(−m) in m), and the frequencies of a transform of
            the kernel's own size: ξ = 0, 1, … below N/Δ. Otherwise the corrected equation.
        grid: Frequencies an axis, for the corrected one: the maximum over them, from below. None
            bounds the supremum from above, as `convolution_norm` does.

    >>> box = torch.ones(1, 1, 4, 4)
    >>> round(paper_norm(box, stride=2, as_printed=True), 3), round(paper_norm(box, stride=2), 3)
    (4.0, 8.0)
    """
    layer = read_convolution(weight, stride=stride, groups=groups)
    scaled, scale = rescaled(weight)
    if not as_printed and grid is None:
        return convolution_norm(weight, stride=stride, groups=groups)
    axes = layer.axes
    if as_printed:
        factor, circle = float(stride) ** -axes, [k / stride for k in layer.kernel]
        points = [torch.arange(math.ceil(one)).double() / one for one in circle]
    else:
        assert grid is not None
        factor, points = float(stride) ** (-axes / 2), [torch.arange(grid).double() / grid] * axes
    # Turns a pixel: ξ/N of the equation, and its aliases (ξ + l·N/Δ)/N.
    base = torch.cartesian_prod(*(one / stride for one in points)).reshape(-1, axes)
    largest = 0.0
    parts = scaled.reshape(groups, -1, *scaled.shape[1:])
    for turns in base:
        aliases = [
            _transform(parts, turns + torch.tensor(shift).double() / stride)
            for shift in itertools.product(range(stride), repeat=axes)
        ]
        norms = torch.linalg.matrix_norm(torch.cat(aliases, 2), 2)
        largest = max(largest, float(norms.max()))
    return scale * factor * largest


def convolution_spectrum(
    weight: Float[Tensor, "out inputs *kernel"],
    *,
    stride: int | Sequence[int] = 1,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    grid: int | None = None,
) -> Float[Tensor, " values"]:
    """Singular values of the symbol over a frequency grid, descending: the layer's spectrum.

    Args:
        weight: As in torch's ConvNd (or ConvTransposeNd: the same values).
        stride, dilation, groups: As in torch.
        grid: Frequencies an axis; None takes 16, fewer for many channels, more for few.

    Returns:
        One value per frequency, group and singular value, on the CPU, accurate to some 1e-8 of the
        largest. Their maximum is at most the norm on an infinite image.

    >>> convolution_spectrum(torch.tensor([[[1.0, 1.0]]]), grid=2).tolist()
    [2.0, 0.0]
    """
    layer = read_convolution(weight, stride=stride, dilation=dilation, groups=groups)
    scaled, scale = rescaled(weight)
    rows = zip(layer.kernel, layer.stride, layer.dilation, strict=True)
    axes: list[Axis] = [axis for row in rows if (axis := axis_of(*row)) is not None]
    symbol = gram_symbol(polyphase(scaled, axes, groups), [axis.taps for axis in axes])
    if grid is None:
        values = 2e5 / (groups * symbol.size) if symbol.size < 512 else 64
        grid = max(4, min(64, math.ceil(values ** (1 / layer.axes))))
    points = half_grid((grid,) * layer.axes)
    alone = ((2 * points) % grid == 0).all(1)
    found = []
    chunk = max(1, CHUNK // symbol.even[0].numel())
    for some, single in zip(torch.split(points, chunk), torch.split(alone, chunk), strict=True):
        squares = torch.linalg.eigvalsh(symbol.at(some, (grid,) * layer.axes)).clamp_min(0.0)
        values_of = squares.sqrt().reshape(len(some), -1).cpu()
        found += [values_of, values_of[~single]]
    return scale * torch.cat([part.flatten() for part in found]).sort(descending=True).values


def _transform(
    kernels: Float[Tensor, "groups out inputs *kernel"], turns: Float[Tensor, " axes"]
) -> Tensor:
    """ŵ at one frequency, in turns a pixel."""
    for turn, size in zip(turns.tolist(), kernels.shape[3:], strict=True):
        angle = -2.0 * math.pi * turn * torch.arange(size, dtype=torch.float64)
        wave = torch.polar(torch.ones_like(angle), angle).to(kernels.device)
        kernels = torch.tensordot(kernels.to(torch.complex128), wave, ([3], [0]))
    return kernels
