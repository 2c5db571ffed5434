"""Linear networks: the closest adversarial image is exact, and the proof is one."""

import pytest
import torch
from torch import nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Status
from intriguing.distortion.targets import choose_targets
from intriguing.graph.affine import is_affine
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.normalized import Normalized
from tests.oracles.closest import closest_targeted, closest_untargeted
from tests.oracles.networks import hyperplane_distance, linear

DOUBLE = torch.float64


class Formula(nn.Module):
    def __init__(self, formula):
        super().__init__()
        self.formula = formula
        self.weight = nn.Parameter(torch.ones(4, 3))

    def forward(self, x):
        return self.formula(x.flatten(1), self.weight)


CONVOLUTIONS = nn.Sequential(
    nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, 3)
)
AFFINE = {
    "softmax network": FullyConnected((4, 3)),
    "convolutions, pooling, norm": CONVOLUTIONS,
    "normalised": Normalized(nn.Sequential(nn.Flatten(), nn.Linear(4, 3)), [0.5], [0.2]),
    "matrix product": Formula(lambda x, w: (x - 0.5) @ w / 2 + 1),
    "joined": Formula(lambda x, w: torch.cat((x @ w, torch.full_like(x, -1)), 1)),
    "weights of weights": Formula(lambda x, w: x @ (w * w).relu()),
}
NOT_AFFINE = {
    "two layers": FullyConnected((4, 4, 3)),
    "square": Formula(lambda x, w: (x * x) @ w),
    "own scale": Formula(lambda x, w: (x / x.sum(1, keepdim=True)) @ w),
    "gated": Formula(lambda x, w: (x @ w) * x[:, :1]),
    "absolute": Formula(lambda x, w: (x @ w).abs()),
    "branches on values": Formula(lambda x, w: x @ w if x.sum() > 0 else x @ w * 2),
    "maximum pooling": nn.Sequential(nn.MaxPool2d(2), nn.Flatten()),
    "divided by": Formula(lambda x, w: 1 / (x @ w)),
}


@pytest.mark.parametrize("case", AFFINE)
def test_affine_networks_are_recognised(case):
    side = 4 if AFFINE[case] is CONVOLUTIONS else 2
    assert is_affine(AFFINE[case].eval(), (1, side, side))


@pytest.mark.parametrize("case", NOT_AFFINE)
def test_others_are_not(case):
    assert not is_affine(NOT_AFFINE[case].eval(), (1, 2, 2))


def test_a_hook_may_do_anything():
    model = FullyConnected((4, 3)).eval()
    model.layers[0].register_forward_hook(lambda module, given, out: out.abs())
    assert not is_affine(model, (1, 2, 2))


def test_gradients_that_are_not_the_networks_prove_nothing():
    torch.manual_seed(0)
    model = Formula(lambda x, w: (x + 2 * x.detach()) @ w).eval()
    model.weight.data.normal_()
    assert is_affine(model, (1, 2, 2))
    images = torch.rand(8, 1, 2, 2)
    labels = model(images).argmax(1)
    found = minimum_distortion(model, images, labels, "untargeted", box=(-50, 50))
    assert found.success.all()
    assert (found.status != int(Status.OPTIMAL)).all()


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_two_classes_give_the_distance_to_the_hyperplane(seed, dtype):
    draw = {"generator": torch.Generator().manual_seed(seed), "dtype": dtype}
    weight, bias = torch.randn(2, 50, **draw), torch.randn(2, **draw)
    x = torch.rand(200, 50, **draw)
    model = linear(weight, bias)
    labels = model(x).argmax(1)
    answer = minimum_distortion(model, x, labels, "untargeted", box=(-50, 50))
    ratio = answer.l2.double() / hyperplane_distance(weight.double(), bias.double(), x.double())
    far = hyperplane_distance(weight, bias, x) > 0.1  # nearer, float32 rounding is more
    assert (answer.status == int(Status.OPTIMAL)).all()
    assert ratio.min() > 1 - 1e-6
    assert ratio[far].max() < 1 + 1e-5


def network_with_active_box(seed, classes=10, n=100, dtype=torch.float32):
    """Weights and images such that about a third of the bounds hold at the optimum."""
    generator = torch.Generator().manual_seed(seed)
    weight, bias = torch.randn(classes, n, generator=generator), torch.zeros(classes)
    x = torch.rand(24, n, generator=generator)
    x = torch.where(x < 0.4, 0, torch.where(x > 0.6, 1, x))
    weight, bias, x = weight.to(dtype), bias.to(dtype), x.to(dtype)
    return weight, bias, x, linear(weight, bias)


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
@pytest.mark.parametrize("seed", [3, 4])
def test_targeted_optimum_and_its_proof(seed, dtype):
    weight, bias, x, model = network_with_active_box(seed, dtype=dtype)
    labels = model(x).argmax(1)
    targets = choose_targets(labels, 10, torch.Generator().manual_seed(seed))
    answer = minimum_distortion(model, x, labels, targets)
    exact = torch.tensor(
        [closest_targeted(weight, bias, x[i], int(targets[i])) for i in range(len(x))], dtype=DOUBLE
    )
    at_bound = (answer.adversarial == 0) | (answer.adversarial == 1)
    assert at_bound.float().mean() > 0.25
    assert (answer.status == int(Status.OPTIMAL)).all()
    assert (answer.l2 / exact).max() <= 1.0001
    assert (answer.l2 - exact).min() >= -1e-6  # as far as the interior-point solver goes
    assert (answer.l2 * (1 - answer.gap) <= exact * (1 + 1e-5)).all()
    assert answer.gap.max() < 1e-4
    assert answer.passes.max() <= 100


@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_untargeted_optimum_is_the_least_over_all_classes(dtype):
    weight, bias, x, model = network_with_active_box(5, dtype=dtype)
    labels = model(x).argmax(1)
    answer = minimum_distortion(model, x, labels, "untargeted")
    by_all = minimum_distortion(model, x, labels, "all")
    exact = torch.tensor(
        [closest_untargeted(weight, bias, x[i], int(labels[i])) for i in range(len(x))],
        dtype=DOUBLE,
    )
    assert (answer.status == int(Status.OPTIMAL)).all()
    assert (by_all.status == int(Status.OPTIMAL)).all()
    far = exact > 0.02  # nearer, rounding is more than a ten-thousandth of the way
    assert (answer.l2 / exact)[far].max() <= 1.0001
    torch.testing.assert_close(answer.l2, by_all.l2, rtol=1e-4, atol=1e-5)
    assert (answer.targets != labels).all()


def test_a_thousand_classes_enter_as_they_are_violated():
    weight, bias, x, model = network_with_active_box(6, classes=1000, n=60)
    labels = model(x).argmax(1)
    runner_up = model(x).topk(3, 1).indices[:, 2]
    answer = minimum_distortion(model, x[:6], labels[:6], runner_up[:6])
    exact = torch.tensor(
        [closest_targeted(weight, bias, x[i], int(runner_up[i])) for i in range(6)]
    )
    reachable = exact.isfinite()
    assert reachable.any()
    assert (answer.l2 / exact)[reachable].max() <= 1.001
    assert (answer.status[reachable] == int(Status.OPTIMAL)).all()


def test_a_class_that_the_box_does_not_hold_is_not_found_and_costs_little():
    weight = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    model = linear(weight, torch.tensor([1.0, 0.0]))
    x = torch.full((3, 2), 0.5)
    labels = torch.zeros(3, dtype=torch.long)
    answer = minimum_distortion(model, x, labels, 1 - labels)
    assert (answer.status == int(Status.NOT_FOUND)).all()
    assert answer.adversarial.isnan().all()
    assert answer.passes.max() < 20


def test_image_on_the_boundary_is_moved_by_no_more_than_rounding():
    weight, x = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.full((1, 2), 0.5)
    labels = torch.zeros(1, dtype=torch.long)
    answer = minimum_distortion(linear(weight, torch.zeros(2)), x, labels, 1 - labels)
    assert answer.success.all()
    assert answer.l2.max() < 1e-5
