"""What rounding takes off a margin: by closed forms, points near, and examples found there."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from intriguing import InputError, certify, minimum_distortion
from intriguing.distortion.problem import Goal, rounding
from intriguing.graph.precision import precise_graph
from intriguing.measures import UNIT_BOX
from intriguing.models.classifier import Classifier
from intriguing.spectral.certificates.allowance import allowance
from intriguing.spectral.certificates.exact import Exact, prove


def cancelling(first: float, second: float, seed: int = 0) -> tuple[nn.Module, Tensor, Tensor]:
    """A network whose logits are what is left of large sums, images, and what it sees in them."""
    torch.manual_seed(seed)
    net = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 7), nn.ReLU(), nn.Linear(7, 3)
    )
    net.eval().requires_grad_(False)
    images = torch.rand(64, 6)
    net[1].bias += first
    net[3].bias += second
    net[5].bias -= net(images).mean(0)
    return net, images, net(images).argmax(1)


def allowed(net: nn.Module, images: Tensor) -> Tensor:
    own = Classifier.of(net)
    return allowance(own, precise_graph(net, images[:1]), images, own.each(images), UNIT_BOX)


def test_no_example_lies_inside_a_certificate_where_large_sums_cancel() -> None:
    net, images, labels = cancelling(50.0, 200.0)
    certified = certify(net, images, labels)
    found = minimum_distortion(net, images, labels, "untargeted")
    assert found.success.all()
    inside = certified.radius > found.l2
    assert not inside.any(), (certified.radius / found.l2).max()
    assert certified.radius.median() > 0.9 * found.l2.median()
    wrong = net.double()(found.adversarial.double()).argmax(1) != labels
    assert not wrong.all(), "no example is one by rounding alone: this shows nothing"


def test_no_example_lies_inside_a_proof_where_large_sums_cancel() -> None:
    net, images, labels = cancelling(50.0, 200.0)
    images, labels = images[28:48], labels[28:48]
    found = minimum_distortion(net, images, labels, "untargeted", budget=4000)
    goal = Goal(labels, targeted=False)
    # Nearer than rounding goes: of exact arithmetic examples are found at once.
    proofs = prove(
        Exact.of(net, images, UNIT_BOX), images, goal, found, UNIT_BOX, gap=1e-5, seconds=3
    )
    closest = torch.minimum(found.l2, proofs.distortions.l2)
    assert not (proofs.lower > closest).any(), (proofs.lower / closest).max()
    assert proofs.lower.median() > 0.99 * closest.median()


@settings(max_examples=30, deadline=None)
@given(st.floats(0, 60), st.floats(0, 240), st.integers(0, 1000))
def test_it_is_more_than_rounding_does_to_a_lead_near_the_image(
    first: float, second: float, seed: int
) -> None:
    net, images, _ = cancelling(first, second, seed)
    taken = allowed(net, images)
    noise = torch.rand(16, 64, 6, generator=torch.Generator().manual_seed(seed))
    near = torch.lerp(images, noise, 0.01).flatten(0, 1)
    own = net(near).double()
    apart = (own - net.double()(near.double())).view(16, 64, 3)
    lead = (apart[..., :, None] - apart[..., None, :]).abs().amax((0, 2, 3))
    here = apart[0].abs().amax(1)
    assert bool((lead + here < taken).all())


def test_where_nothing_cancels_it_is_what_the_logits_say() -> None:
    torch.manual_seed(1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3, bias=False))
    net.eval().requires_grad_(False)
    for matrix in (net[1], net[3]):
        matrix.weight.abs_()
    images = torch.rand(64, 6)
    assert torch.equal(allowed(net, images), 2.0 * rounding(net(images)).double())


@pytest.mark.parametrize("first", [0.0, 50.0])
def test_it_is_the_same_alone_and_in_a_batch(first: float) -> None:
    net, images, _ = cancelling(first, 4 * first)
    alone = torch.cat([allowed(net, image[None]) for image in images])
    assert torch.equal(alone, allowed(net, images))
    assert torch.equal(alone.flip(0), allowed(net, images.flip(0)))


def test_logits_that_are_no_numbers_are_passed_over() -> None:
    net, images, _ = cancelling(0.0, 0.0)
    images = images[:2]
    own = Classifier.of(net)
    logits = torch.tensor([[torch.inf, 0.0, torch.nan], [1.0, 2.0, 3.0]])
    graph = precise_graph(net, images[:1])
    taken = allowance(own, graph, images, logits, UNIT_BOX)
    assert taken[1].isfinite()


def test_a_network_of_which_rounding_leaves_half_the_digits_is_refused_by_that_name() -> None:
    net, images, labels = cancelling(5000.0, 20000.0)
    with pytest.raises(InputError, match=r"^rounding takes more than half .* float64"):
        certify(net, images, labels)
    net, images = net.double(), images.double()
    certified = certify(net, images, net(images).argmax(1))
    assert bool((certified.radius > 0).all())
