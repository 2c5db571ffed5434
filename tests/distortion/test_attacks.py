"""The other methods of the field, each against what can be known without it."""

import copy
import functools

import numpy as np
import piqp
import pytest
import torch
from torch import nn

from intriguing.data.named import load_data
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.methods import ATTACKS
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.targets import choose_targets
from intriguing.measures import UNIT_BOX, Box, l2
from tests.oracles.networks import digit_network, hyperplane_distance, linear

DOUBLE = torch.float64
BUDGETS = {"ddn": 300, "pdgd": 500, "fmn": 300, "cw": 900, "deepfool": 250, "noise": 50}
BUDGETS |= {"alma": 300, "apgd": 300, "superdeepfool": 100, "square": 1000}
DRAWN = ("noise", "square")
GRADIENT = [name for name in BUDGETS if name not in DRAWN]

every = pytest.mark.parametrize("name", BUDGETS)
every_gradient = pytest.mark.parametrize("name", GRADIENT)
either_goal = pytest.mark.parametrize("targeted", [True, False])


def search(name, model, x, goal, box=UNIT_BOX, budget=None, seed=0):
    network = Network(model.eval(), tuple(x.shape[1:]))
    attack, _ = ATTACKS[name]
    return attack(network.logits, goal, x.flatten(1), box, budget or BUDGETS[name], seed)


@functools.cache
def known_digits():
    """Images that the network knows, as the caller hands over no others."""
    data = load_data("mnist-5k").test.first(24)
    known = digit_network()(data.images).argmax(1) == data.labels
    return data.images[known], data.labels[known]


@pytest.fixture
def digits():
    return known_digits()


@functools.cache
def answer(name, targeted):
    images, labels = known_digits()
    return search(name, digit_network(), images, goal_for(labels, targeted))


def goal_for(labels, targeted):
    if not targeted:
        return Goal(labels, targeted=False)
    return Goal(choose_targets(labels, 10, torch.Generator().manual_seed(1)))


def test_every_method_is_registered_and_tested():
    assert set(ATTACKS) == set(BUDGETS)


@either_goal
@pytest.mark.parametrize(
    ("name", "budget", "most"),
    [
        ("ddn", 300, 1.002),
        ("pdgd", 500, 1.01),
        ("fmn", 300, 1.001),
        ("cw", 2700, 1.03),
        ("deepfool", 2, 1.021),
        ("alma", 300, 1.01),
        ("apgd", 300, 1.01),
        ("superdeepfool", 20, 1.002),
        ("square", 1000, 6),
    ],
)
def test_two_classes_give_the_distance_to_the_hyperplane(name, budget, most, targeted):
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 50, generator=generator, dtype=DOUBLE)
    x = 0.3 + 0.4 * torch.rand(40, 50, generator=generator, dtype=DOUBLE)
    normal = weight[1] - weight[0]
    bias = torch.stack((normal.new_zeros(()), -0.5 * normal.sum() - 0.5 * normal.norm()))
    labels = torch.zeros(40, dtype=torch.long)
    goal = Goal(1 - labels) if targeted else Goal(labels, targeted=False)
    best = search(name, linear(weight, bias), x, goal, budget=budget)
    ratio = best.l2 / hyperplane_distance(weight, bias, x)
    found = best.l2.isfinite()
    assert found.all()
    assert ratio.min() >= 1 - 1e-9
    assert ratio[found].max() <= most


@either_goal
@pytest.mark.parametrize(
    ("name", "share", "most"),
    [
        ("ddn", 1, 1.1),
        ("pdgd", 1, 1.03),
        ("fmn", 1, 1.01),
        ("cw", 1, 1.4),
        ("deepfool", 1, 1.1),
        ("alma", 1, 1.1),
        ("apgd", 1, 1.1),
        ("superdeepfool", 1, 1.1),
        ("square", 1, 6),
        ("noise", 0.8, 5),
    ],
)
def test_never_below_the_exact_optimum_of_a_linear_network(name, share, most, targeted):
    """With bounds active the closest point is a QP's; how far above it a method ends is its own."""
    generator = torch.Generator().manual_seed(3)
    weight = torch.randn(5, 30, generator=generator, dtype=DOUBLE)
    bias = torch.randn(5, generator=generator, dtype=DOUBLE)
    x = torch.rand(8, 30, generator=generator, dtype=DOUBLE)
    model = linear(weight, bias)
    labels = model(x).argmax(1)
    targets = (labels + 1) % 5
    best = search(name, model, x, Goal(targets) if targeted else Goal(labels, targeted=False))
    exact = []
    for image, label, target in zip(x, labels.tolist(), targets.tolist(), strict=True):
        aims = [target] if targeted else [k for k in range(5) if k != label]
        exact.append(min(closest_by_qp(weight, bias, image, aim) for aim in aims))
    ratio = best.l2 / torch.tensor(exact, dtype=DOUBLE)
    found = best.l2.isfinite()
    assert ratio.min() > 1 - 1e-6
    assert found.double().mean() >= share
    assert ratio[found].mean() <= most


def closest_by_qp(weight, bias, x, target):
    others = [k for k in range(len(weight)) if k != target]
    solver = piqp.DenseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-10
    n = len(x)
    solver.setup(
        P=np.eye(n), c=-x.numpy(), G=(weight[others] - weight[target]).numpy(),
        h_u=(bias[target] - bias[others]).numpy(), x_l=np.zeros(n), x_u=np.ones(n),
    )  # fmt: skip
    status = solver.solve()
    if status != piqp.PIQP_SOLVED:
        return np.inf
    return float((torch.tensor(solver.result.x) - x).norm())


# Noise meets a given class by luck.
SHARES = {("noise", True): 0.2, ("noise", False): 0.9}


@either_goal
@every
def test_what_is_claimed_is_true_and_images_are_fooled(name, targeted, digits):
    images, labels = digits
    goal = goal_for(labels, targeted)
    best = answer(name, targeted)
    found = best.l2.isfinite()
    points = best.points.view(images.shape)
    assert found.double().mean() >= SHARES.get((name, targeted), 1)
    assert UNIT_BOX.contains(points)
    assert (goal.margin(digit_network()(points))[found] > 0).all()
    torch.testing.assert_close(best.l2[found], l2(images, points)[found])


@either_goal
def test_gradients_find_what_noise_of_the_same_size_does_not(targeted):
    """On a smooth network the iterative methods agree, and DeepFool comes near."""
    mean = {name: answer(name, targeted).l2.mean() for name in BUDGETS}
    best = min(mean.values())
    near = ("ddn", "pdgd", "cw", "fmn", "alma", "apgd")
    assert max(mean[name] for name in near) < 1.1 * best
    assert mean["superdeepfool"] < min(1.2 * best, mean["deepfool"])
    assert mean["deepfool"] < 1.4 * best
    assert mean["noise"] > 4 * best
    assert mean["square"] < mean["noise"]


@either_goal
@every
def test_neighbours_and_batch_size_do_not_matter(name, targeted, digits):
    images, labels = (tensor[:6] for tensor in digits)
    targets = goal_for(labels, True).classes if targeted else "untargeted"
    together, apart = (
        minimum_distortion(
            digit_network(), images, labels, targets, name, budget=100, batch_size=size
        )
        for size in (6, 1)
    )
    assert torch.equal(together.success, apart.success)
    assert (together.l2 - apart.l2).nan_to_num().abs().max() < 1e-5
    assert torch.equal(together.forward_passes, apart.forward_passes)
    assert torch.equal(together.backward_passes, apart.backward_passes)


@every
def test_the_same_call_gives_the_same_answer(name, digits):
    images, labels = digits
    goal = goal_for(labels, False)
    first, second = (search(name, digit_network(), images, goal, budget=40) for _ in range(2))
    assert torch.equal(first.points, second.points)
    assert torch.equal(first.curve, second.curve)
    other = search(name, digit_network(), images, goal, budget=40, seed=1)
    assert torch.equal(first.points, other.points) == (name not in DRAWN)


class Counting(nn.Module):
    """A network that counts the passes of its first row."""

    def __init__(self):
        super().__init__()
        self.network = digit_network()
        self.forwards = self.backwards = 0

    def forward(self, x):
        self.forwards += 1
        logits = self.network(x)
        if logits.requires_grad and x.requires_grad:
            x.register_hook(self.count)
        return logits

    def count(self, gradient):
        self.backwards += 1


@either_goal
@every
@pytest.mark.parametrize("budget", [1, 2, 10, 23])
def test_passes_are_counted_and_within_the_budget(name, targeted, budget, digits):
    image, label = digits[0][:1], digits[1][:1]
    model = Counting()
    best = search(name, model, image, goal_for(label, targeted), budget=budget)
    assert int(best.forward) == model.forwards
    assert best.forward + best.backward <= 2 * budget
    assert best.forward + best.backward > 0
    assert int(best.backward) == model.backwards


@either_goal
@every_gradient
def test_lengths_follow_the_width_of_the_box(name, targeted, digits):
    """Shown the same images in another unit, a method does the same."""
    images, labels = digits[0][:8].double(), digits[1][:8]
    model = copy.deepcopy(digit_network()).double()

    class Shifted(nn.Module):
        def forward(self, x):
            return model((x + 3) / 20)

    goal = goal_for(labels, targeted)
    here = search(name, model, images, goal, budget=60)
    there = search(name, Shifted(), 20 * images - 3, goal, Box(-3, 17), budget=60)
    assert Box(-3, 17).contains(there.points)
    torch.testing.assert_close(there.l2 / 20, here.l2, rtol=1e-3, atol=0)


class Hostile(nn.Module):
    """Ten classes of which some logits, or their gradients, are not to be had."""

    def __init__(self, kind):
        super().__init__()
        self.kind = kind

    def forward(self, x):
        flat = x.flatten(1)
        logits = 40 * flat[:, :10]
        if self.kind == "constant":
            return torch.arange(10.0).expand(len(x), 10)
        if self.kind == "flat":
            return 0 * logits + torch.arange(10.0)
        if self.kind == "saturated":
            return 1e4 * torch.tanh(1e3 * (logits - 20))
        if self.kind == "kink":  # the slope of the root at 0 is infinite, and 0·∞ is not a number
            return (logits - 20).clamp_min(0).sqrt() + 0 * logits
        return torch.where(flat.sum(1, keepdim=True) > 7.2, torch.nan, logits)


@either_goal
@every
@pytest.mark.parametrize("kind", ["constant", "flat", "saturated", "kink", "nan beyond"])
def test_hostile_networks_end_in_truth(name, kind, targeted):
    x = torch.rand(9, 14, generator=torch.Generator().manual_seed(0))
    x[0] = 0
    model = Hostile(kind)
    labels = model(x).argmax(1)
    goal = Goal((labels + 1) % 10) if targeted else Goal(labels, targeted=False)
    best = search(name, model, x, goal, budget=40)
    found = best.l2.isfinite()
    assert UNIT_BOX.contains(best.points)
    assert (goal.margin(model(best.points))[found] > 0).all()
    if kind in ("constant", "flat"):
        assert not found.any()


def test_nan_beyond_a_border_does_not_stop_a_search():
    """Of images whose way is free, a gradient method still finds those it would find anyway."""
    x = torch.rand(9, 14, generator=torch.Generator().manual_seed(1)) * 0.5
    model = Hostile("nan beyond")
    labels = model(x).argmax(1)
    for name in GRADIENT:
        best = search(name, model, x, Goal(labels, targeted=False), budget=300)
        assert best.l2.isfinite().all(), name


def test_a_vanished_gradient_does_not_hold_ddn_back():
    """The cross-entropy of a saturated network is flat; some direction is better than none."""

    class Step(nn.Module):
        def forward(self, x):
            far = (x.flatten(1) - 0.5).square().sum(1)
            return torch.stack((torch.zeros_like(far), 1e4 * (far - 0.1)), 1)

    x = torch.full((3, 20), 0.5)
    best = search("ddn", Step(), x, Goal(torch.zeros(3, dtype=torch.long), targeted=False))
    torch.testing.assert_close(best.l2, torch.full((3,), 0.1**0.5), rtol=1e-2, atol=0)


def test_what_is_offered_when_the_passes_are_spent_is_not_taken():
    images = torch.zeros(3, 4)
    best = Incumbent(images, budget=2)
    fooled = torch.ones(3)
    best.offer(images + 0.5, fooled, backward=torch.tensor([0, 1, 3]))
    better = best.offer(images + 0.25, fooled, backward=1)
    assert better.tolist() == [True, True, False]
    assert best.l2.tolist() == [0.5, 0.5, 1.0]
    assert not best.offer(images + 0.125, fooled).any()
    assert best.spent.tolist() == [3, 4, 4]
