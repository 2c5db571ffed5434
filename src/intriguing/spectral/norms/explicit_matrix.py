"""Small convolutions written out as matrices, a group each, for their exact norm."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.matrix import matrix_norms

ENTRIES = 2**21
"""Entries of all groups' matrices that are quickly written out …"""
SIDE = 400
"""… and the shorter side whose Gram matrix is quickly solved."""


def affordable(layer: Convolution, *, generous: bool = False) -> bool:
    """Whether the layer, on its known input, is small enough to be written out."""
    if layer.input_size is None:
        return False
    rows, columns = sides(layer)
    more = 16 if generous else 1
    entries = layer.groups * rows * columns
    work = layer.groups * min(rows, columns) ** 3
    return entries <= more * ENTRIES and work <= more**2 * SIDE**3


def sides(layer: Convolution) -> tuple[int, int]:
    """Rows and columns of one group's matrix."""
    assert layer.input_size is not None
    return (
        len(layer.weight) // layer.groups * math.prod(layer.output_size),
        layer.weight.shape[1] * math.prod(layer.input_size),
    )


def explicit_norm(layer: Convolution, *, exact: bool = False) -> float:
    """The norm of the layer's matrix: an upper bound within 1e-8 of it, or the number itself."""
    matrices = explicit_matrix(layer)
    if 0 in matrices.shape:
        return 0.0
    if exact:
        return float(torch.linalg.matrix_norm(matrices, 2).max())
    return float(matrix_norms(matrices).max())


def explicit_matrix(layer: Convolution) -> Float[Tensor, "groups rows columns"]:
    """Each group's matrix, entry by entry: the weights through which output i reads input x.

    Entries are weights, or sums of as many as a border pixel has copies: no rounding otherwise.
    """
    count = layer.axes
    parts = layer.weight.reshape(layer.groups, -1, *layer.weight.shape[1:])
    for axis in range(count):
        # The kernel's first axis is summed over; (output, input) pixels go to the end.
        parts = torch.tensordot(parts, layer.readings(axis).to(parts), ([3], [0]))
    order = [0, 1, *range(3, 3 + 2 * count, 2), 2, *range(4, 4 + 2 * count, 2)]
    return parts.permute(order).reshape(layer.groups, *sides(layer))
