"""The paper's fully connected networks: FC10(λ), FC100-100-10, FC200-200-10, FC123-456-10."""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.errors import InputError

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
        """The name `build` makes this architecture from."""
        return "fc" + "-".join(map(str, self.sizes[1:]))


@torch.no_grad()
def initialise(layers: Sequence[nn.Linear], generator: torch.Generator, gain: float = 1.0) -> None:
    """Draw weights uniformly with variance gain² · 2 / (inputs + outputs) (Glorot, 2010), biases 0.

    The draw happens on the CPU in float32, so that a seed means the same weights on every device.
    """
    for layer in layers:
        width = layer.in_features + layer.out_features
        bound = gain * math.sqrt(6.0 / width)
        draw = torch.rand(layer.weight.shape, generator=generator)
        layer.weight.copy_((2.0 * draw - 1.0) * bound)
        if layer.bias is not None:
            layer.bias.zero_()
