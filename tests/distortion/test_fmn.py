"""method="fmn" where the box holds pixels back: digits are black and white nearly everywhere."""

import pytest
import torch
from torch import nn

from intriguing import load_data, minimum_distortion
from tests.distortion.test_closest import kinked_network
from tests.oracles.networks import digit_network

NETWORKS = {"sigmoid": digit_network, "kinked": kinked_network}


@pytest.mark.parametrize("targets", ["untargeted", "random"])
@pytest.mark.parametrize("name", NETWORKS)
def test_finds_all_digits_and_no_farther_than_ddn(name, targets):
    model = NETWORKS[name]()
    images = load_data("mnist-5k").test.images[:24]
    labels = model(images).argmax(1)
    fmn, ddn = (
        {
            budget: minimum_distortion(model, images, labels, targets, method, budget=budget)
            for budget in (11, 41, 100)
        }
        for method in ("fmn", "ddn")
    )
    assert fmn[11].success.float().mean() > 0.9
    assert fmn[41].success.all()
    assert fmn[100].success.all()
    for budget in (41, 100):
        both = fmn[budget].success & ddn[budget].success
        ratio = fmn[budget].l2[both] / ddn[budget].l2[both]
        assert ratio.median() < 1.01
        assert ratio.mean() < 1.04  # an image in another basin, one in twenty


def test_a_corner_of_the_box_is_reached():
    """Every pixel but one is at its bound on the way: the others must go all the way alone."""

    class Sum(nn.Module):
        def forward(self, x):
            total = x.flatten(1).sum(1)
            return torch.stack((torch.zeros_like(total), total - 3.9), 1)

    x = torch.tensor([[1.0, 1.0, 0.9, 0.0]])
    answer = minimum_distortion(
        Sum().eval(), x, torch.zeros(1).long(), "untargeted", "fmn", budget=100
    )
    assert answer.success.all()
    torch.testing.assert_close(answer.l2, torch.tensor([0.9055]), rtol=1e-3, atol=0)
