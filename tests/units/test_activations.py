"""Named layers, read in one pass, the same whatever the batch."""

import pytest
import torch
from torch import nn

from intriguing.errors import InputError
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.units.activations import activations, layer_features, list_layers
from tests.units.networks import conv_network, exact_images, image_set


def test_layers_are_listed_with_their_shapes():
    layers = list_layers(conv_network(), (1, 16, 16))
    assert [(x.name, x.shape) for x in layers][:5] == [
        ("0", (8, 16, 16)),
        ("1", (8, 16, 16)),
        ("2", (8, 8, 8)),
        ("3", (12, 6, 6)),
        ("4", (12, 6, 6)),
    ]
    assert layers[3].kind == "Conv2d"
    assert layers[3].units == 12


def test_what_goes_into_a_module_is_a_layer_where_no_module_gives_it():
    model = FullyConnected((4, 3, 2)).eval()
    names = [layer.name for layer in list_layers(model, (1, 2, 2))]
    assert names == ["layers.0:input", "layers.0", "layers.1:input", "layers.1"]
    x = torch.rand(5, 1, 2, 2)
    (phi,) = activations(model, ("layers.1:input",), x)
    expected = model.layers[0](x.flatten(1)).sigmoid()
    torch.testing.assert_close(phi["layers.1:input"], expected)


def test_a_module_called_twice_is_read_at_its_last_call():
    pool = nn.MaxPool2d(2)
    model = nn.Sequential(pool, nn.Conv2d(1, 3, 3), pool).eval()
    layers = list_layers(model, (1, 16, 16))
    assert [(x.name, x.shape) for x in layers] == [("1", (3, 6, 6)), ("0", (3, 3, 3))]
    x = torch.rand(2, 1, 16, 16)
    torch.testing.assert_close(next(activations(model, "0", x))["0"], model(x).detach())


def test_activations_are_what_the_layers_give_also_where_they_are_overwritten():
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(inplace=True), nn.Flatten()).eval()
    x = torch.randn(37, 1, 6, 6)
    with torch.no_grad():
        conv = model[0](x)
    found = list(activations(model, ("0", "1"), x, batch_size=10))
    assert [len(phi["0"]) for phi in found] == [10, 10, 10, 7]
    torch.testing.assert_close(torch.cat([phi["0"] for phi in found]), conv)
    torch.testing.assert_close(torch.cat([phi["1"] for phi in found]), conv.relu())
    assert [layer.name for layer in list_layers(model, (1, 6, 6))] == ["0", "1", "2"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_batch_size_changes_no_bit(dtype):
    model, x = conv_network().to(dtype), torch.rand(70, 1, 16, 16)
    layers = ("0", "4", "7")
    reference = next(activations(model, layers, x, batch_size=70))
    assert reference["4"].dtype == dtype
    for size in (1, 7, 16, 64):
        parts = list(activations(model, layers, x, batch_size=size))
        for name in layers:
            assert torch.equal(torch.cat([part[name] for part in parts]), reference[name])


def test_pieces_of_any_size_and_kind_are_one_stream():
    model, images = conv_network(), image_set(torch.rand(50, 1, 16, 16))
    whole = layer_features(model, "4", images)
    streams = (
        images.images.split(7),
        (part for part in images.batches(13)),
        [(part.images, part.labels) for part in images.batches(20)],
    )
    for stream in streams:
        assert torch.equal(layer_features(model, "4", stream, batch_size=16), whole)
    assert whole.shape == (50, 12)


def test_progress_counts_images():
    seen = []
    list(
        activations(
            conv_network(), "0", torch.rand(30, 1, 16, 16), batch_size=16, progress=seen.append
        )
    )
    assert [(p.done, p.total) for p in seen] == [(16, 30), (30, 30)]


def test_a_module_that_is_not_called_and_shapes_that_do_not_fit_are_refused():
    unused = nn.Sequential(nn.Flatten()).eval()
    unused.forward = lambda x: x
    with pytest.raises(InputError, match="no layer 'nope'"):
        list(activations(conv_network(), "nope", exact_images(2, 0)))
    with pytest.raises(InputError, match="not used"):
        list(activations(unused, "0", exact_images(2, 0)))
    with pytest.raises(InputError, match="does not take images"):
        list(activations(conv_network(), "0", torch.rand(2, 3, 16, 16)))
    with pytest.raises(InputError, match="training mode"):
        list(activations(conv_network().train(), "0", torch.rand(2, 1, 16, 16)))
    with pytest.raises(InputError, match="no images"):
        list(activations(conv_network(), "0", torch.rand(0, 1, 16, 16)))
    with pytest.raises(InputError, match="floating-point"):
        list(activations(conv_network(), "0", torch.ones(2, 1, 16, 16, dtype=torch.uint8)))
    with pytest.raises(InputError, match="one size"):
        list(activations(conv_network(), "0", [torch.rand(2, 1, 16, 16), torch.rand(2, 1, 8, 8)]))
