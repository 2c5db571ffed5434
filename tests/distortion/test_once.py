"""Rows that fill a batch up are not asked about, and nothing else is left out."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from intriguing.distortion.once import copies
from intriguing.distortion.problem import Network
from intriguing.distortion.rows import WIDTH
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
