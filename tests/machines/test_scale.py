"""Logits times a constant decide as before: the same distances, or a finding where that is lost."""

import copy
import functools

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing.distortion.methods import METHODS
from intriguing.distortion.within import strongest_within
from tests.oracles.networks import digit_network

COUNT = 5
# What each does is defined by margins alone; the others' softmax, or constants, know a size.
FREE_OF_SCALE = ("closest", "fmn", "deepfool", "noise", "apgd", "superdeepfool", "square")
BUDGETS = {"closest": 100, "fmn": 40, "deepfool": 60, "noise": 24, "ddn": 60, "pdgd": 300}
BUDGETS |= {"cw": 270, "paper": None, "alma": 100, "apgd": 100, "superdeepfool": 40, "square": 60}


class Times(nn.Module):
    def __init__(self, network, factor, offset=0.0):
        super().__init__()
        self.network, self.factor, self.offset = network, factor, offset

    def forward(self, x):
        return self.factor * self.network(x) + self.offset


@functools.cache
def digits():
    images = it.load_data("mnist-5k").test.images[:COUNT]
    return images, digit_network()(images).argmax(1)


@functools.cache
def at(method, factor, targets="untargeted", levels=None):
    images, labels = digits()
    if method == "paper":
        targets = (labels + 1) % 10
    model = Times(digit_network(), factor).eval()
    return it.minimum_distortion(
        model, images, labels, targets, method, levels=levels, budget=BUDGETS[method]
    )


@pytest.mark.parametrize("targets", ["untargeted", "random"])
@pytest.mark.parametrize("method", FREE_OF_SCALE)
def test_powers_of_two_change_no_bit(method, targets):
    one = at(method, 1.0, targets)
    for factor in (2.0**-40, 2.0**-27, 2.0**40):
        other = at(method, factor, targets)
        assert torch.equal(other.l2, one.l2)
        assert torch.equal(other.adversarial.nan_to_num(), one.adversarial.nan_to_num())
        assert torch.equal(other.passes, one.passes)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("factor", [1e-12, 1e-8, 1e-6, 1e6, 1e12])
def test_distances_are_those_of_scale_one(method, factor):
    one, other = at(method, 1.0), at(method, factor)
    assert torch.equal(other.success, one.success)
    ratio = (other.l2 / one.l2)[one.success]
    if method in FREE_OF_SCALE:
        assert ratio.median() == pytest.approx(1, abs=1e-4)
        assert ratio.mean() == pytest.approx(1, abs=5e-3)
    else:
        assert ratio.mean() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("factor", [2.0**-40, 2.0**40])
def test_eight_bits_are_repaired_and_trimmed_alike(factor):
    one, other = (at("fmn", f, levels=256) for f in (1.0, factor))
    assert torch.equal(one.adversarial, other.adversarial)


@pytest.mark.parametrize("factor", [2.0**-60, 2.0**60])
def test_an_affine_network_is_proved_alike(factor):
    images, _ = digits()
    network = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        network[1].weight.normal_(0, 0.1)
        labels = network(images).argmax(1)
        one = it.minimum_distortion(network.eval(), images, labels, "untargeted")
        network[1].weight *= factor
        network[1].bias *= factor
    other = it.minimum_distortion(network, images, labels, "untargeted")
    assert (one.status == int(it.Status.OPTIMAL)).all()
    assert torch.equal(one.status, other.status)
    assert torch.equal(one.l2, other.l2)


@pytest.mark.parametrize("factor", [1e-12, 1e12])
def test_certificates_and_worst_images_are_those_of_scale_one(factor):
    images, labels = digits()
    one, model = digit_network(), Times(digit_network(), factor).eval()
    mine, same = (it.certify(m, images, labels, semidefinite=False) for m in (model, one))
    torch.testing.assert_close(mine.radius, same.radius, rtol=1e-4, atol=0)
    worst = [strongest_within(m, images, labels, 1.0) for m in (model, one)]
    margins = [one(w).softmax(1).gather(1, labels[:, None]) for w in worst]
    torch.testing.assert_close(margins[0], margins[1], rtol=0.1, atol=1e-3)


class Halves(nn.Module):
    """Two classes with opposite logits: at the boundary both vanish, whatever was added up."""

    def __init__(self):
        super().__init__()
        self.margin = nn.Sequential(
            *(nn.Flatten(), nn.Linear(784, 100), nn.ReLU()),
            *(nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 1)),
        )

    def forward(self, x):
        return torch.cat((self.margin(x), -self.margin(x)), 1)


def test_two_classes_whose_logits_vanish_at_the_boundary_are_not_left_to_rounding():
    """There an image's logits do not say what rounding may take; an answer stands all the same."""
    data = it.load_data("mnist-5k")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Halves()
    optimiser = torch.optim.Adam(model.parameters(), 2e-3)
    for rows in torch.arange(4000).view(40, 100).repeat(3, 1):
        optimiser.zero_grad()
        truth = (data.train.labels[rows] > 4).long()
        nn.functional.cross_entropy(model(data.train.images[rows]), truth).backward()
        optimiser.step()
    exact = copy.deepcopy(model.eval().requires_grad_(False)).double()
    some = data.test.images[:100].double()
    given = exact(some).argmax(1)
    here, there = some[given == 0][:40], some[given == 1][:40]
    low, high = torch.zeros(40, 1, 1, 1).double(), torch.ones(40, 1, 1, 1).double()
    for _ in range(50):
        middle = (low + high) / 2
        side = exact(here + middle * (there - here)).argmax(1).view(-1, 1, 1, 1) == 0
        low, high = torch.where(side, middle, low), torch.where(side, high, middle)
    for near in (1e-3, 1e-4, 1e-5):
        x = (here + (low - near).clamp_min(0) * (there - here)).float()
        labels = model(x).argmax(1)
        for method in ("closest", "fmn"):
            answer = it.minimum_distortion(model, x, labels, "untargeted", method, budget=40)
            found, truth = answer.adversarial[answer.success], labels[answer.success]
            assert answer.success.float().mean() > 0.9
            assert (exact(found.double()).argmax(1) != truth).all()
            assert (torch.cat([model(one[None]) for one in found]).argmax(1) != truth).all()


def test_preflight_names_unusual_logits_and_offsets():
    images, _ = digits()

    def names(factor, offset=0.0):
        model = Times(digit_network(), factor, offset).eval()
        return {finding.name for finding in it.preflight(model, images)}

    assert not names(1.0) & {"unusual logits", "logits far from 0"}
    for factor in (1e-12, 1e-6, 1e6, 1e12):
        assert "unusual logits" in names(factor)
    assert "logits far from 0" in names(1.0, 1e4)
    assert "logits far from 0" in names(1e-6, 1.0)
    assert "logits far from 0" not in names(1.0, 10.0)
