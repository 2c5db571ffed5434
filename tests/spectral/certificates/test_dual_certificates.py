"""Radii of dense networks by multipliers of all that holds around an image, and in the box."""

import itertools

import pytest
import torch
from torch import Tensor, nn

from intriguing import Certificates, InputError, minimum_distortion
from intriguing import certify as certify_as_asked

ACTIVATIONS = {
    "relu": nn.ReLU(), "leaky": nn.LeakyReLU(0.2), "falling": nn.LeakyReLU(-0.5),
    "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "softplus": nn.Softplus(beta=3.0),
    "gelu": nn.GELU(), "silu": nn.SiLU(), "mish": nn.Mish(), "softsign": nn.Softsign(),
}  # fmt: skip
WORDS = "multipliers"


def certify(*asked: object, **settings: object) -> Certificates:
    return certify_as_asked(*asked, multipliers=True, **settings)  # type: ignore[arg-type]


def chain(name: str, *sizes: int, gain: float = 2.5) -> nn.Sequential:
    """Dense layers of these sizes, with weights larger than usual."""
    torch.manual_seed(len(name) + sum(sizes))
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), ACTIVATIONS[name]]
    net = nn.Sequential(*layers[:-1]).eval()
    for parameter in net.parameters():
        parameter.data.mul_(gain)
    return net


def predicted(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return net(images).argmax(1)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_no_image_of_a_grid_inside_the_radius_is_classified_otherwise(name: str) -> None:
    """Two pixels: every point of the ball and the box is looked at, 300 by 300."""
    net, images = chain(name, 2, 7, 5, 3), torch.rand(2, 2)[:1]
    labels = predicted(net, images)
    proved = certify(net, images, labels)
    assert WORDS in proved.formula
    axis = torch.linspace(0, 1, 301)
    grid = torch.cartesian_prod(axis, axis)
    away = torch.cdist(images, grid)
    other = predicted(net, grid)[None] != labels[:, None]
    assert not ((away < proved.radius[:, None]) & other).any()
    assert (
        proved.radius >= certify_as_asked(net, images, labels, local=False).radius * (1 - 1e-6)
    ).all()


@pytest.mark.parametrize("name", ["relu", "leaky", "tanh", "gelu"])
def test_it_comes_near_to_what_a_search_finds(name: str) -> None:
    net, images = chain(name, 12, 10, 8, 3), torch.rand(4, 12)[:3]
    labels = predicted(net, images)
    found = minimum_distortion(net, images, labels, "untargeted", budget=300)
    known = found.success
    assert known.sum() >= 2
    ratio = (certify(net, images, labels).radius / found.l2)[known]
    before = (certify_as_asked(net, images, labels, local=False).radius / found.l2)[known]
    assert (ratio <= 1 + 1e-6).all()
    assert ratio.median() > 0.85  # Adam alone, and a coarser proof, end below
    assert ratio.median() > 1.2 * before.median()


def test_what_lies_outside_the_box_is_no_example() -> None:
    """The boundary lies at −.1 of the first pixel, and within the box at .5 of the second."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).eval()
    with torch.no_grad():
        net[1].weight.copy_(torch.tensor([[-10.0, 0.0], [0.0, 2.0]]))
        net[1].bias.zero_()
        net[3].weight.copy_(torch.tensor([[-1.0, -1.0], [0.0, 0.0]]))
        net[3].bias.copy_(torch.tensor([1.0, 0.0]))
    at = torch.zeros(1, 2)
    labels = torch.zeros(1, dtype=torch.long)
    assert float(certify(net, at, labels).radius) == pytest.approx(0.5, rel=0.02)
    wide = certify(net, at, labels, box=(-1.0, 1.0)).radius
    assert float(wide) <= 0.1


@pytest.mark.parametrize("scale", [1e-20, 1e8, 1e20])
@pytest.mark.parametrize("name", ["relu", "leaky"])
def test_weights_of_any_size(name: str, scale: float) -> None:
    """Straight through 0, a layer made larger and the next smaller give the same function."""
    net, images = chain(name, 12, 10, 8, 3), torch.rand(3, 12)[:1]
    labels = predicted(net, images)
    found = minimum_distortion(net, images, labels, "untargeted", budget=300)
    net = net.double()
    with torch.no_grad():
        net[1].weight.mul_(scale)
        net[1].bias.mul_(scale)
        net[3].weight.div_(scale)
    proved = certify(net, images.double(), labels)
    assert proved.radius.isfinite().all()
    assert (proved.radius <= found.l2 * (1 + 1e-6))[found.success].all()


def test_logits_that_are_nearly_equal_have_no_radius() -> None:
    net, images = chain("relu", 12, 10, 3), torch.rand(3, 12)
    with torch.no_grad():
        net[3].weight[1] = net[3].weight[0]
        net[3].bias[1] = net[3].bias[0] - 1e-9
        net[3].bias[2] -= 100
    labels = torch.zeros(3, dtype=torch.long)
    assert (certify(net, images, labels).radius == 0).all()


def test_seconds_are_what_bounds_around_an_image_may_take() -> None:
    net, images = chain("relu", 12, 10, 8, 3), torch.rand(4, 12)[:1]
    labels = predicted(net, images)
    plain, tight, ample = (
        certify_as_asked(net, images, labels, **settings).radius
        for settings in ({}, {"seconds": 1e-9}, {"seconds": 30.0})
    )
    assert torch.equal(tight, plain)  # no ball is tried
    # With a time, ends of what enters later layers are made nearer, too.
    assert (ample >= certify(net, images, labels).radius).all()
    assert (ample >= plain).all()
    assert (ample > 1.01 * plain).any()
    for settings in ({"seconds": 0.0}, {"seconds": 1.0, "local": False}):
        with pytest.raises(InputError, match="seconds"):
            certify_as_asked(net, images, labels, **settings)


@pytest.mark.parametrize("without", ["local", "semidefinite"])
def test_multipliers_are_not_left_out_in_silence(without: str) -> None:
    net, images = chain("relu", 4, 3, 2), torch.rand(1, 4)
    with pytest.raises(InputError, match=f"leave out .*{without}=False"):
        certify(net, images, predicted(net, images), **{without: False})
