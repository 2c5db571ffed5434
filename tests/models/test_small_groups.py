"""Groups of large convolutions: only where every place of a group rounds alike."""

import pytest
import torch
from torch import Tensor, nn

from intriguing import minimum_distortion
from intriguing.errors import InputError
from intriguing.models import small_groups
from intriguing.models.classifier import Classifier
from intriguing.models.small_groups import Convolutions, tried_size

_IMAGE = (3, 16, 16)


def large_network(*last: nn.Module) -> nn.Sequential:
    """A network of large convolutions."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 48, 3, padding=1), nn.ReLU(), nn.Conv2d(48, 48, 3, padding=1)]
    head = [nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(192, 5)]
    return nn.Sequential(*layers, *head, *last).eval()


class _Asked(nn.Module):
    """Counts the images that it is asked about."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network, self.images, self.sizes = network, 0, set[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.images += len(x)
        self.sizes.add(len(x))
        return self.network(x)


class _ByPlace(nn.Module):
    """Rounds the first image of a group otherwise than the others."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        answer = self.network(x)
        return torch.cat((answer[:1] * (1 + 2**-22), answer[1:]))


def test_large_convolutions_go_by_eight():
    net = large_network()
    assert tried_size(net, net, torch.zeros(0, *_IMAGE)) == 8
    assert Classifier.of(net).group(torch.zeros(2, *_IMAGE)) == 8


def test_what_they_multiply_is_counted():
    net = large_network()
    with torch.no_grad(), Convolutions() as seen:
        net(torch.zeros(1, *_IMAGE))
    first, second = 48 * 3 * 9 * 256, 48 * 48 * 9 * 256
    assert seen.work == (first + second) / 2
    assert not seen.others


@pytest.mark.parametrize(
    "net",
    [
        large_network(nn.Sigmoid()),
        _ByPlace(large_network()),
        nn.Conv2d(3, 48, 3),
        large_network().double(),
    ],
)
def test_others_do_not(net):
    """Last values rounded otherwise, places rounded otherwise, and small convolutions."""
    like = torch.zeros(0, *_IMAGE, dtype=next(net.parameters()).dtype)
    double = like.dtype == torch.float64
    assert tried_size(net.eval(), net, like) == (8 if double else 16)


def test_without_a_gradient_nothing_is_known():
    net = large_network()

    def ask(x: Tensor) -> Tensor:
        return net(x).detach()

    assert tried_size(net, ask, torch.zeros(0, *_IMAGE)) == 16


def test_what_fails_on_a_gray_image_says_nothing_of_others():
    net = large_network()

    def ask(x: Tensor) -> Tensor:
        if bool((x == 0.5).all()):
            raise InputError("no gray images")
        return net(x)

    assert tried_size(net, ask, torch.zeros(0, *_IMAGE)) == 16


def test_it_is_tried_once(monkeypatch):
    net, tried = large_network(), []
    alike = small_groups._alike
    monkeypatch.setattr(small_groups, "_alike", lambda *args: tried.append(0) or alike(*args))
    for _ in range(3):
        assert Classifier.of(net).group(torch.zeros(0, *_IMAGE)) == 8
    assert len(tried) == 1


def test_another_part_is_another_network():
    net, like = large_network(), torch.zeros(0, *_IMAGE)
    assert Classifier.of(net).group(like) == 8
    net.append(nn.Sigmoid())
    assert Classifier.of(net.eval()).group(like) == 16


@pytest.mark.parametrize("targets", ["untargeted", "random"])
def test_an_image_is_searched_alone_as_among_others(targets):
    net = large_network()
    images = torch.rand(5, *_IMAGE, generator=torch.Generator().manual_seed(1))
    labels = net(images).argmax(1)
    chosen = (labels + 1) % 5 if targets == "random" else targets
    found = minimum_distortion(net, images, labels, chosen, budget=60)
    for i in (0, 3):
        one = slice(i, i + 1)
        goal = chosen[one] if targets == "random" else targets
        alone = minimum_distortion(net, images[one], labels[one], goal, budget=60)
        assert torch.equal(alone.adversarial[0], found.adversarial[i])


def test_copies_are_not_asked_about():
    """Of one image: a group of eight a pass, where sixteen rows are searched."""
    asked = _Asked(large_network()).eval()
    image = torch.rand(1, *_IMAGE, generator=torch.Generator().manual_seed(2))
    label = asked(image).argmax(1)
    Classifier.of(asked).group(image)
    asked.images, asked.sizes = 0, set()
    found = minimum_distortion(asked, image, label, "untargeted", budget=60)
    assert asked.sizes <= {1, 8}
    assert asked.images <= 8 * (60 + 10)
    assert bool(found.success)
