"""minimum_distortion against closed forms, exact QPs and scipy; and everything it promises."""

import functools

import numpy as np
import piqp
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse
from torch import nn

from intriguing.data.named import load_data
from intriguing.distortion.lbfgsb import DescentConfig, minimize_in_box
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.penalty import PaperConfig
from intriguing.distortion.problem import TargetedLoss, margin
from intriguing.distortion.result import Status
from intriguing.distortion.targets import choose_targets
from intriguing.measures import UNIT_BOX, distortion
from tests.oracles.networks import digit_network, hyperplane_distance, linear
from tests.oracles.scipy_search import minimum_distortion_by_scipy, penalised_minimum

paper = functools.partial(minimum_distortion, method="paper")
DOUBLE = torch.float64


@pytest.fixture(scope="module")
def digits():
    return load_data("mnist-5k").test.first(32)


@pytest.fixture(scope="module")
def targets(digits):
    return choose_targets(digits.labels, 10, torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def found(digits, targets):
    return paper(digit_network(), digits.images, digits.labels, targets)


def test_two_classes_give_the_distance_to_the_hyperplane():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 50, generator=generator, dtype=DOUBLE)
    bias = torch.randn(2, generator=generator, dtype=DOUBLE)
    x = torch.rand(40, 50, generator=generator, dtype=DOUBLE)
    model = linear(weight, bias)
    labels = model(x).argmax(1)
    fine = PaperConfig(precision=1e-4, descent=DescentConfig(tolerance=1e-5))
    answer = paper(model, x, labels, 1 - labels, box=(-50, 50), config=fine)
    assert answer.success.all()
    ratio = answer.l2 / hyperplane_distance(weight, bias, x)
    assert ratio.min() >= 1 - 1e-9
    assert ratio.max() < 1 + 1e-3


def test_never_below_the_exact_optimum_of_a_linear_network(digits):
    """On a softmax network D(x, l) is a convex QP; the penalty ends at or a little above it."""
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(10, 784, generator=generator, dtype=DOUBLE)
    bias = torch.zeros(10, dtype=DOUBLE)
    x = digits.images.double().flatten(1)[:12]
    model = linear(weight, bias)
    labels = model(x).argmax(1)
    goal = choose_targets(labels, 10, generator)
    answer = paper(model, x, labels, goal)
    assert answer.success.all()
    exact = torch.tensor(
        [_closest_by_qp(weight, bias, x[i], int(goal[i])) for i in range(len(x))], dtype=DOUBLE
    )
    ratio = answer.l2 / exact
    assert ratio.min() > 1 - 1e-6
    assert ratio.mean() < 1.05


def _closest_by_qp(weight, bias, x, target):
    others = [j for j in range(len(weight)) if j != target]
    g = (weight[others] - weight[target]).numpy()
    h = (bias[target] - bias[others]).numpy()
    n = len(x)
    solver = piqp.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = 1e-10
    empty = sparse.csc_matrix((0, n))
    solver.setup(
        P=sparse.identity(n, format="csc"), c=-x.numpy(), A=empty, b=np.zeros(0),
        G=sparse.csc_matrix(g), h_u=h, x_l=np.zeros(n),
        x_u=np.ones(n),
    )  # fmt: skip
    solver.solve()
    return float((torch.tensor(solver.result.x) - x).norm())


@pytest.mark.parametrize("c", [0.003, 0.03, 0.3])
def test_same_objective_as_scipy_on_a_softmax_network(digits, targets, c):
    """The penalised problem of a softmax network is strictly convex: one minimum, to 10⁻⁶."""
    generator = torch.Generator().manual_seed(2)
    model = linear(
        0.3 * torch.randn(10, 784, generator=generator, dtype=DOUBLE), torch.zeros(10, dtype=DOUBLE)
    )
    x = digits.images.double().flatten(1)[:8]
    objective = TargetedLoss(model, (784,))

    def evaluate(z, rows):
        now = objective(z, targets[:8][rows])
        return now.loss, now.gradient

    config = DescentConfig(memory=10, tolerance=1e-7, max_iterations=2000)
    weights = torch.full((8,), c, dtype=DOUBLE)
    ours = minimize_in_box(evaluate, x, UNIT_BOX, config, anchor=x, c=weights)
    for i in range(8):
        _, value, _ = penalised_minimum(model, x[i], int(targets[i]), c)
        assert abs(float(ours.values[i]) - value) <= 1e-6 * value


def test_mean_distortion_equals_that_of_the_plain_search_by_scipy(digits, targets, found):
    model = digit_network(DOUBLE)
    by_scipy = [
        minimum_distortion_by_scipy(model, digits.images[i].double(), int(targets[i]))
        for i in range(10)
    ]
    digit_network(torch.float32)
    peer = torch.tensor(by_scipy, dtype=DOUBLE).mean()
    assert abs(found.distortion[:10].double().mean() / peer - 1) < 0.005


def test_gradient_is_that_of_finite_differences(digits, targets):
    objective = TargetedLoss(digit_network(DOUBLE), (784,))
    z = digits.images.double().flatten(1)[:3]
    now = objective(z, targets[:3])
    direction = torch.randn(z.shape, generator=torch.Generator().manual_seed(0), dtype=DOUBLE)
    h = 1e-5
    slope = (
        objective(z + h * direction, targets[:3]).loss
        - objective(z - h * direction, targets[:3]).loss
    ) / (2 * h)
    torch.testing.assert_close((now.gradient * direction).sum(1), slope, rtol=1e-7, atol=1e-9)
    digit_network(torch.float32)


def test_what_is_reported_is_true(digits, targets, found):
    model = digit_network()
    assert found.success.all()
    assert (model(found.adversarial).argmax(1) == targets).all()
    assert (found.adversarial >= 0).all()
    assert (found.adversarial <= 1).all()
    size = distortion(digits.images, found.adversarial)
    torch.testing.assert_close(found.distortion, size)
    torch.testing.assert_close(found.l2, size * 28)
    already = model(digits.images).argmax(1) == targets
    assert torch.equal(found.status == Status.ALREADY, already)
    assert (found.forward_passes > found.backward_passes).all()


def test_the_answer_lies_at_the_boundary(digits, found, targets):
    """A little closer to x, most answers are no longer adversarial: the distortion is a minimum."""
    moved = found.status == Status.FOUND
    closer = digits.images + 0.97 * (found.adversarial - digits.images)
    still = digit_network()(closer).argmax(1) == targets
    assert still[moved].float().mean() < 0.1


@pytest.mark.parametrize("size", [1, 7, 29])
def test_batch_size_and_neighbours_do_not_matter(digits, targets, found, size):
    other = paper(digit_network(), digits.images, digits.labels, targets, batch_size=size)
    assert (other.distortion - found.distortion).abs().max() < 1e-5
    assert torch.equal(other.success, found.success)
    few = slice(20, 23)
    alone = paper(
        digit_network(), digits.images[few], digits.labels[few], targets[few], batch_size=size
    )
    assert (alone.distortion - found.distortion[few]).abs().max() < 1e-5


def test_a_larger_c_gives_a_smaller_change(found):
    """Within one image's trace, the successful minimisers shrink as c grows."""
    for row in found.trace:
        solved = row[~row[:, 0].isnan()]
        good = solved[solved[:, 2] > 0]
        order = good[:, 0].argsort()
        lengths = good[order, 1]
        assert (lengths.diff() <= 0.02 * lengths[:-1] + 1e-6).all()


def test_every_class_gives_the_smallest_of_the_targeted_answers(digits):
    few = digits.first(6)
    model = digit_network()
    all_classes = paper(model, few.images, few.labels, "all")
    right = model(few.images).argmax(1) == few.labels
    for target in range(10):
        differ = (few.labels != target).nonzero()[:, 0]
        single = paper(
            model, few.images[differ], few.labels[differ], torch.full((len(differ),), target)
        )
        assert (all_classes.distortion[differ] <= single.distortion + 1e-6).all()
        torch.testing.assert_close(all_classes.per_class[differ, target], single.distortion)
    assert (all_classes.distortion[right] > 0).all()
    assert (all_classes.targets != few.labels).all()


def test_runner_up_is_the_likeliest_wrong_class(digits):
    model = digit_network()
    answer = paper(model, digits.images, digits.labels, "runner-up")
    logits = model(digits.images)
    logits[torch.arange(len(digits)), digits.labels] = -torch.inf
    assert torch.equal(answer.targets, logits.argmax(1))


def test_random_targets_follow_the_seed(digits):
    model = digit_network()
    few = digits.first(16)
    one, two, three = (paper(model, few.images, few.labels, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(one.targets, two.targets)
    assert torch.equal(one.adversarial, two.adversarial)
    assert not torch.equal(one.targets, three.targets)
    assert (one.targets != few.labels).all()


def test_eight_bit_answers_survive_being_saved(digits, targets, found):
    answer = paper(digit_network(), digits.images, digits.labels, targets, levels=256)
    assert answer.success.all()
    stored = (answer.adversarial * 255).round().to(torch.uint8)
    read = stored.float() / 255
    assert torch.equal(read, answer.adversarial)
    assert (digit_network()(read).argmax(1) == targets).all()
    assert answer.mean < 1.01 * found.mean


def test_the_printed_penalty_agrees_with_the_squared_one(digits, targets, found):
    answer = paper(
        digit_network(), digits.images[:16], digits.labels[:16], targets[:16],
        config=PaperConfig(penalty="norm"),
    )  # fmt: skip
    assert answer.success.all()
    assert abs(answer.mean / float(found.distortion[:16].mean()) - 1) < 0.02


class Stubborn(nn.Module):
    """A network that is broken or constant for some images, by their first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 3)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            self.inner.weight.normal_(generator=generator)
            self.inner.bias.zero_()

    def forward(self, x):
        logits = self.inner(x)
        constant = torch.tensor([9.0, 0.0, 0.0])
        logits = torch.where(x[:, :1] == 1.0, constant, logits)
        return torch.where(x[:, :1] == 0.0, torch.nan, logits)


def test_one_bad_image_never_ends_a_run():
    x = torch.full((20, 4), 0.5)
    x[:, 1:] += 0.005 * torch.arange(20)[:, None]
    x[10, 0], x[11, 0] = 0.0, 1.0
    model = Stubborn().eval()
    labels = torch.zeros(20, dtype=torch.long)
    answer = paper(model, x, labels, torch.ones(20, dtype=torch.long))
    assert answer.status[10] == Status.NOT_FINITE
    assert answer.status[11] == Status.NOT_FOUND
    assert not answer.success[10:12].any()
    assert answer.adversarial[10:12].isnan().all()
    assert answer.distortion[10:12].isinf().all()
    good = torch.tensor([i for i in range(20) if i not in (10, 11)])
    assert answer.success[good].all()


@settings(max_examples=15, deadline=None)
@given(
    lower=st.floats(-3, 0),
    width=st.floats(0.5, 300),
    classes=st.integers(2, 6),
    seed=st.integers(0, 1000),
)
def test_any_box_and_any_number_of_classes(lower, width, classes, seed):
    generator = torch.Generator().manual_seed(seed)
    weight = torch.randn(classes, 12, generator=generator) / width
    model = linear(weight, torch.zeros(classes))
    x = lower + width * torch.rand(9, 12, generator=generator)
    labels = model(x).argmax(1)
    upper = max(float(x.max()), lower + width)
    answer = paper(model, x, labels, seed=seed, box=(min(lower, float(x.min())), upper))
    ok = answer.success
    reached = margin(model(answer.adversarial[ok]), answer.targets[ok])
    assert (reached > 0).all()
    assert (answer.adversarial[ok] <= upper).all()


def test_networks_with_kinks_are_fooled_at_a_bounded_cost():
    """At the kinks of ReLU and max-pooling no gradient vanishes, and a descent must still end."""
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 8, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(8, 8, 5), nn.ReLU(),
        nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10),
    ).eval()  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            scale = 2.0 / parameter[0].numel() ** 0.5 if parameter.dim() > 1 else 0.0
            parameter.normal_(std=1.0, generator=generator).mul_(scale)
    x = load_data("mnist-5k").test.first(40)
    labels = model(x.images).argmax(1)
    answer = paper(model, x.images, labels, "runner-up")
    assert answer.success.all()
    assert answer.forward_passes.double().mean() < 250
    closer = x.images + 0.9 * (answer.adversarial - x.images)
    assert (model(closer).argmax(1) == answer.targets).double().mean() < 0.2
