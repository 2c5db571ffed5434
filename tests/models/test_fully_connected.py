import math

import numpy as np
import pytest
import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.initial import draw_glorot


def _by_hand(model: FullyConnected, images: Tensor) -> np.ndarray:
    phi = images.double().numpy().reshape(len(images), -1)
    for depth, layer in enumerate(model.layers):
        phi = phi @ layer.weight.detach().double().numpy().T + layer.bias.detach().double().numpy()
        if depth < len(model.layers) - 1:
            phi = {
                "sigmoid": lambda z: 1 / (1 + np.exp(-z)),
                "tanh": np.tanh,
                "relu": lambda z: np.maximum(z, 0),
            }[model.activation](phi)
    return phi


@pytest.mark.parametrize("activation", ["sigmoid", "tanh", "relu"])
@pytest.mark.parametrize("sizes", [(12, 4), (12, 5, 3), (12, 7, 6, 4)])
def test_forward_is_the_composition_of_its_layers(sizes: tuple[int, ...], activation: str) -> None:
    model = FullyConnected(sizes, activation).double()
    images = torch.rand(6, 3, 2, 2, dtype=torch.float64)
    np.testing.assert_allclose(model(images).detach(), _by_hand(model, images), rtol=1e-12)


def test_bad_sizes_and_activations_are_refused() -> None:
    with pytest.raises(InputError, match="pixels"):
        FullyConnected((784,))
    with pytest.raises(InputError, match="sigmoid, tanh, relu"):
        FullyConnected((784, 10), "sigmoide")


def test_initial_weights_have_glorots_variance_and_follow_the_generator() -> None:
    first, again, other = (FullyConnected((400, 300, 10)) for _ in range(3))
    for model, seed in ((first, 1), (again, 1), (other, 2)):
        draw_glorot(list(model.layers), torch.Generator().manual_seed(seed), gain=2.0)
    for layer, same, different in zip(first.layers, again.layers, other.layers, strict=True):
        variance = 4 * 2 / (layer.in_features + layer.out_features)
        assert layer.weight.var().item() == pytest.approx(variance, rel=0.1)
        assert layer.weight.abs().max() <= math.sqrt(3 * variance)
        assert not layer.bias.any()
        assert torch.equal(layer.weight, same.weight)
        assert not torch.equal(layer.weight, different.weight)


def test_a_seed_means_the_same_weights_in_every_dtype() -> None:
    single, double = FullyConnected((9, 4, 3)), FullyConnected((9, 4, 3)).double()
    for model in (single, double):
        draw_glorot(list(model.layers), torch.Generator().manual_seed(0))
    for a, b in zip(single.parameters(), double.parameters(), strict=True):
        torch.testing.assert_close(a.double(), b, rtol=1e-6, atol=1e-7)
