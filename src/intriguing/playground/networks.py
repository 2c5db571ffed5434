"""Fully connected networks as the page carries them: 16-bit weights, and what is proved of them."""

import base64
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX
from intriguing.models.families.autoencoder import AutoencoderClassifier
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.families.perceptron import Perceptron
from intriguing.spectral.certificates.pairwise import pair_bounds


@dataclass(frozen=True)
class Dense:
    """Linear layers with one activation between them; weights are what 16 bits hold of them.

    pairs[c][j] bounds the Lipschitz constant of f_c − f_j, proved of just these weights. error is
    the share of test images that they misread.
    """

    name: str
    activation: str
    layers: tuple[tuple[Float[np.ndarray, "out in"], Float[np.ndarray, " out"]], ...]
    pairs: Float[np.ndarray, "k k"]
    error: float

    def as_json(self) -> dict[str, object]:
        """What the page reads."""
        return {
            "name": self.name,
            "activation": self.activation,
            "error": self.error,
            "pairs": [[float(f"{value:.9g}") for value in row] for row in _up(self.pairs)],
            "layers": [
                {"weight": _halves(weight), "bias": _halves(bias), "rows": len(bias)}
                for weight, bias in self.layers
            ],
        }


def rounded(name: str, model: nn.Module, pixels: int) -> FullyConnected:
    """The network with the weights that 16 bits hold of its own: it is this one that a page has.

    Raises:
        InputError: It is not fully connected, takes no images of so many pixels, or has weights
            that 16 bits cannot hold.
    """
    linear, activation = _layers(name, model)
    if linear[0].in_features != pixels:
        raise InputError(
            f"{name} takes {linear[0].in_features} pixels and the images have {pixels}; give a "
            "network that was trained on such images"
        )
    made = FullyConnected((pixels, *(layer.out_features for layer in linear)), activation)
    with torch.no_grad():
        for mine, given in zip(_linear(made), linear, strict=True):
            for to, weight in ((mine.weight, given.weight), (mine.bias, given.bias)):
                to.copy_(weight.half().float())
                if not bool(to.isfinite().all()):
                    raise InputError(
                        f"{name} has weights beyond 65,504, which 16 bits cannot hold; the page "
                        "carries no such network"
                    )
    return made.eval()


def carried(
    name: str, network: FullyConnected, images: Float[Tensor, "n ..."], labels: Int64[Tensor, " n"]
) -> Dense:
    """A `rounded` network as a page carries it: with its error on these images, and its bounds."""
    with torch.no_grad():
        error = float((network(images).argmax(1) != labels).double().mean())
    pairs = pair_bounds(network, tuple(images.shape[1:]), UNIT_BOX).pairs
    layers = tuple(
        (layer.weight.detach().numpy(), layer.bias.detach().numpy()) for layer in _linear(network)
    )
    return Dense(name, network.activation, layers, pairs.numpy(), error)


def _linear(model: nn.Module) -> list[nn.Linear]:
    return [part for part in model.modules() if isinstance(part, nn.Linear)]


def _layers(name: str, model: nn.Module) -> tuple[list[nn.Linear], str]:
    """The linear layers of a network of ours that has nothing else but one activation."""
    linear = _linear(model)
    if isinstance(model, FullyConnected):
        return linear, model.activation
    if isinstance(model, AutoencoderClassifier):
        return linear, "sigmoid"
    if isinstance(model, Perceptron):
        return linear, "relu"
    raise InputError(
        f"{name} is a {type(model).__name__}, and the page carries fully connected networks only "
        "(fcA-B-…, aeA-K, mlpA-B-…), which a browser computes at once; `intriguing attack` and "
        "`intriguing audit` take any"
    )


def _halves(values: np.ndarray) -> str:
    return base64.b64encode(values.astype("<f2").tobytes()).decode()


def _up(values: np.ndarray) -> np.ndarray:
    """A little more, so that nine digits are still upper bounds."""
    more: np.ndarray = values * (1 + 1e-8)
    return more
