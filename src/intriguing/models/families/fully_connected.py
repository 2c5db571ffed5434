"""The paper's fully connected networks: FC10(λ), FC100-100-10, FC200-200-10, FC123-456-10."""

import math
import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.family import Family, Shape, register_family
from intriguing.models.initial import draw_glorot, weight_layers

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
}


class FullyConnected(nn.Module):
    """Linear layers of `sizes`, an activation between them and logits at the end.

    `sizes` runs from the number of pixels to the number of classes; two sizes are the softmax
    classifier FC10(λ).  Inputs of any shape (batch, ...) are flattened.

    >>> FullyConnected((784, 100, 100, 10)).describe()
    'fc100-100-10'
    """

    def __init__(self, sizes: Sequence[int], activation: str = "sigmoid") -> None:
        super().__init__()
        if len(sizes) < 2 or min(sizes) < 1:
            raise InputError(f"sizes {tuple(sizes)} make no network; give (pixels, ..., classes)")
        if activation not in ACTIVATIONS:
            raise InputError(f"unknown activation {activation!r}; one of {', '.join(ACTIVATIONS)}")
        self.sizes = tuple(sizes)
        self.shape = (sizes[0],)
        self.activation = activation
        self.layers = nn.ModuleList(
            nn.Linear(width_in, width_out) for width_in, width_out in pairwise(sizes)
        )

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Logits of flattened images."""
        phi = images.flatten(1)
        squash = ACTIVATIONS[self.activation]
        last = len(self.layers) - 1
        for depth, layer in enumerate(self.layers):
            phi = layer(phi)
            if depth < last:
                phi = squash(phi)
        return phi

    def describe(self) -> str:
        """The name `build_network` makes this architecture from."""
        kind = "tanh" if self.activation == "tanh" else "fc"
        return kind + "-".join(map(str, self.sizes[1:]))


@register_family
class FullyConnectedFamily(Family):
    """fcA-B-…-K, trained to convergence by L-BFGS on the whole set (§4.2)."""

    pattern = r"fc([1-9]\d*(?:-[1-9]\d*)*)"
    called = "fcA-B-...-K (layers of A, B, ... sigmoid units and K classes, such as fc100-100-10)"

    def build(self, name: re.Match[str], shape: Shape) -> FullyConnected:
        """The network of images of so many pixels, whatever their shape."""
        return FullyConnected((math.prod(shape), *map(int, name[1].split("-"))))

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """Glorot's, times the gain."""
        draw_glorot(weight_layers(head), generator, gain)

    def decay(self, layers: int) -> tuple[float, ...]:
        """The paper's (§4.2): 1e-4 for a softmax classifier, else 1e-5, the last layer 1e-6."""
        return (1e-4,) if layers == 1 else (*[1e-5] * (layers - 1), 1e-6)


@register_family
class TanhFamily(FullyConnectedFamily):
    """tanhA-B-…-K: the same with tanh."""

    pattern = r"tanh([1-9]\d*(?:-[1-9]\d*)*)"
    called = "tanhA-B-...-K (the same with tanh units, such as tanh100-100-10)"

    def build(self, name: re.Match[str], shape: Shape) -> FullyConnected:
        """The network of images of so many pixels, whatever their shape."""
        return FullyConnected((math.prod(shape), *map(int, name[1].split("-"))), "tanh")
