"""The search called as foolbox calls attacks, against distances to planes."""

import pytest
import torch
from torch import Tensor, nn

from intriguing.adapter import (
    MinimumDistortion,
    Misclassification,
    TargetedMisclassification,
    adversarial,
)
from intriguing.errors import InputError

W = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, -1.0]])
X = torch.tensor([[0.8, 0.3], [0.2, 0.6], [0.55, 0.45]])
LABELS = torch.tensor([0, 1, 0])
DISTANCE = torch.tensor([0.5, 0.4, 0.1]) / 2**0.5
"""To the line where the first two logits are equal; the third is below both in the box."""


def plane() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 3, bias=False)).eval()
    net[0].weight.data.copy_(W)
    return net


def test_without_epsilons_the_answers_are_the_nearest():
    raw, clipped, success = MinimumDistortion()(plane(), X, Misclassification(LABELS))
    assert success.tolist() == [True, True, True]
    torch.testing.assert_close((raw - X).norm(dim=1), DISTANCE, rtol=1e-3, atol=1e-5)
    assert torch.equal(raw, clipped)


def test_with_epsilons_a_row_each_and_changes_no_longer():
    raw, clipped, success = MinimumDistortion()(plane(), X, LABELS, epsilons=[0.1, 0.3, 1.0])
    assert success.tolist() == [
        [False, False, True], [False, True, True], [True, True, True],
    ]  # fmt: skip
    assert len(raw) == len(clipped) == 3
    for size, images in zip((0.1, 0.3, 1.0), clipped, strict=True):
        assert bool(((images - X).norm(dim=1) <= size * (1 + 1e-5)).all())
    one = MinimumDistortion()(plane(), X, LABELS, epsilons=0.3)
    assert torch.equal(one[1], clipped[1])
    assert one[2].tolist() == success[1].tolist()


def test_targets_are_met_and_already_met_ones_stay():
    wanted = torch.tensor([1, 1, 1])
    raw = MinimumDistortion().run(plane(), X, TargetedMisclassification(wanted))
    assert plane()(raw).argmax(1).tolist() == [1, 1, 1]
    assert torch.equal(raw[1], X[1])
    assert bool(adversarial(plane(), raw, TargetedMisclassification(wanted)).all())


class Foolbox:
    """What a foolbox model looks like from outside, with pixels from 0 to 255."""

    bounds = (0.0, 255.0)

    def __call__(self, images: Tensor) -> Tensor:
        return images / 255 @ W.T


class Criterion:
    """foolbox's own, whose labels are wrapped."""

    def __init__(self, labels: Tensor) -> None:
        self.labels = type("Wrapped", (), {"raw": labels})()


def test_foolbox_models_bring_their_bounds_and_criteria():
    raw, _, success = MinimumDistortion()(Foolbox(), 255 * X, Criterion(LABELS))
    assert bool(success.all())
    torch.testing.assert_close((raw - 255 * X).norm(dim=1), 255 * DISTANCE, rtol=1e-3, atol=1e-3)


def test_what_is_no_criterion_is_refused():
    with pytest.raises(InputError, match="Misclassification"):
        MinimumDistortion()(plane(), X, "cat")
