from pathlib import Path

import numpy as np
import pytest
import torch

from intriguing.errors import InputError
from intriguing.models.families.convolutional import Convolutional, shape_of
from intriguing.models.family import build_network
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.load import load_model
from intriguing.models.weights import model_sha256, save_model
from tests.oracles.numpy_convolutions import convolutional_logits

SHAPES = [(1, 28, 28), (1, 8, 8), (3, 32, 32), (1, 29, 29), (2, 13, 13)]


@pytest.mark.parametrize("shape", SHAPES)
def test_logits_are_the_oracles(shape: tuple[int, int, int]) -> None:
    model = build_network("conv4-5-6-3", shape).double()
    images = torch.rand(3, *shape, dtype=torch.float64)
    border = 0 if shape[1] >= 24 else 1
    expected = convolutional_logits(model.state_dict(), images.numpy(), border)
    np.testing.assert_allclose(model(images).detach().numpy(), expected, rtol=1e-10, atol=1e-12)


def test_layers_have_the_names_of_what_they_are() -> None:
    model = build_network("conv16-32-100-10")
    assert [name for name, _ in model.named_children()] == [
        "conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "flatten", "fc3", "relu3", "fc4",
    ]  # fmt: skip
    traced = torch.fx.symbolic_trace(model)
    nodes = [node.target for node in traced.graph.nodes if node.op == "call_module"]
    assert nodes == [name for name, _ in model.named_children()]
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(traced(images), model(images))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", ["conv4-7-3", "conv4-5-6-3", "CONV2-3-4-6-3"])
def test_saved_weights_come_back_to_the_bit(
    name: str, shape: tuple[int, int, int], tmp_path: Path
) -> None:
    model = build_network(name, shape)
    assert model.describe() == name.lower()
    save_model(tmp_path / "net.safetensors", model, name)
    loaded = load_model(tmp_path / "net.safetensors")
    assert model_sha256(loaded) == model_sha256(model)
    images = torch.rand(4, *shape)
    assert torch.equal(loaded(images), model(images))


def test_other_networks_weights_have_no_shape() -> None:
    assert shape_of(build_network("fc5-3", 16).state_dict()) is None
    assert shape_of({}) is None


def test_pixels_alone_mean_a_gray_square() -> None:
    model = build_network("conv3-5-10", 64)
    assert isinstance(model, Convolutional)
    assert model.shape == (1, 8, 8)


@pytest.mark.parametrize(
    ("name", "pixels", "words"),
    [
        ("conv5-10", 784, "unknown network"),
        ("conv5-0-10", 784, "unknown network"),
        ("conv5-7-10", 785, "give the shape"),
        ("conv5-7-10", (1, 28, 27), "square"),
        ("conv2-2-2-2-7-10", (1, 8, 8), "too few for 4 poolings"),
    ],
)
def test_what_makes_no_network_is_refused(
    name: str, pixels: int | tuple[int, int, int], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        build_network(name, pixels)


def test_initial_weights_keep_the_size_of_what_passes() -> None:
    model = Convolutional((32, 64), 200, 10)
    draw_he(weight_layers(model), torch.Generator().manual_seed(3))
    digest = model_sha256(model)
    for layer in weight_layers(model):
        inputs = layer.weight[0].numel()
        assert layer.weight.var().item() == pytest.approx(2 / inputs, rel=0.1)
        assert not layer.bias.any()
    draw_he(weight_layers(model), torch.Generator().manual_seed(3))
    assert model_sha256(model) == digest
    draw_he(weight_layers(model), torch.Generator().manual_seed(4))
    assert model_sha256(model) != digest
