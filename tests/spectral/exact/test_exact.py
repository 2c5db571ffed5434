"""Distances that are proved, against every activation pattern of tiny networks."""

import itertools
import time

import pytest
import torch
from torch import Tensor, nn

from intriguing import InputError, Status, certify, minimum_distortion
from intriguing.distortion.problem import Goal
from intriguing.measures import UNIT_BOX
from intriguing.spectral.certificates.exact import Exact, prove
from tests.oracles.activation_patterns import nearest


def chain(activation: nn.Module, *sizes: int, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers: list[nn.Module] = [nn.Flatten()]
    for before, after in itertools.pairwise(sizes):
        layers += [nn.Linear(before, after), activation]
    net = nn.Sequential(*layers[:-1]).eval()
    for parameter in net.parameters():
        parameter.data.mul_(2.5)
    return net


def predicted(net: nn.Module, images: Tensor) -> Tensor:
    with torch.no_grad():
        return net(images).argmax(1)


@pytest.mark.parametrize("targeted", [False, True])
@pytest.mark.parametrize("seed", [1, 2])
def test_the_truth_lies_within_the_bracket(targeted: bool, seed: int) -> None:
    net, images = chain(nn.ReLU(), 4, 3, 3, 3, seed=seed), torch.rand(2, 4)
    labels = predicted(net, images)
    targets = (labels + 1) % 3
    found = minimum_distortion(
        net, images, labels, targets if targeted else "untargeted", prove=10.0
    )
    closed = 0
    for row, (image, label) in enumerate(zip(images, labels.tolist(), strict=True)):
        truth = nearest(net, image, label, int(targets[row]) if targeted else None)
        if not found.success[row]:
            assert truth == torch.inf
            continue
        lower = float(found.l2[row] * (1 - found.gap[row]))
        assert lower <= truth * (1 + 1e-6)
        assert float(found.l2[row]) >= truth * (1 - 1e-6)
        closed += int(found.status[row] == int(Status.OPTIMAL))
        assert (found.status[row] == int(Status.OPTIMAL)) == bool(found.gap[row] < 0.0101)
    assert closed == int(found.success.sum())


def test_a_proof_of_wide_layers_ends_near_its_time() -> None:
    """What comes before the first split would take minutes."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 400), nn.ReLU(), nn.Linear(400, 200), nn.ReLU(),
                        nn.Linear(200, 10)).eval()  # fmt: skip
    image = torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    label = net(image).argmax(1)
    began = time.process_time()
    found = minimum_distortion(net, image, label, "untargeted", prove=0.5)
    assert time.process_time() - began < 25.0
    assert 0.0 <= float(found.gap) <= 1.0


def test_nothing_is_proved_beyond_the_truth_from_examples_that_are_too_far() -> None:
    """A bound that is too high would close nodes before anything nearer is met."""
    net, images = chain(nn.ReLU(), 4, 3, 3, 3, seed=1), torch.rand(2, 4)
    labels = predicted(net, images)
    far = minimum_distortion(net, images, labels, "untargeted", "noise")
    found = minimum_distortion(net, images, labels, "untargeted", "noise", prove=10.0)
    truth = [nearest(net, x, y) for x, y in zip(images, labels.tolist(), strict=True)]
    assert found.success.any()
    assert (far.l2 > 1.05 * torch.tensor(truth))[found.success].any()
    for row in found.success.nonzero()[:, 0].tolist():
        gap = found.gap[row].nan_to_num(1.0)
        assert float(found.l2[row] * (1 - gap)) <= truth[row] * (1 + 1e-6)


def test_a_hundredth_beyond_what_is_true_is_never_proved() -> None:
    net, images = chain(nn.ReLU(), 4, 3, 3, 3, seed=2), torch.rand(1, 4)
    labels = predicted(net, images)
    found = minimum_distortion(net, images, labels, "untargeted", prove=5.0)
    assert found.status.tolist() == [int(Status.OPTIMAL)]
    exact = Exact.of(net, images, UNIT_BOX)
    asked = exact, images, Goal(labels, targeted=False), found, UNIT_BOX
    made = prove(*asked, seconds=1.0, gap=-0.01)
    assert 0.98 * float(found.l2) < float(made.lower) <= float(found.l2) * (1 + 1e-6)


def test_a_nearer_example_on_the_way_is_taken() -> None:
    """A short search ends in another piece than the nearest one."""
    net = chain(nn.ReLU(), 12, 10, 8, 4)
    images = torch.rand(3, 12)[1:2]
    labels = predicted(net, images)
    ask = (net, images, labels, "untargeted")
    rough = minimum_distortion(*ask, budget=60)
    proved = minimum_distortion(*ask, budget=60, prove=20.0)
    assert proved.status.tolist() == [int(Status.OPTIMAL)]
    assert float(proved.l2) < 0.99 * float(rough.l2)
    assert float(proved.distortion * 12**0.5) == pytest.approx(float(proved.l2))
    assert (predicted(net, proved.adversarial) != labels).all()


@pytest.mark.parametrize("activation", [nn.Tanh(), nn.LeakyReLU(0.2)])
def test_other_activations(activation: nn.Module) -> None:
    net, images = chain(activation, 6, 5, 3), torch.rand(2, 6)
    labels = predicted(net, images)
    found = minimum_distortion(net, images, labels, "untargeted", prove=10.0)
    assert (found.gap[found.success] < 0.0101).all()
    strongest = minimum_distortion(net, images, labels, "untargeted", budget=1000)
    assert (found.l2 * (1 - found.gap) <= strongest.l2 * (1 + 1e-6))[found.success].all()


def test_convolutions_are_written_out_and_radii_end_at_examples() -> None:
    torch.manual_seed(3)
    net = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(18, 3)
    ).eval()
    images = torch.rand(1, 1, 6, 6)
    labels = predicted(net, images)
    made = certify(net, images, labels, semidefinite=False, exact=10.0)
    assert made.distortions is not None
    assert float(made.radius / made.distortions.l2) > 0.9899
    assert float(made.radius) < float(made.distortions.l2)


@pytest.mark.parametrize("rectified_first", [True, False])
def test_a_max_pool_is_written_out(rectified_first: bool) -> None:
    """Beside the same network of matrices alone, whose activation patterns are all tried."""
    torch.manual_seed(5)
    scale, last = nn.Conv2d(1, 1, 1), nn.Linear(2, 3)
    last.weight.data.mul_(4.0)
    scale.weight.data.fill_(1.5)
    scale.bias.data.fill_(-0.4)
    between = [nn.ReLU(), nn.MaxPool2d((1, 3), (1, 2))]
    between = between if rectified_first else between[::-1]
    net = nn.Sequential(scale, *between, nn.Flatten(), last).eval()
    first, pairs, triples = nn.Linear(5, 5), nn.Linear(5, 6), nn.Linear(6, 4)
    first.weight.data, first.bias.data = 1.5 * torch.eye(5), torch.full((5,), -0.4)
    pairs.weight.data = torch.zeros(6, 5)
    triples.weight.data = torch.zeros(4, 6)
    for window, start in enumerate((0, 2)):
        # max(a, b, c) = relu(m − c) + relu(c) with m = relu(a − b) + relu(b)
        pairs.weight.data[3 * window, start : start + 2] = torch.tensor([1.0, -1.0])
        pairs.weight.data[3 * window + 1, start + 1] = 1.0
        pairs.weight.data[3 * window + 2, start + 2] = 1.0
        one = torch.tensor([1.0, 1.0, -1.0])
        triples.weight.data[2 * window, 3 * window : 3 * window + 3] = one
        triples.weight.data[2 * window + 1, 3 * window + 2] = 1.0
    pairs.bias.data.zero_()
    triples.bias.data.zero_()
    end = nn.Linear(4, 3)
    end.weight.data, end.bias.data = last.weight.data.repeat_interleave(2, 1), last.bias.data
    same = nn.Sequential(
        nn.Flatten(), first, nn.ReLU(), pairs, nn.ReLU(), triples, nn.ReLU(), end
    ).eval()
    images = torch.rand(2, 1, 1, 5)[:1]
    assert torch.allclose(net(images), same(images), atol=1e-6)
    labels = predicted(net, images)
    found = minimum_distortion(net, images, labels, "untargeted", prove=5.0)
    assert found.status.tolist() == [int(Status.OPTIMAL)]
    low = found.l2 * (1 - found.gap)
    reached = minimum_distortion(same, images, labels, "untargeted", prove=5.0)
    assert (low <= reached.l2 * (1 + 1e-5)).all()
    assert (reached.l2 * (1 - reached.gap) <= found.l2 * (1 + 1e-5)).all()


@pytest.mark.parametrize(
    ("net", "why"),
    [
        (nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4, 3)), "no chain"),
        (nn.Sequential(nn.Flatten(), nn.Linear(16, 2000), nn.ReLU(), nn.Linear(2000, 3)), "2,000"),
    ],
)
def test_other_networks_are_refused_before_any_work(net: nn.Module, why: str) -> None:
    images = torch.rand(1, 1, 4, 4)
    for ask in (
        lambda: minimum_distortion(net.eval(), images, torch.zeros(1).long(), prove=True),
        lambda: certify(net.eval(), images, torch.zeros(1).long(), exact=True),
    ):
        with pytest.raises(InputError, match=why):
            ask()


def test_what_cannot_be_proved_is_refused() -> None:
    net, images = chain(nn.ReLU(), 4, 4, 3), torch.rand(1, 4)
    for settings, why in (({"prove": -1.0}, "seconds"), ({"prove": 1, "levels": 256}, "levels")):
        with pytest.raises(InputError, match=why):
            minimum_distortion(net, images, predicted(net, images), "untargeted", **settings)
