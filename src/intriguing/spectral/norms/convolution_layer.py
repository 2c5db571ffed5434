"""A convolution as data: what torch's arguments mean, checked and an axis each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.spectral.norms.polyphase import output_size

MODES = ("zeros", "reflect", "replicate", "circular")
PerAxis = tuple[int, ...]


@dataclass(frozen=True)
class Convolution:
    """A convolution without its bias, an entry an axis; of a transposed one, what it transposes.

    Attributes:
        weight: (out, in / groups, *kernel).
        padding: Before and after.
        input_size: Pixels of the input, without padding; None if not known.
        padding_mode: What the padding holds.
        outputs: Pixels of the output where they are given rather than computed.
        transposed: Whether the layer is the adjoint of this: it takes `outputs`, and gives
            `input_size`.
    """

    weight: Float[Tensor, "out in *kernel"]
    stride: PerAxis
    padding: tuple[tuple[int, int], ...]
    dilation: PerAxis
    groups: int
    input_size: PerAxis | None
    padding_mode: str = "zeros"
    outputs: PerAxis | None = None
    transposed: bool = False

    @property
    def kernel(self) -> PerAxis:
        """Taps an axis."""
        return tuple(self.weight.shape[2:])

    @property
    def axes(self) -> int:
        return len(self.stride)

    @property
    def in_channels(self) -> int:
        """Channels of the input."""
        return self.weight.shape[1] * self.groups

    @property
    def spans(self) -> PerAxis:
        """Pixels from the first tap to the last, both included."""
        return tuple(d * (k - 1) + 1 for d, k in zip(self.dilation, self.kernel, strict=True))

    @property
    def output_size(self) -> PerAxis:
        """Pixels of the output; the input's size must be known."""
        if self.outputs is not None:
            return self.outputs
        assert self.input_size is not None
        settings = (self.kernel, self.stride, self.dilation, self.padding, self.input_size)
        return tuple(output_size(*row) for row in zip(*settings, strict=True))

    @property
    def formula(self) -> str:
        """In a few words, what the bound is."""
        padded = "" if self.padding_mode == "zeros" else f", {self.padding_mode} padding"
        return f"Eq. 1, corrected{padded}"

    def unpadded(self) -> "Convolution":
        """With other padding than zeros: the convolution over the image after padding."""
        if self.padding_mode == "zeros":
            return self
        none, size = ((0, 0),) * self.axes, self.input_size
        if size is not None:
            size = tuple(n + sum(pad) for n, pad in zip(size, self.padding, strict=True))
        return replace(self, padding_mode="zeros", input_size=size, padding=none)

    def on_circle(self, size: PerAxis) -> "Convolution":
        """On a circle of `size` pixels: as many outputs as multiples of the stride below it."""
        return replace(self, input_size=size, padding=tuple((0, span - 1) for span in self.spans))

    def filled(self) -> Float[Tensor, "out in *span"]:
        """The kernel with zeros between its taps."""
        whole = self.weight.new_zeros(*self.weight.shape[:2], *self.spans)
        whole[(slice(None), slice(None), *(slice(None, None, d) for d in self.dilation))] = (
            self.weight
        )
        return whole

    def ungrouped(self) -> "Convolution":
        """The same over all input channels, with zeros between its groups."""
        if self.groups == 1:
            return self
        rows, columns = self.weight.shape[0] // self.groups, self.weight.shape[1]
        full = self.weight.new_zeros(self.weight.shape[0], self.in_channels, *self.kernel)
        for group in range(self.groups):
            own = slice(group * rows, (group + 1) * rows)
            full[own, group * columns : (group + 1) * columns] = self.weight[own]
        return replace(self, weight=full, groups=1)

    def readings(self, axis: int) -> Float[Tensor, "kernel out inputs"]:
        """1 where output i reads input x through tap u, along one axis."""
        assert self.input_size is not None
        size, outputs = self.input_size[axis], self.output_size[axis]
        shown = _shown_pixels(size, self.padding[axis], self.padding_mode)
        taps = torch.arange(self.kernel[axis])[:, None] * self.dilation[axis]
        places = taps + torch.arange(outputs) * self.stride[axis]
        pixels = torch.where(places < len(shown), shown[places.clamp_max(len(shown) - 1)], -1)
        return (pixels[..., None] == torch.arange(size)).double()

    def window(self, axis: int) -> Bool[Tensor, "out inputs"]:
        """Along an axis, which positions the layer reads for each that it gives."""
        reads = self.readings(axis).any(0)
        return reads.T if self.transposed else reads


def _shown_pixels(size: int, pads: tuple[int, int], mode: str) -> Int64[Tensor, " padded"]:
    """Which pixel each place of the padded axis shows; −1 is none."""
    before, after = pads
    pixels = torch.arange(size)
    if mode == "zeros":
        return functional.pad(pixels, (before, after), value=-1)
    if mode == "circular":
        return torch.arange(-before, size + after) % size
    return functional.pad(pixels[None, None].double(), (before, after), mode=mode)[0, 0].long()


def read_convolution(
    weight: Tensor,
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    padding_mode: str = "zeros",
    input_size: Sequence[int] | None = None,
    transposed: bool = False,
    output_padding: int | Sequence[int] = 0,
    output_size: Sequence[int] | None = None,
) -> Convolution:
    """The layer, or what is wrong with it.

    Args:
        weight, stride, padding, dilation, groups, padding_mode, transposed, output_padding: As in
            torch's ConvNd, or its ConvTransposeNd.
        input_size: Pixels an axis of what it takes.
        output_size: Of what a transposed one gives, in the place of `output_padding`.

    Raises:
        InputError: An argument does not fit the others, or names what torch does not know.
    """
    if weight.ndim < 3:
        raise InputError(
            f"weight of shape {tuple(weight.shape)} has no kernel; give (out, in/groups, *kernel), "
            "or use matrix_norm for a matrix"
        )
    axes = weight.ndim - 2
    if groups < 1 or weight.shape[0] % groups:
        raise InputError(f"{weight.shape[0]} channels do not split into {groups} groups")
    if padding_mode not in MODES:
        known = ", ".join(MODES)
        raise InputError(f"padding mode {padding_mode!r} is unknown; give one of {known}")
    strides = each_axis(stride, axes, "stride", 1)
    dilations = each_axis(dilation, axes, "dilation", 1)
    pads = _pads(padding, tuple(weight.shape[2:]), strides, dilations)
    size = None if input_size is None else each_axis(input_size, axes, "input_size", 1)
    layer = Convolution(weight, strides, pads, dilations, groups, size, padding_mode)
    if not transposed:
        if size is not None:
            _ = layer.output_size
        return layer
    if padding_mode != "zeros":
        raise InputError("a transposed convolution pads with zeros only, in torch too")
    extra = each_axis(output_padding, axes, "output_padding", 0)
    gives = None if output_size is None else tuple(output_size)
    if size is not None and gives is None:
        settings = (size, strides, pads, layer.spans, extra)
        gives = tuple(
            (n - 1) * s - sum(p) + span + more
            for n, s, p, span, more in zip(*settings, strict=True)
        )
        if min(gives) < 1:
            raise InputError(f"the transposed convolution's output would be of size {gives}")
    return replace(layer, input_size=gives, outputs=size, transposed=True)


def _pads(
    padding: int | Sequence[int] | str, kernel: PerAxis, stride: PerAxis, dilation: PerAxis
) -> tuple[tuple[int, int], ...]:
    """Padding before and after, as torch shares out "same"."""
    if not isinstance(padding, str):
        return tuple((p, p) for p in each_axis(padding, len(kernel), "padding", 0))
    if padding == "valid":
        return ((0, 0),) * len(kernel)
    if padding != "same":
        raise InputError(f"padding {padding!r} is unknown; give numbers, 'same' or 'valid'")
    if math.prod(stride) != 1:
        raise InputError("padding 'same' needs stride 1; give the padding in pixels")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    return tuple((total // 2, total - total // 2) for total in totals)


def each_axis(
    value: int | Sequence[int], axes: int, name: str = "a setting", least: int = 0
) -> PerAxis:
    """One number an axis, from one for all or one each; InputError where they do not fit.

    >>> each_axis(2, 3), each_axis((1,), 2), each_axis([3, 5], 2)
    ((2, 2, 2), (1, 1), (3, 5))
    """
    numbers = (value,) * axes if isinstance(value, int) else tuple(int(number) for number in value)
    if len(numbers) == 1:
        numbers *= axes
    if len(numbers) != axes or any(number < least for number in numbers):
        raise InputError(
            f"{name} {value} does not fit {axes} axes; give one number ≥ {least}, or {axes} of them"
        )
    return numbers
