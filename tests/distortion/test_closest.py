"""method="closest" against other searches, its promises about budgets, and hostile networks."""

import functools
import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from intriguing.data.named import load_data
from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.incumbent import BUDGETS
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Status
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from tests.oracles.networks import digit_network, linear

DOUBLE = torch.float64


@pytest.fixture(scope="module")
def digits():
    return load_data("mnist-5k").test.first(24)


@pytest.fixture(scope="module")
def targets(digits):
    return choose_targets(digits.labels, 10, torch.Generator().manual_seed(1))


@functools.cache
def kinked_network():
    """A small network of ReLUs and maximum pooling, fitted to 1,000 embedded digits."""
    data = load_data("mnist-5k").train.first(1000)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(
            nn.Conv2d(1, 4, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
            nn.Linear(144, 10),
        )  # fmt: skip
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(data.images), data.labels).backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


@functools.cache
def dense_network():
    """784-30-10 of ReLUs, fitted to 1,000 embedded digits."""
    data = load_data("mnist-5k").train.first(1000)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 10))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(30):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(data.images), data.labels).backward()
        optimiser.step()
    return model.eval().requires_grad_(False)


class Function(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x.flatten(1))


def test_smooth_network_below_every_other_method_in_few_passes(digits, targets):
    model = digit_network()
    ours = minimum_distortion(model, digits.images, digits.labels, targets, budget=64)
    assert ours.success.all()
    assert (ours.local_gap < 0.01).float().mean() > 0.9
    assert not (ours.status == int(Status.OPTIMAL)).any()
    assert ours.gap.isnan().all()
    for method, budget in (("paper", None), ("ddn", 300), ("pdgd", 300)):
        other = minimum_distortion(
            model, digits.images, digits.labels, targets, method, budget=budget
        )
        assert ours.l2.mean() < other.l2.mean()


@pytest.mark.parametrize("goal", ["targets", "untargeted"])
def test_network_with_kinks_below_ddn_at_equal_passes(digits, targets, goal):
    model = kinked_network()
    wanted = targets if goal == "targets" else "untargeted"
    labels = model(digits.images).argmax(1)
    if goal == "targets":
        wanted = torch.where(wanted == labels, (wanted + 1) % 10, wanted)
    ours = minimum_distortion(model, digits.images, labels, wanted, budget=400)
    ddn = minimum_distortion(model, digits.images, labels, wanted, "ddn", budget=400)
    assert ours.success.all()
    assert (ours.l2 / ddn.l2).mean() < 1


def test_answers_are_adversarial_and_in_the_box(digits, targets):
    for model, budget in ((digit_network(), 150), (kinked_network(), 150)):
        answer = minimum_distortion(model, digits.images, digits.labels, targets, budget=budget)
        found = answer.success
        assert (model(answer.adversarial[found]).argmax(1) == targets[found]).all()
        assert ((answer.adversarial[found] >= 0) & (answer.adversarial[found] <= 1)).all()
        assert (answer.passes <= budget + 2).all()


@pytest.mark.parametrize("network", [digit_network, kinked_network])
def test_alone_or_in_any_batch_the_same(digits, targets, network):
    model = network()
    few = digits.first(6)
    together, in_twos, alone = (
        minimum_distortion(model, few.images, few.labels, targets[:6], budget=200, batch_size=size)
        for size in (6, 2, 1)
    )
    for other in (in_twos, alone):
        torch.testing.assert_close(other.l2, together.l2, rtol=1e-5, atol=1e-6)
        assert (other.forward_passes == together.forward_passes).all()


def test_precision_of_the_network_changes_little(digits, targets):
    few = digits.first(8)
    single = minimum_distortion(digit_network(), few.images, few.labels, targets[:8], budget=200)
    double = minimum_distortion(
        digit_network(DOUBLE), few.images, few.labels, targets[:8], budget=200
    )
    torch.testing.assert_close(single.l2.double(), double.l2.double(), rtol=2e-4, atol=0)


@settings(max_examples=8, deadline=None)
@given(st.sets(st.integers(2, 500), min_size=2, max_size=3), st.booleans())
def test_more_budget_never_gives_a_longer_r(budgets, kinked):
    data = load_data("mnist-5k").test.first(3)
    model = kinked_network() if kinked else digit_network()
    goal = torch.tensor([(int(label) + 1) % 10 for label in data.labels])
    lengths = [
        minimum_distortion(model, data.images, data.labels, goal, budget=budget).l2
        for budget in sorted(budgets)
    ]
    for less, more in itertools.pairwise(lengths):
        assert (more <= less * (1 + 1e-6)).all()


def test_linear_pieces_are_searched_longer_than_a_smooth_network(digits, targets):
    """Whose steps settle, too, but in one of many basins: two that agree are not enough."""
    few, passes = digits.first(6), []
    for model in (digit_network(), dense_network()):
        found = minimum_distortion(model, few.images, few.labels, targets[:6], budget=600)
        passes.append(found.passes.median())
    assert passes[0] < 120
    assert 200 < passes[1] <= 600


def test_curve_tells_what_a_smaller_budget_would_have_given(digits, targets):
    few = digits.first(4)
    whole = minimum_distortion(kinked_network(), few.images, few.labels, targets[:4], budget=256)
    assert (whole.curve[:, 1:] <= whole.curve[:, :-1]).all()
    for budget in (32, 128):
        at = whole.curve[:, BUDGETS.index(budget)]
        # A search keeps passes for verifying, and starts no block of steps that it cannot pay.
        less, hardly_more = (
            minimum_distortion(kinked_network(), few.images, few.labels, targets[:4], budget=most)
            for most in (budget, budget + 12)
        )
        assert (at <= less.l2 + 1e-5).all()
        assert (at >= hardly_more.l2 - 1e-5).all()


def test_untargeted_tries_the_nearest_classes_and_says_which(digits):
    model = digit_network()
    answer = minimum_distortion(model, digits.images, digits.labels, "untargeted", budget=300)
    every = minimum_distortion(model, digits.images, digits.labels, "all", budget=60)
    longer = minimum_distortion(model, digits.images, digits.labels, "untargeted", budget=2000)
    right = model(digits.images).argmax(1) == digits.labels
    assert answer.status[~right].eq(int(Status.ALREADY)).all()
    tried = answer.per_class.isfinite()
    rows = torch.arange(len(digits))
    assert not tried[rows, digits.labels].any()
    assert (tried[right].sum(1) >= 3).all()
    assert (answer.targets != digits.labels).all()
    # With 300 passes the nearest class may not have been tried, and is not on every processor.
    assert (longer.l2 <= answer.l2 * (1 + 1e-6)).all()
    assert (longer.l2 <= every.l2 * (1 + 1e-3)).all()


def test_eight_bit_answer_is_on_the_lattice_and_hardly_longer(digits, targets):
    model = digit_network()
    free = minimum_distortion(model, digits.images, digits.labels, targets, budget=60)
    files = minimum_distortion(model, digits.images, digits.labels, targets, budget=60, levels=256)
    on = files.adversarial * 255
    torch.testing.assert_close(on, on.round(), rtol=0, atol=1e-4)
    assert files.success.all()
    assert (files.l2 / free.l2).mean() < 1.003
    assert (model(on.round() / 255).argmax(1) == targets).all()


W = torch.randn(3, 8, generator=torch.Generator().manual_seed(0))
HOSTILE = {
    "constant": lambda z: 0 * z[:, :3] + torch.tensor([3.0, 3.0, 3.0]),
    "constant without graph": lambda z: torch.ones(len(z), 3),
    "NaN": lambda z: z[:, :3] * torch.nan,
    "NaN for some": lambda z: torch.where(z.sum(1, keepdim=True) > 4.2, torch.nan, z @ W.T),
    "infinite": lambda z: torch.exp(1000 * z @ W.T),
    "saturated": lambda z: 2 * torch.sigmoid(1e4 * z @ W.T),
    "steps": lambda z: (z @ W.T > 0).float() + 0 * z[:, :3],
    "infinite slope": lambda z: (z @ W.T).abs().sqrt(),
    "huge": lambda z: 1e30 * (z @ W.T).tanh(),
    "tiny": lambda z: 1e-30 * (z @ W.T).tanh(),
}


@pytest.mark.parametrize("goal", ["random", "untargeted"])
@pytest.mark.parametrize("case", HOSTILE)
def test_hostile_networks_get_a_true_status_each(case, goal):
    model = Function(HOSTILE[case]).eval()
    x = torch.rand(12, 8, generator=torch.Generator().manual_seed(1))
    logits = model(x)
    labels = logits.nan_to_num().argmax(1)
    answer = minimum_distortion(model, x, labels, goal, budget=300)
    given = model(answer.adversarial.nan_to_num()).argmax(1)
    right = given == answer.targets if goal == "random" else given != labels
    assert right[answer.success].all()
    broken = ~logits.isfinite().all(1)
    assert (answer.status[broken] == int(Status.NOT_FINITE)).all()
    assert not (answer.status[~broken] == int(Status.NOT_FINITE)).any()
    if case.startswith("constant"):
        assert (answer.status == int(Status.NOT_FOUND)).all()
    if case in ("infinite slope", "NaN for some"):
        assert answer.success[~broken].all()


def test_saturated_network_is_fooled_along_random_directions():
    model = Function(HOSTILE["saturated"]).eval()
    x = torch.rand(12, 8, generator=torch.Generator().manual_seed(1))
    answer = minimum_distortion(model, x, model(x).argmax(1), "untargeted")
    assert answer.success.any()


def test_class_that_no_image_can_reach():
    model = Function(lambda z: torch.stack((z.tanh().sum(1), z.cos().sum(1) - 50), 1)).eval()
    labels = torch.zeros(4, dtype=torch.long)
    answer = minimum_distortion(model, torch.rand(4, 6), labels, 1 - labels, budget=200)
    assert (answer.status == int(Status.NOT_FOUND)).all()
    assert answer.l2.isinf().all()


def test_pixels_whose_box_has_no_width_stay():
    x = torch.rand(10, 8, generator=torch.Generator().manual_seed(2))
    lower, upper = torch.zeros(8), torch.ones(8)
    lower[:3] = upper[:3] = x[:, :3] = 0.25
    for function in (lambda z: z @ W.T, lambda z: (2 * z @ W.T).tanh()):
        model = Function(function).eval()
        labels = model(x).argmax(1)
        answer = minimum_distortion(model, x, labels, "untargeted", box=(lower, upper), budget=200)
        assert answer.success.any()
        assert (answer.adversarial[answer.success][:, :3] == 0.25).all()


def test_one_box_a_pixel_is_checked():
    model, x = linear(torch.eye(2, 4), torch.zeros(2)), torch.full((2, 4), 0.5)
    labels = torch.zeros(2, dtype=torch.long)
    for box, levels, message in (
        ((torch.zeros(3), torch.ones(3)), None, "shaped as one image"),
        ((torch.ones(4), torch.zeros(4)), None, "empty"),
        ((torch.full((4,), 0.6), torch.ones(4)), None, "outside the box"),
        ((torch.zeros(4), torch.ones(4)), 256, "one box for all pixels"),
    ):
        with pytest.raises(InputError, match=message):
            minimum_distortion(model, x, labels, "untargeted", box=box, levels=levels)


def test_a_network_without_gradients_is_refused():
    model = Function(lambda z: (z @ W.T).detach()).eval()
    x = torch.rand(4, 8)
    with pytest.raises(InputError, match="no gradient"):
        minimum_distortion(model, x, torch.zeros(4, dtype=torch.long), "untargeted")
    labels = model(x).argmax(1)
    assert minimum_distortion(model, x, labels, "untargeted", "noise").success.any()


def test_numbers_below_one_are_refused():
    with pytest.raises(InputError, match="cuts=0"):
        ClosestConfig(cuts=0)
