"""Groups of fewer images: only where images are rounded alike in every place of every one."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from intriguing import minimum_distortion
from intriguing.errors import InputError
from intriguing.models import small_groups
from intriguing.models.classifier import Classifier
from intriguing.models.groups import Sizes, in_groups
from intriguing.models.small_groups import Convolutions, tried_sizes

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


class _BySize(nn.Module):
    """Rounds groups of five otherwise than larger and smaller ones."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        answer = self.network(x)
        return answer * (1 + 2**-22) if len(x) == 5 else answer


def test_large_convolutions_go_by_eight():
    net = large_network()
    sizes = tried_sizes(net, net, torch.zeros(0, *_IMAGE))
    assert sizes.most == 8
    assert 4 <= sizes.least <= 8
    assert Classifier.of(net).sizes(torch.zeros(2, *_IMAGE)) == sizes


def test_no_group_is_as_small_as_one_that_is_rounded_otherwise():
    net = _BySize(large_network()).eval()
    assert tried_sizes(net, net, torch.zeros(0, *_IMAGE)).least > 5


@given(most=st.sampled_from((1, 8, 16, 32)), least=st.integers(1, 16), count=st.integers(0, 70))
def test_groups_hold_all_images_and_little_else(most, least, count):
    sizes = Sizes(most, min(most, least))
    groups = sizes.of(count)
    assert all(sizes.least <= group <= most for group in groups)
    assert count <= sum(groups) <= max(count, -(-count // most) * most)
    if count >= sizes.least and 2 * sizes.least <= most + 1:
        assert sum(groups) == count


def test_every_image_has_its_own_answer():
    """Also where the last images share two groups."""
    sizes, asked = Sizes(8, 4), []

    def ask(x: Tensor) -> Tensor:
        asked.append(len(x))
        return 2 * x

    for count in range(1, 20):
        images = torch.arange(float(count))[:, None]
        assert torch.equal(in_groups(ask, images, sizes), 2 * images)
    assert set(asked) == {4, 5, 6, 7, 8}


@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 11, 13])
def test_answers_and_gradients_are_the_same_bits_among_any_number(count):
    net = large_network()
    ask = Classifier.of(net)
    images = torch.rand(16, *_IMAGE, generator=torch.Generator().manual_seed(3))

    def slope(x: Tensor) -> tuple[Tensor, Tensor]:
        x = x.clone().requires_grad_()
        answer = ask.each(x)
        return answer.detach(), torch.autograd.grad(answer.square().sum(), x)[0]

    for here, among in zip(slope(images[-count:]), slope(images), strict=True):
        assert torch.equal(here, among[-count:])


def test_what_they_multiply_is_counted():
    net = large_network()
    with torch.no_grad(), Convolutions() as seen:
        net(torch.zeros(1, *_IMAGE))
    first, second = 48 * 3 * 9 * 256, 48 * 48 * 9 * 256
    assert seen.work == (first + second) / 2
    assert not seen.others


@pytest.mark.parametrize("net", [large_network(nn.Sigmoid()), _ByPlace(large_network()).eval()])
def test_others_do_not(net):
    """Last values rounded otherwise, and places."""
    assert tried_sizes(net, net, torch.zeros(0, *_IMAGE)) == Sizes(16, 16)


@pytest.mark.parametrize(
    ("net", "most"), [(nn.Conv2d(3, 48, 3).eval(), 16), (large_network().double(), 8)]
)
def test_only_large_convolutions_go_by_eight(net, most):
    like = torch.zeros(0, *_IMAGE, dtype=next(net.parameters()).dtype)
    assert tried_sizes(net, net, like).most == most


def test_without_a_gradient_nothing_is_known():
    net = large_network()

    def ask(x: Tensor) -> Tensor:
        return net(x).detach()

    assert tried_sizes(net, ask, torch.zeros(0, *_IMAGE)) == Sizes(16, 16)


def test_what_fails_on_a_gray_image_says_nothing_of_others():
    net = large_network()

    def ask(x: Tensor) -> Tensor:
        if bool((x == 0.5).all()):
            raise InputError("no gray images")
        return net(x)

    assert tried_sizes(net, ask, torch.zeros(0, *_IMAGE)) == Sizes(16, 16)


def test_it_is_tried_once(monkeypatch):
    net, tried = large_network(), []
    least = small_groups._least
    monkeypatch.setattr(small_groups, "_least", lambda *args: tried.append(0) or least(*args))
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
    """Of one image: the smallest group a pass, where sixteen rows are searched."""
    asked = _Asked(large_network()).eval()
    image = torch.rand(1, *_IMAGE, generator=torch.Generator().manual_seed(2))
    label = asked(image).argmax(1)
    least = Classifier.of(asked).sizes(image).least
    asked.images, asked.sizes = 0, set()
    found = minimum_distortion(asked, image, label, "untargeted", budget=60)
    assert asked.sizes <= {1, least}
    assert asked.images <= least * (60 + 10)
    assert bool(found.success)
