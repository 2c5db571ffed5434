"""The part above a place: the same logits, the same weights, nothing of what lies below."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.hardening.above import _Replaced, network_above
from intriguing.hardening.places import find_place
from intriguing.models.families.convolutional import Convolutional
from intriguing.models.families.fully_connected import FullyConnected


class Untraceable(nn.Module):
    """What comes of an image decides which way it goes: no tracer follows that."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(6, 5), nn.Linear(5, 5), nn.Linear(5, 3)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.one(x))
        hidden = self.two(hidden) if float(hidden.sum()) > -1 else hidden
        return self.last(torch.tanh(hidden))


class Shortcut(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two, self.last = nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        block = x + self.two(functional.relu(self.one(x)))
        return self.last(functional.relu(block))


class Sized(nn.Module):
    """Asks an image's shape for its own batch size, as much of the world's code does."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.last = nn.Conv2d(1, 2, 3), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        features = functional.relu(self.one(x))
        return self.last(features.view(x.size(0), -1))


SIGMOID, RELU = FullyConnected((6, 5, 4, 3)), FullyConnected((6, 5, 4, 3), "relu")
CASES = [
    (SIGMOID, "1", (6,), (0, 1)),
    (SIGMOID, "2", (6,), (0, 1)),
    (SIGMOID, "layers.1", (6,), (-math.inf, math.inf)),
    (RELU, "2", (6,), (0, math.inf)),
    (FullyConnected((6, 5, 3), "tanh"), "1", (6,), (-1, 1)),
    (Convolutional((3, 4), 6, 3, (1, 8, 8)), "1", (1, 8, 8), (0, math.inf)),
    (Convolutional((3, 4), 6, 3, (1, 8, 8)), "3", (1, 8, 8), (0, math.inf)),
    (Convolutional((3, 4), 6, 3, (1, 8, 8)), "conv2", (1, 8, 8), (-math.inf, math.inf)),
    (nn.Sequential(nn.Linear(6, 4), nn.Hardtanh(-2, 3), nn.Linear(4, 3)), "1", (6,), (-2, 3)),
    (Untraceable(), "two:input", (6,), (-math.inf, math.inf)),
    (Untraceable(), "last:input", (6,), (-math.inf, math.inf)),
    (Shortcut(), "last:input", (6,), (0, math.inf)),
    (Sized(), "1", (1, 4, 4), (0, math.inf)),
    (Sized(), "one", (1, 4, 4), (-math.inf, math.inf)),
]


@pytest.mark.parametrize(("model", "layer", "shape", "limits"), CASES)
def test_it_gives_the_logits_of_the_whole(
    model: nn.Module, layer: str, shape: tuple[int, ...], limits: tuple[float, float]
) -> None:
    model.eval()
    images = torch.rand(9, *shape)
    place = find_place(model, layer)
    above, found = network_above(model, place, images)
    seen: list[Tensor] = []
    module = model.get_submodule(place.removesuffix(":input"))
    handle = (
        module.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
        if place.endswith(":input")
        else module.register_forward_hook(lambda _, given, out: seen.append(out))
    )
    logits = model(images)
    handle.remove()
    torch.testing.assert_close(above(seen[0].detach()), logits)
    assert (found.lower, found.upper) == limits
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_what_lies_below_is_neither_run_nor_trained() -> None:
    model = FullyConnected((6, 5, 4, 3)).eval()
    above, _ = network_above(model, "layers.1:input", torch.rand(4, 6))
    model.layers[0].register_forward_hook(lambda *_: pytest.fail("ran below the place"))
    above(torch.rand(2, 5)).sum().backward()
    assert model.layers[0].weight.grad is None
    assert model.layers[1].weight.grad is not None  # the very weights, no copy


def test_a_blank_image_stands_in_where_nothing_can_be_traced() -> None:
    model = Untraceable().eval()
    above, _ = network_above(model, "two:input", torch.rand(4, 6))
    assert isinstance(above, _Replaced)
    above(torch.rand(2, 5)).sum().backward()
    assert model.one.weight.grad is None  # what it makes of the blank image is replaced
    assert model.two.weight.grad.any()


@pytest.mark.parametrize("layer", ["one", "two:input", "two"])
def test_a_shortcut_past_the_place_is_refused(layer: str) -> None:
    with pytest.raises(InputError, match="shortcut past it; choose a layer"):
        network_above(Shortcut().eval(), layer, torch.rand(4, 6))


def test_dropout_of_the_training_is_in_the_part_that_trains() -> None:
    class Dropping(FullyConnected):
        def forward(self, images: Tensor) -> Tensor:
            return functional.dropout(super().forward(images), 0.5, self.training)

    model = Dropping((6, 5, 3))
    above, _ = network_above(model.train(), "layers.1:input", torch.rand(4, 6))
    assert model.training
    assert (above(torch.rand(50, 5)) == 0).any()
    above, _ = network_above(model.eval(), "layers.1:input", torch.rand(4, 6))
    assert not (above(torch.rand(50, 5)) == 0).any()


def test_layers_that_do_not_exist_are_named() -> None:
    with pytest.raises(InputError, match="no hidden layer 3: the network has 2"):
        find_place(SIGMOID, "3")
    with pytest.raises(InputError, match=r"no layer 'fc9'; give input, a number, or a module's"):
        find_place(SIGMOID, "fc9")
