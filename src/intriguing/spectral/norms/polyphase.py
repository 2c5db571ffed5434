"""A strided, dilated convolution as plain ones: polyphase taps, and the circle each axis fits on.

Along one axis output i reads the inputs s·i + d·u − p. With g = gcd(s, d) it falls apart into d/g
convolutions over disjoint inputs and outputs, every one a stride s/g over a kernel without holes
(the residues i mod d/g). A stride s' is in turn a plain convolution of ceil(k/s') taps from s'
phases of its input: tap t of phase r is w(s'·t + r). All of this only renames inputs and outputs,
and the operator norm stays what it is.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError


@dataclass(frozen=True)
class Axis:
    """One axis of a convolution after the renaming.

    Attributes:
        taps: Number of taps, d(taps) − 1 the degree of the symbol as a trigonometric polynomial.
        phases: The stride that is left, s/gcd(s, d): that many phases a tap.
        first: The first tap that meets the image at all; the others are dropped.
        circle: The smallest circle on which the convolution over the actual image is a submatrix of
            the circular one; None where the image's size is not known.
    """

    taps: int
    phases: int
    first: int
    circle: int | None


def axis_of(
    kernel: int,
    stride: int,
    dilation: int,
    padding: tuple[int, int] = (0, 0),
    size: int | None = None,
    outputs: int | None = None,
) -> Axis | None:
    """The axis after the renaming; None when no output meets the image, as the operator is zero.

    Args:
        kernel, stride, dilation: Of this axis.
        padding: Zeros before and after.
        size: Pixels of the image along this axis, if known.
        outputs: Number of outputs, where it is not the usual one (transposed convolutions).
    """
    common = math.gcd(stride, dilation)
    phases, parts = stride // common, dilation // common
    taps = -(-kernel // phases)
    if size is None:
        return Axis(taps, phases, 0, None)
    if outputs is None:
        outputs = output_size(kernel, stride, dilation, padding, size)
    rectangles = [
        _rectangle(part, parts, phases * dilation, stride, dilation, padding[0], size, outputs)
        for part in range(min(parts, outputs))
    ]
    rectangles = [trimmed for one in rectangles if (trimmed := _trim(one, 0, taps - 1)) is not None]
    if not rectangles:
        return None
    first = max(0, min(one.low for one in rectangles))
    last = min(taps - 1, max(one.high for one in rectangles))
    circle = 1 + max(
        max(one.high - first, last - one.low, one.row1 - one.row0, one.column1 - one.column0)
        for one in rectangles
    )
    return Axis(last - first + 1, phases, first, circle)


def output_size(
    kernel: int, stride: int, dilation: int, padding: tuple[int, int], size: int
) -> int:
    """Outputs of a convolution along one axis.

    Raises:
        InputError: The dilated kernel is larger than the padded image, which torch refuses too.
    """
    span = dilation * (kernel - 1) + 1
    if size + sum(padding) < span:
        raise InputError(
            f"a kernel spanning {span} pixels does not fit on {size} with {sum(padding)} of "
            "padding; give the input size this layer has in the network"
        )
    return (size + sum(padding) - span) // stride + 1


def polyphase(
    weight: Float[Tensor, "out inputs *kernel"], axes: Sequence[Axis], groups: int
) -> Float[Tensor, "taps groups rows columns"]:
    """The taps as matrices from (inputs × phases) to outputs, a group each, last axis fastest."""
    count = len(axes)
    kernel = weight.shape[2:]
    pads = [(a.first + a.taps) * a.phases - k for a, k in zip(axes, kernel, strict=True)]
    weight = torch.nn.functional.pad(weight, [side for pad in reversed(pads) for side in (0, pad)])
    for index, axis in enumerate(axes):
        weight = weight.narrow(2 + index, axis.first * axis.phases, axis.taps * axis.phases)
    split = [part for axis in axes for part in (axis.taps, axis.phases)]
    parts = weight.reshape(groups, weight.shape[0] // groups, weight.shape[1], *split)
    order = [3 + 2 * i for i in range(count)] + [0, 1, 2] + [4 + 2 * i for i in range(count)]
    parts = parts.permute(order)
    return parts.reshape(math.prod(a.taps for a in axes), *parts.shape[count : count + 2], -1)


@dataclass(frozen=True)
class _Rectangle:
    """Outputs row0 … row1 over inputs column0 … column1 of one part, in taps' units."""

    row0: int
    row1: int
    column0: int
    column1: int

    @property
    def low(self) -> int:
        return self.column0 - self.row1

    @property
    def high(self) -> int:
        return self.column1 - self.row0


def _rectangle(
    part: int,
    parts: int,
    unit: int,
    stride: int,
    dilation: int,
    before: int,
    size: int,
    outputs: int,
) -> _Rectangle:
    """Outputs i = parts·a + part, and the inputs unit·j + stride·part + dilation·r − before."""
    offsets = [stride * part + dilation * r - before for r in range(unit // dilation)]
    return _Rectangle(
        row0=0,
        row1=(outputs - part - 1) // parts,
        column0=max(0, min(-(offset // unit) for offset in offsets)),
        column1=max((size - 1 - offset) // unit for offset in offsets),
    )


def _trim(one: _Rectangle, first: int, last: int) -> _Rectangle | None:
    """The outputs that meet an input with taps first … last, and the inputs that they meet."""
    row0, row1 = max(one.row0, one.column0 - last), min(one.row1, one.column1 - first)
    column0, column1 = max(one.column0, row0 + first), min(one.column1, row1 + last)
    if row0 > row1 or column0 > column1:
        return None
    return _Rectangle(row0, row1, column0, column1)
