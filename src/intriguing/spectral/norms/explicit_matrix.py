"""Small convolutions written out as matrices, a group each, for their exact norm."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.matrix import matrix_norms

ENTRIES = 2**21
"""Entries of all groups' matrices that are quickly written out …"""
SIDE = 400
"""… and the shorter side whose Gram matrix is quickly solved."""


def affordable(layer: Convolution, *, generous: bool = False) -> bool:
    """Whether the layer, on its known input, is small enough to be written out."""
    if layer.size is None:
        return False
    rows, columns = sides(layer)
    more = 16 if generous else 1
    entries = layer.groups * rows * columns
    work = layer.groups * min(rows, columns) ** 3
    return entries <= more * ENTRIES and work <= more**2 * SIDE**3


def sides(layer: Convolution) -> tuple[int, int]:
    """Rows and columns of one group's matrix."""
    assert layer.size is not None
    return (
        layer.channels[1] * math.prod(layer.output_size()),
        layer.channels[0] * math.prod(layer.size),
    )


def explicit_norm(
    weight: Float[Tensor, "out inputs *kernel"], layer: Convolution, *, exact: bool = False
) -> float:
    """The norm of the layer's matrix: an upper bound within 1e-8 of it, or the number itself."""
    matrices = explicit_matrix(weight, layer)
    if 0 in matrices.shape:
        return 0.0
    if exact:
        return float(torch.linalg.matrix_norm(matrices, 2).max())
    return float(matrix_norms(matrices).max())


def explicit_matrix(
    weight: Float[Tensor, "out inputs *kernel"], layer: Convolution
) -> Float[Tensor, "groups rows columns"]:
    """Each group's matrix, entry by entry: the weights through which output i reads input x.

    Entries are weights, or sums of as many as a border pixel has copies: no rounding otherwise.
    """
    count = layer.axes
    parts = weight.reshape(layer.groups, layer.channels[1], layer.channels[0], *layer.kernel)
    for axis in range(count):
        # The kernel's first axis is summed over; (output, input) pixels go to the end.
        parts = torch.tensordot(parts, _readings(layer, axis).to(parts), ([3], [0]))
    order = [0, 1, *range(3, 3 + 2 * count, 2), 2, *range(4, 4 + 2 * count, 2)]
    return parts.permute(order).reshape(layer.groups, *sides(layer))


def _readings(layer: Convolution, axis: int) -> Float[Tensor, "kernel out inputs"]:
    """1 where output i reads input x through tap u, along one axis."""
    assert layer.size is not None
    size, outputs = layer.size[axis], layer.output_size()[axis]
    shown = _shown_pixels(size, layer.padding[axis], layer.mode)
    taps = torch.arange(layer.kernel[axis])[:, None] * layer.dilation[axis]
    places = taps + torch.arange(outputs) * layer.stride[axis]
    pixels = torch.where(places < len(shown), shown[places.clamp_max(len(shown) - 1)], -1)
    return (pixels[..., None] == torch.arange(size)).double()


def _shown_pixels(size: int, pads: tuple[int, int], mode: str) -> Int64[Tensor, " padded"]:
    """Which pixel each place of the padded axis shows; −1 is none."""
    before, after = pads
    pixels = torch.arange(size)
    if mode == "zeros":
        return functional.pad(pixels, (before, after), value=-1)
    if mode == "circular":
        return torch.arange(-before, size + after) % size
    return functional.pad(pixels[None, None].double(), (before, after), mode=mode)[0, 0].long()
