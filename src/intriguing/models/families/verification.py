"""Networks of the verification benchmarks, whose files hold their normalisation as well.

They come from SDP-CROWN (github.com/Hong-Ming/SDP-CROWN), α,β-CROWN and auto_LiRPA
(github.com/Verified-Intelligence), each a chain of layers: weights are numbered by their places in
it, `0.mean` and `0.std` where it begins by normalising. Depths, widths, and with them strides and
the size of the images, are told by the weights.
"""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.models.family import Family, Shape, register_family
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.weights import without_common_prefix

_LOADED = (
    "is a network whose weights are loaded, not trained here; give another of "
    "`intriguing train --help`"
)
_SIDE = 32
"""Of CIFAR's images, where the stride of a residual network's first layer has to be told."""


class Standardised(nn.Module):
    """(x − mean) / std, with both among the weights."""

    mean: Tensor
    std: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("std", torch.ones(1, channels, 1, 1))

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch channel h w"]:
        """Of every channel."""
        return (x - self.mean) / self.std


class Block(nn.Module):
    """relu(shortcut(x) + conv(relu(conv(x)))), without batch normalisation."""

    def __init__(self, before: int, after: int, *, halves: bool) -> None:
        super().__init__()
        stride = 2 if halves else 1
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1)
        self.shortcut = nn.Conv2d(before, after, 1, stride) if halves else nn.Identity()

    def forward(self, x: Float[Tensor, "batch channel h w"]) -> Float[Tensor, "batch out h w"]:
        """Of so many channels as the second convolution has."""
        return torch.relu(self.conv2(torch.relu(self.conv1(x))) + self.shortcut(x))


class Chain(nn.Sequential):
    """Layers one after another, from images of `shape` in [0, 1] to logits."""

    def __init__(self, shape: Shape, layers: Sequence[nn.Module], *, standardised: bool) -> None:
        before = [Standardised(shape[0])] if standardised else []
        super().__init__(*before, *layers)
        self.shape = shape


def cnn_a(
    shape: tuple[int, int, int],
    channels: Sequence[int] = (16, 32),
    dense: Sequence[int] = (100, 10),
    *,
    standardised: bool = False,
) -> Chain:
    """Convolutions of 4×4 that halve the sides, hidden units, logits; ReLU between them.

    >>> sum(weight.numel() for weight in cnn_a((1, 28, 28)).parameters())
    166406
    """
    layers: list[nn.Module] = []
    before = shape[0]
    for after in channels:
        layers += [nn.Conv2d(before, after, 4, stride=2, padding=1), nn.ReLU()]
        before = after
    inputs = before * (shape[1] >> len(channels)) * (shape[2] >> len(channels))
    return Chain(shape, [*layers, *_dense(inputs, dense)], standardised=standardised)


def residual(
    width: int,
    blocks: Sequence[tuple[int, bool]],
    inputs: int,
    dense: Sequence[int] = (100, 10),
    *,
    channels: int = 3,
    standardised: bool = True,
) -> Chain:
    """A convolution, blocks, hidden units, logits, for images of 32×32.

    Args:
        width: Channels of the first convolution.
        blocks: Channels of each, and whether it halves the sides.
        inputs: What the first fully connected layer reads, which tells the first stride.
        dense: Units of the fully connected layers, the last of them the classes.
        channels: Of the images.
        standardised: Whether it begins by normalising.

    >>> resnet2b = residual(8, [(16, True), (16, False)], 1024)
    >>> sum(weight.numel() for weight in resnet2b.parameters())
    112006
    """
    last = blocks[-1][0]
    halvings = sum(halves for _, halves in blocks)
    side = math.isqrt(inputs // last) << halvings
    stride = _SIDE // side
    if stride * side != _SIDE:
        raise ValueError(f"its blocks do not come from images of {_SIDE}×{_SIDE}")
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, stride, padding=1), nn.ReLU()]
    before = width
    for after, halves in blocks:
        layers.append(Block(before, after, halves=halves))
        before = after
    layers += _dense(inputs, dense)
    return Chain((channels, _SIDE, _SIDE), layers, standardised=standardised)


def _dense(inputs: int, sizes: Sequence[int]) -> list[nn.Module]:
    layers: list[nn.Module] = [nn.Flatten()]
    for size in sizes:
        layers += [nn.Linear(inputs, size), nn.ReLU()]
        inputs = size
    return layers[:-1]


@register_family
class CnnAFamily(Family):
    """cnn_a, by default as MNIST's."""

    pattern = called = "cnn_a"
    untrained = _LOADED

    def build(self, name: re.Match[str], shape: Shape) -> Chain:
        """Of 16 and 32 channels, 100 hidden units and ten classes."""
        channels, height, width = shape if len(shape) == 3 else (1, 28, 28)
        return cnn_a((channels, height, width))

    def like(self, name: str, weights: Mapping[str, Tensor]) -> Chain:
        """Every width is a weight's; the sides are what the first hidden unit reads."""
        weights = without_common_prefix(weights)
        convolutions, dense = _in_order(weights, 4), _in_order(weights, 2)
        channels = [len(weight) for weight in convolutions]
        side = math.isqrt(dense[0].shape[1] // channels[-1]) << len(channels)
        return cnn_a(
            (convolutions[0].shape[1], side, side), channels, [len(weight) for weight in dense],
            standardised="0.mean" in weights,
        )  # fmt: skip

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """He's, as suits rectifiers."""
        draw_he(weight_layers(head), generator)


@register_family
class PlainResidualFamily(Family):
    """resnetNb of N blocks, by default as wide as 2b."""

    pattern = r"resnet([1-9]\d?)b"
    called = "resnetNb (N residual blocks without batch normalisation, such as resnet2b)"
    untrained = _LOADED

    def build(self, name: re.Match[str], shape: Shape) -> Chain:
        """8 channels, then 16; the first block halves the sides."""
        return residual(8, [(16, i == 0) for i in range(int(name[1]))], 1024)

    def like(self, name: str, weights: Mapping[str, Tensor]) -> Chain:
        """A block with a 1×1 convolution beside it halves the sides; the first layer the rest."""
        weights = without_common_prefix(weights)
        places = sorted(
            int(found[1])
            for key in weights
            if (found := re.fullmatch(r"(\d+)\.conv2\.weight", key))
        )
        wanted = int(name[len("resnet") : -1])
        if len(places) != wanted:
            raise ValueError(f"it has {wanted} blocks, and the weights {len(places)}")
        blocks = [
            (len(weights[f"{i}.conv2.weight"]), f"{i}.shortcut.weight" in weights) for i in places
        ]
        first, *_ = _in_order(weights, 4)
        dense = _in_order(weights, 2)
        return residual(
            len(first), blocks, dense[0].shape[1], [len(weight) for weight in dense],
            channels=first.shape[1], standardised="0.mean" in weights,
        )  # fmt: skip

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """He's, as suits rectifiers."""
        draw_he(weight_layers(head), generator)


def _in_order(weights: Mapping[str, Tensor], axes: int) -> list[Tensor]:
    """The weights of the chain's own layers with so many axes, as they stand in it."""
    places = {
        int(found[1]): tensor for key, tensor in weights.items()
        if tensor.ndim == axes and (found := re.fullmatch(r"(\d+)\.weight", key))
    }  # fmt: skip
    if not places:
        kind = "fully connected layer" if axes == 2 else "convolution"
        raise ValueError(f"the weights have no {kind} under a number, such as 1.weight")
    return [places[place] for place in sorted(places)]
