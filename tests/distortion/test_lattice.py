"""Repair on the pixel lattice, where the nearest adversarial lattice point can be enumerated."""

import itertools

import pytest
import torch

from intriguing.distortion.lattice import from_levels, round_to_levels, to_lattice
from intriguing.distortion.problem import Goal, Network
from intriguing.measures import Box
from tests.oracles.networks import linear

BOX = Box(0.0, 1.0)


@pytest.mark.parametrize("levels", [3, 5])
def test_repair_is_close_to_the_best_lattice_point(levels):
    generator = torch.Generator().manual_seed(0)
    points = torch.tensor(list(itertools.product(range(levels), repeat=5))) / (levels - 1)
    ratios = []
    for _ in range(25):
        weight = torch.randn(2, 5, generator=generator)
        model = linear(weight, torch.zeros(2))
        x = torch.rand(1, 5, generator=generator)
        target = 1 - model(x).argmax(1)
        adversarial = points[model(points).argmax(1) == target]
        if not len(adversarial):
            continue
        nearest = (adversarial - x).norm(dim=1)
        network = Network(model, (5,))
        start = adversarial[nearest.argmin()][None] * 0.98
        answer = to_lattice(network, x, start, Goal(target), BOX, levels)
        if not answer.success:
            continue
        assert model(answer.points).argmax(1) == target
        on = answer.points * (levels - 1)
        torch.testing.assert_close(on, on.round())
        ratios.append(float((answer.points - x).norm() / nearest.min()))
    assert len(ratios) >= 15
    assert min(ratios) > 1 - 1e-6
    assert sum(ratios) / len(ratios) < 1.1


def test_rounding_alone_would_undo_some_and_repair_saves_them():
    generator = torch.Generator().manual_seed(1)
    weight = 5 * torch.randn(3, 100, generator=generator)
    model = linear(weight, torch.zeros(3))
    x = torch.rand(200, 100, generator=generator)
    target = (model(x).argmax(1) + 1) % 3
    normal = weight[target] - weight[model(x).argmax(1)]
    gap = -(normal * x).sum(1) / normal.square().sum(1)
    edge = (x + 1.0005 * gap[:, None] * normal).clamp(0, 1)
    stands = model(edge).argmax(1) == target
    x, edge, target = x[stands], edge[stands], target[stands]
    rounded = from_levels(round_to_levels(edge, BOX, 256), BOX, 256, torch.float32)
    undone = model(rounded).argmax(1) != target
    answer = to_lattice(Network(model, (100,)), x, edge, Goal(target), BOX, 256)
    assert undone.float().mean() > 0.2
    assert answer.success.all()
    assert (model(answer.points).argmax(1) == target).all()
    length = (edge - x).norm(dim=1)
    excess = (answer.points - x).norm(dim=1) - length
    rounding = 100**0.5 / 255  # every one of 100 pixels moved by a whole level
    assert excess.max() < rounding
    assert (excess / length)[length > 0.2].mean() < 0.01


def test_levels_of_the_unit_box_are_exactly_k_over_255():
    level = torch.arange(256)
    values = from_levels(level, BOX, 256, torch.float32)
    assert torch.equal(values, level.float() / 255)
    assert torch.equal(round_to_levels(values, BOX, 256), level)
