"""What torch's arguments of a convolution mean, checked and an axis each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from intriguing.errors import InputError
from intriguing.spectral.norms.polyphase import output_size

MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class Convolution:
    """A convolution, an entry an axis; of a transposed one, the convolution it is the adjoint of.

    Attributes:
        channels: Input channels of a group, and output channels of a group.
        padding: Before and after.
        size: Pixels of the input; None if not known.
        outputs: Pixels of the output where they are given rather than computed.
    """

    channels: tuple[int, int]
    kernel: tuple[int, ...]
    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    mode: str
    size: tuple[int, ...] | None
    outputs: tuple[int, ...] | None = None

    @property
    def axes(self) -> int:
        return len(self.kernel)

    def output_size(self) -> tuple[int, ...]:
        """Pixels of the output; the input's size must be known."""
        if self.outputs is not None:
            return self.outputs
        assert self.size is not None
        rows = zip(self.kernel, self.stride, self.dilation, self.padding, self.size, strict=True)
        return tuple(output_size(*row) for row in rows)

    def unpadded(self) -> "Convolution":
        """With other padding than zeros: the convolution over the image after padding."""
        if self.mode == "zeros":
            return self
        size = self.size and tuple(n + sum(p) for n, p in zip(self.size, self.padding, strict=True))
        return replace(self, mode="zeros", size=size, padding=((0, 0),) * self.axes)

    def on_circle(self, size: tuple[int, ...]) -> "Convolution":
        """On a circle of `size` pixels: as many outputs as multiples of the stride below it."""
        spans = [d * (k - 1) for k, d in zip(self.kernel, self.dilation, strict=True)]
        return replace(self, size=size, padding=tuple((0, span) for span in spans))


def read_convolution(
    weight: Tensor,
    stride: int | Sequence[int],
    padding: int | Sequence[int] | str,
    dilation: int | Sequence[int],
    groups: int,
    mode: str,
    size: Sequence[int] | None,
    transposed: bool,
    output_padding: int | Sequence[int],
) -> Convolution:
    """The layer, or what is wrong with it.

    Raises:
        InputError: An argument does not fit the others, or names what torch does not know.
    """
    if weight.ndim < 3:
        raise InputError(
            f"weight of shape {tuple(weight.shape)} has no kernel; give (out, in/groups, *kernel), "
            "or use matrix_norm for a matrix"
        )
    axes = weight.ndim - 2
    kernel = tuple(weight.shape[2:])
    strides = each_axis("stride", stride, axes, 1)
    dilations = each_axis("dilation", dilation, axes, 1)
    if groups < 1 or weight.shape[0] % groups:
        raise InputError(f"{weight.shape[0]} channels do not split into {groups} groups")
    if mode not in MODES:
        raise InputError(f"padding mode {mode!r} is unknown; give one of {', '.join(MODES)}")
    pads = _pads(padding, kernel, strides, dilations)
    sizes = None if size is None else each_axis("input_size", size, axes, 1)
    outputs = None
    if transposed:
        if mode != "zeros":
            raise InputError("a transposed convolution pads with zeros only, in torch too")
        extra = each_axis("output_padding", output_padding, axes, 0)
        if sizes is not None:
            outputs = sizes
            sizes = tuple(
                (n - 1) * s - sum(p) + d * (k - 1) + 1 + more
                for n, s, p, d, k, more in zip(
                    outputs, strides, pads, dilations, kernel, extra, strict=True
                )
            )
            if min(sizes) < 1:
                raise InputError(f"the transposed convolution's output would be of size {sizes}")
    channels = (weight.shape[1], weight.shape[0] // groups)
    layer = Convolution(channels, kernel, strides, pads, dilations, groups, mode, sizes, outputs)
    if sizes is not None:
        layer.output_size()
    return layer


def _pads(
    padding: int | Sequence[int] | str,
    kernel: tuple[int, ...],
    stride: tuple[int, ...],
    dilation: tuple[int, ...],
) -> tuple[tuple[int, int], ...]:
    """Padding before and after, as torch shares out "same"."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in each_axis("padding", padding, len(kernel), 0))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise InputError(f"padding {padding!r} is unknown; give numbers, 'same' or 'valid'")
    if math.prod(stride) != 1:
        raise InputError("padding 'same' needs stride 1; give the padding in pixels")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def each_axis(name: str, value: int | Sequence[int], axes: int, least: int) -> tuple[int, ...]:
    """One number an axis, from one for all or one each; InputError where they do not fit."""
    numbers = (value,) * axes if isinstance(value, int) else tuple(value)
    if len(numbers) == 1:
        numbers *= axes
    if len(numbers) != axes or any(number < least for number in numbers):
        raise InputError(
            f"{name} {value} does not fit a kernel of {axes} axes; give one number ≥ {least}, or "
            f"{axes} of them"
        )
    return numbers
