"""Logits times a constant decide as before: the same distances, or a finding where that is lost."""

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
FREE_OF_SCALE = ("closest", "fmn", "deepfool", "noise")
BUDGETS = {
    "closest": 100,
    "fmn": 40,
    "deepfool": 60,
    "noise": 24,
    "ddn": 60,
    "pdgd": 200,
    "cw": 270,
}


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
def at(method, factor, targets="untargeted", levels=None, budget=None):
    images, labels = digits()
    if method == "paper":
        targets = (labels + 1) % 10
    budget = budget or BUDGETS.get(method)
    model = Times(digit_network(), factor).eval()
    return it.minimum_distortion(
        model, images, labels, targets, method, levels=levels, budget=budget
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


@pytest.mark.parametrize("method", ["closest", "fmn", "noise"])
def test_two_classes_whose_logits_vanish_at_the_boundary_are_not_left_to_rounding(method):
    """There max|logit| says nothing of the sums that gave it: an answer has to stand all the same.

    The images lie so near the boundary that their own logits are rounding, too.
    """
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(1, 400, generator=generator)
    x = 0.2 + 0.6 * torch.rand(12, 400, generator=generator)
    for _ in range(3):  # onto the boundary
        x = x - (x - 0.5) @ weight.T / weight.square().sum() * weight
    x = (x + 1e-7 * torch.sign(weight)).clamp(0, 1)

    class Mirrored(nn.Module):
        def forward(self, z):
            g = torch.relu((z - 0.5) @ weight.T + 50) - 50
            return torch.cat((g, -g), 1)

    model = Mirrored().eval()
    labels = model(x).argmax(1)
    answer = it.minimum_distortion(model, x, labels, "untargeted", method, budget=40)
    found = answer.adversarial[answer.success].double()
    gap = ((found - 0.5) @ weight.T.double())[:, 0]
    assert answer.success.any()
    assert (torch.where(labels[answer.success] == 0, -gap, gap) > 0).all()


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
