"""Rows that fill a batch up are not asked about, and nothing else is left out."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from intriguing.distortion.batch import Batch
from intriguing.distortion.closest_config import ClosestConfig
from intriguing.distortion.once import copies
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.rows import WIDTH, filled
from intriguing.distortion.schedule import SCHEDULE
from intriguing.measures import Box
from intriguing.models.backward import full_gradient
from tests.models.test_small_groups import large_network

_SHAPE = (3, 16, 16)


@given(st.lists(st.sampled_from([0.0, 1.0, 2.0]), min_size=1, max_size=2 * WIDTH))
def test_the_last_rows_that_equal_the_first_are_copies(values):
    expected = 0
    for value in values[:0:-1][: WIDTH - 1]:
        if value != values[0]:
            break
        expected += 1
    assert copies(torch.tensor(values)[:, None]) == expected


def test_rows_of_not_a_number_are_no_copies():
    assert copies(torch.tensor([[torch.nan], [torch.nan]])) == 0


def test_logits_and_gradients_are_those_of_all_rows():
    """Also of a row in the middle that equals the first, which has a slope of its own."""
    net = large_network()
    network = Network(net, _SHAPE)
    rows = torch.rand(7, 768, generator=torch.Generator().manual_seed(0))
    rows[3] = rows[0]
    z = torch.cat((rows, rows[:1].expand(9, -1))).requires_grad_()
    slope = torch.randn(7, 5, generator=torch.Generator().manual_seed(1))
    slope = torch.cat((slope, slope[:1].expand(9, -1)))
    logits = network.logits(z)
    gradient = full_gradient(logits, z, slope=slope, again=True)
    plain = z.detach().requires_grad_()
    every = network.classifier.each(plain.view(-1, *_SHAPE))
    assert torch.equal(logits, every)
    assert torch.equal(gradient, full_gradient(every, plain, slope=slope))
    twice = full_gradient(logits, z, slope=2 * slope)
    assert torch.equal(twice, 2 * gradient)


@pytest.mark.parametrize("way", ["walk", "polish", "follow"])
def test_what_comes_of_the_first_holds_for_rows_that_fill_up(way):
    """Also where budgets leave rows different numbers of steps, and their order is another."""
    net = large_network()
    images = torch.rand(5, 768, generator=torch.Generator().manual_seed(3))
    labels = net(images.view(-1, *_SHAPE)).argmax(1)
    rows = filled(torch.arange(5), WIDTH)
    config, box = ClosestConfig(budget=60), Box(0.0, 1.0)
    goal = Goal((labels + 1) % 5)[rows]
    batch = Batch(Network(net, _SHAPE), images[rows], goal, box, config, 0)
    batch.look()
    batch.best.forward[:5] += torch.tensor([80, 20, 0, 60, 50])
    batch.best.forward[5:] = batch.best.forward[0]
    start = box.clamp(images + 0.1)[rows]
    if way == "follow":
        ends = [batch.follow(rows, SCHEDULE[0], start, torch.ones(WIDTH))]
    else:
        walk = getattr(batch, way)(rows, batch.aim(rows), start)
        ends = [walk.points, walk.length, walk.gap, walk.flat]
    assert not torch.equal(ends[0][1:5], start[1:5])
    for each in ends:
        assert torch.equal(each[5:], each[:1].expand_as(each[5:]))


def test_small_networks_are_asked_about_every_row():
    """Whose groups are filled up to a width anyway."""
    asked: list[int] = []

    class Counts(nn.Module):
        def forward(self, x):
            asked.append(len(x))
            return x.flatten(1)[:, :2]

    network = Network(Counts().eval(), (1, 1, 4))
    network.logits(torch.ones(16, 4))
    assert asked[-1] == 32
