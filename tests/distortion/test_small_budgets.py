"""method="closest" where few passes are allowed: answers at once, no longer than a peer's."""

import functools
import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing.distortion import closest, rounds, schedule, start
from intriguing.distortion.incumbent import BUDGETS
from tests.distortion.test_closest import kinked_network
from tests.oracles.networks import digit_network

NETWORKS = {"smooth": digit_network, "kinked": kinked_network}
COUNT = 24


@functools.cache
def asked(name):
    """A network, images, and the labels that it gives them."""
    images = it.load_data("mnist-5k").test.images[:COUNT]
    model = NETWORKS[name]()
    return model, images, model(images).argmax(1)


@functools.cache
def lengths(name, targets, method, budget):
    model, images, labels = asked(name)
    goal = (labels + 1) % 10 if targets == "targeted" else targets
    found = it.minimum_distortion(model, images, labels, goal, method, budget=budget)
    return found.l2


@pytest.mark.parametrize("name", NETWORKS)
def test_answers_from_six_passes_on(name):
    assert lengths(name, "untargeted", "closest", 6).isfinite().float().mean() > 0.9
    assert lengths(name, "untargeted", "closest", 16).isfinite().all()
    assert lengths(name, "targeted", "closest", 6).isfinite().float().mean() > 0.5
    assert lengths(name, "targeted", "closest", 40).isfinite().all()


@pytest.mark.parametrize("method", ["fmn", "ddn"])
@pytest.mark.parametrize("targets", ["untargeted", "targeted"])
@pytest.mark.parametrize("name", NETWORKS)
def test_no_longer_than_a_peer_at_equal_passes(name, targets, method):
    for budget in (10, 20, 40, 100):
        ours = lengths(name, targets, "closest", budget)
        peer = lengths(name, targets, method, budget)
        both = ours.isfinite() & peer.isfinite()
        assert ours.isfinite().sum() >= peer.isfinite().sum()
        assert ours[both].mean() <= 1.01 * peer[both].mean()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_first_hundred_passes_bring_nearly_everything(name):
    model, images, labels = asked(name)
    found = it.minimum_distortion(model, images, labels, "untargeted", budget=1000)
    at = found.curve[:, [BUDGETS.index(budget) for budget in (23, 91)]].mean(0)
    assert at[0] <= 1.05 * found.l2.mean()
    assert at[1] <= 1.04 * found.l2.mean()
    if name == "smooth":  # sequential steps come before the second path
        assert found.curve[:, BUDGETS.index(45)].mean() <= 1.02 * found.l2.mean()


class Thresholded(nn.Module):
    """Pixels below .3 count as black and above .7 as white: digits are flat nearly everywhere."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(((x - 0.3) / 0.4).clamp(0, 1))


def test_a_network_whose_gradients_vanish_is_fooled_in_sixty_passes():
    network, images, _ = asked("kinked")
    model = Thresholded(network).eval()
    images = (images > 0.5).float()  # no pixel has a gradient
    labels = model(images).argmax(1)
    ours = it.minimum_distortion(model, images, labels, "untargeted", budget=60)
    ddn = it.minimum_distortion(model, images, labels, "untargeted", "ddn", budget=200)
    assert ours.success.all()
    assert (ours.l2 / ddn.l2).mean() < 1


class Steep(nn.Module):
    """Every pixel behind a steep sigmoid: what is black or white hardly has a gradient."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, x):
        return self.network(torch.sigmoid(30 * (x - 0.5)))


def test_no_longer_than_a_peer_behind_steep_sigmoids():
    """1.017 of DDN's where all that came after two short paths was a polish."""
    network, images, _ = asked("kinked")
    images, model = images[:16], Steep(network).eval()
    labels = model(images).argmax(1)
    ours = it.minimum_distortion(model, images, labels, "untargeted", budget=100)
    ddn = it.minimum_distortion(model, images, labels, "untargeted", "ddn", budget=100)
    assert ours.success.all()
    both = ddn.success
    assert both.sum() > 8
    assert ours.l2[both].mean() <= 1.01 * ddn.l2[both].mean()


def test_saturated_pixels_have_paths_of_their_own(monkeypatch):
    """.97 of what the paths for other networks find there."""
    network, images, _ = asked("kinked")
    model = Steep(network).eval()
    labels = model(images).argmax(1)

    def mean():
        found = it.minimum_distortion(model, images, labels, "untargeted", budget=150)
        return found.l2.mean()

    ours = mean()
    monkeypatch.setattr(start, "_FEW", 0.0)
    assert ours <= 0.99 * mean()


class TwoSides(nn.Module):
    """One class on either side of x, 1 to the right and 3 to the left, along all pixels alike."""

    def forward(self, x):
        along = (x - 0.5).flatten(1).sum(1) / x[0].numel() ** 0.5
        other = torch.maximum(along - 1.0, -along - 3.0)
        return torch.stack((torch.zeros_like(other), other), 1)


def test_where_a_first_answer_lies_far_beyond_the_tangent_a_path_begins_at_x(monkeypatch):
    """The first answer is replaced by one on the wrong side."""
    images, first_answers = torch.full((3, 1, 8, 8), 0.5), start.first_answers

    def astray(batch, rows, at_x):
        first_answers(batch, rows, at_x)
        batch.best = type(batch.best)(batch.x, batch.best.budget)
        left = batch.x - 3.1 / batch.x.shape[1] ** 0.5
        margin = torch.full((len(left),), 0.1)
        batch.best.offer(left, margin)
        return start.Slope(margin, torch.full_like(left, -1.0 / left.shape[1] ** 0.5))

    monkeypatch.setattr(closest, "first_answers", astray)
    monkeypatch.setattr(closest, "try_steps", lambda *_: None)

    def found():
        labels = torch.zeros(3, dtype=torch.long)
        made = it.minimum_distortion(TwoSides().eval(), images, labels, labels + 1, budget=30)
        return made.l2

    assert (found() < 1.01).all()
    monkeypatch.setattr(start, "_BEYOND", math.inf)
    assert (found() > 2.9).all()


class OneMore(nn.Module):
    """Five classes of a network, and one that looks hopeless: one black pixel at .75 brings it.

    Its logit rises evenly with the pixel, or at first so steeply that a tangent promises the
    boundary a hundred times nearer than it is, and each of six further ones a little less so.
    """

    def __init__(self, network, even):
        super().__init__()
        self.network, self.even = network, even

    def forward(self, x):
        logits, pixel = self.network(x)[:, :5], x[:, 0, 0, 0] / 0.75
        risen = pixel if self.even else torch.log1p(pixel * math.expm1(7)) / 7
        unlikely = logits.amax(1) - 30 + 30 * risen
        return torch.cat((logits, unlikely[:, None]), 1)


@pytest.mark.parametrize("even", [True, False])
def test_a_near_class_that_looks_unlikely_is_found_before_any_round(even):
    network, images, _ = asked("kinked")
    model = OneMore(network, even).eval()
    assert (images[:, 0, 0, 0] == 0).all()
    found = it.minimum_distortion(model, images, model(images).argmax(1), "untargeted", budget=140)
    at_first, soon = found.curve[:, BUDGETS.index(16)], found.curve[:, BUDGETS.index(91)]
    assert (at_first > 0.8).sum() > 12
    assert (soon < 0.76).all()
    assert (found.l2 < 0.7505).all()
    assert not ((found.per_class > 1e30) & found.per_class.isfinite()).any()


@pytest.mark.parametrize("budget", [12, 40, 200])
def test_lengths_follow_the_size_of_the_pixels(budget):
    class Divided(nn.Module):
        def forward(self, x):
            return network(x / 256)

    network, images, labels = asked("kinked")
    one = it.minimum_distortion(network, images, labels, "untargeted", budget=budget)
    other = it.minimum_distortion(
        Divided().eval(), 256 * images, labels, "untargeted", box=(0, 256), budget=budget
    )
    assert torch.equal(one.success, other.success)
    ratio = other.l2 / one.l2 / 256
    assert ratio.median() == pytest.approx(1, abs=1e-5)
    assert ratio.mean() == pytest.approx(1, abs=2e-3)


def test_the_network_is_not_asked_about_images_past_their_budget():
    """Rows that it sees, filled up to 16, beside passes: 1.64 where all waited for the last one."""
    images = it.load_data("mnist-5k").test.images[:40]
    model, seen = kinked_network(), []
    labels = model(images).argmax(1)
    model.register_forward_hook(lambda _, given, __: seen.append(len(given[0])))
    found = it.minimum_distortion(model, images, labels, "untargeted", budget=150)
    assert sum(seen) <= 1.55 * int(found.passes.sum())


def test_no_image_is_asked_about_more_often_than_is_counted():
    """Each point once, since copies fill a group up; looks at the network come before.

    Without the copies in their place, 64 times more often of those that had spent their budget.
    """
    images = it.load_data("mnist-5k").test.images[:16]
    model, seen = kinked_network(), torch.zeros(16)
    labels = model(images).argmax(1)

    def count(_, given, __):
        points = torch.unique(given[0].detach().flatten(1), dim=0)
        nearest = torch.cdist(points.float(), images.flatten(1)).argmin(1)
        seen.add_(torch.bincount(nearest, minlength=16))

    hook = model.register_forward_hook(count)
    found = it.minimum_distortion(model, images, labels, "untargeted", budget=200)
    hook.remove()
    assert (seen - found.forward_passes).max() <= 8


def test_one_long_path_stands_for_two_short_ones_where_gradients_say_little():
    rows = torch.arange(5)
    batch = SimpleNamespace(
        width=1,
        saturated=torch.tensor([False, True, False, False, False]),
        strayed=torch.tensor([False, False, True, False, True]),
        spread=torch.tensor([0.0, 0.05, 0.0, 0.0, 0.1]),
        flat=torch.tensor([False, False, False, True, False]),
    )
    taken = [
        [(some.tolist(), plan) for some, plan in rounds._planned(batch, rows, number)]
        for number in range(3)
    ]
    first, second, third, *_ = schedule.SCHEDULE
    assert taken[0] == [([0, 4], first), ([1, 2, 3], schedule.WIDE)]
    assert taken[1] == [([0, 4], second)]
    assert taken[2] == [([0, 1, 2, 3, 4], third)]
    assert schedule.WIDE.steps == first.steps + second.steps
