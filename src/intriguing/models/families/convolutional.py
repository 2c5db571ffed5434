"""The convolutional network for MNIST (§2, Figures 1 and 2): two convolutions, one hidden layer."""

import math
import re
from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.family import Family, Shape, register_family
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.schedule import Schedule


class Convolutional(nn.Module):
    """Convolution, ReLU and 2×2 max-pooling for each of `channels`; a hidden layer; logits.

    Convolutions are 5×5 and see no border, so that 28×28 pixels become 24, 12, 8 and 4; where that
    would leave less than 3×3 they are 3×3 with a border of zeros.  Its layers are `conv1`, `relu1`,
    `pool1`, … `flatten`, `fc3`, `relu3`, `fc4`, the numbers counting the layers with weights.

    >>> network = Convolutional((32, 64), 200, 10)
    >>> network.describe(), network.fc3.in_features
    ('conv32-64-200-10', 1024)
    """

    def __init__(
        self,
        channels: Sequence[int],
        hidden: int,
        classes: int,
        shape: tuple[int, int, int] = (1, 28, 28),
    ) -> None:
        super().__init__()
        sizes = (*channels, hidden, classes)
        if not channels or min(sizes) < 1:
            raise InputError(
                f"sizes {sizes} make no network; give (channels, ..., hidden, classes)"
            )
        self.sizes, self.shape = sizes, shape
        depth, side = len(channels), _square(shape)[1]
        kernel = 5 if _last_side(side, depth, kernel=5) >= 3 else 3
        last = _last_side(side, depth, kernel)
        if last < 1:
            raise InputError(f"{side}×{side} pixels are too few for {depth} poolings")
        before = shape[0]
        for i, after in enumerate(channels, 1):
            border = 0 if kernel == 5 else 1
            self.add_module(f"conv{i}", nn.Conv2d(before, after, kernel, padding=border))
            self.add_module(f"relu{i}", nn.ReLU())
            self.add_module(f"pool{i}", nn.MaxPool2d(2))
            before = after
        self.add_module("flatten", nn.Flatten())
        self.add_module(f"fc{depth + 1}", nn.Linear(before * last**2, hidden))
        self.add_module(f"relu{depth + 1}", nn.ReLU())
        self.add_module(f"fc{depth + 2}", nn.Linear(hidden, classes))

    def forward(self, images: Float[Tensor, "b channel h w"]) -> Float[Tensor, "b classes"]:
        """Logits of images of `shape`."""
        phi = images
        for layer in self.children():
            phi = layer(phi)
        return phi

    def describe(self) -> str:
        """The name `build_network` makes this architecture from."""
        return "conv" + "-".join(map(str, self.sizes))


def shape_of(weights: Mapping[str, Tensor]) -> tuple[int, int, int] | None:
    """The shape of the images that a `Convolutional` network with these weights takes.

    Of sizes that only differ by what pooling leaves out, it is the least; None if the weights are
    another network's.
    """
    depth = sum(re.fullmatch(r"conv\d+\.weight", name) is not None for name in weights)
    names = ("conv1.weight", f"conv{depth}.weight", f"fc{depth + 1}.weight")
    if not all(name in weights for name in names):
        return None
    first, last, hidden = (weights[name] for name in names)
    side = math.isqrt(hidden.shape[1] // len(last))
    for _ in range(depth):
        side = 2 * side + (4 if first.shape[-1] == 5 else 0)
    return first.shape[1], side, side


def _square(shape: Shape) -> tuple[int, int, int]:
    if len(shape) == 1:
        raise InputError(f"{shape[0]} pixels make no square; give the shape (channels, side, side)")
    if len(shape) != 3 or shape[1] != shape[2]:
        raise InputError(f"images of shape {shape}; a convolutional network takes square ones")
    return shape[0], shape[1], shape[2]


def _last_side(side: int, depth: int, kernel: int) -> int:
    for _ in range(depth):
        side = (side - 4 if kernel == 5 else side) // 2
    return side


@register_family
class ConvolutionalFamily(Family):
    """convA-B-…-H-K, trained by minibatches."""

    pattern = r"conv([1-9]\d*(?:-[1-9]\d*){2,})"
    called = (
        "convA-B-...-H-K (convolutions of A, B, ... channels, H hidden units and K classes, such "
        "as conv32-64-200-10)"
    )

    def build(self, name: re.Match[str], shape: Shape) -> Convolutional:
        """The network of square images."""
        *channels, hidden, classes = map(int, name[1].split("-"))
        return Convolutional(channels, hidden, classes, _square(shape))

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """He's, which has no gain."""
        draw_he(weight_layers(head), generator)

    def schedule(self, images: int) -> Schedule:
        """6 epochs of MNIST's 60,000, which bring its test error below 1 %; of fewer up to 30.

        >>> [ConvolutionalFamily().schedule(images).epochs for images in (60_000, 4000)]
        [6, 30]
        """
        return Schedule(epochs=max(6, min(30, 360_000 // images)), rate=0.1)

    def shape_of(self, weights: Mapping[str, Tensor]) -> Shape:
        """Told by the filters and by how many of their answers the hidden layer reads."""
        return shape_of(weights) or super().shape_of(weights)
