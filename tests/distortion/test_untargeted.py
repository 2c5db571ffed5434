"""Any wrong class is at most as far as the nearest of the classes asked for one by one."""

import pytest
import torch
from torch import nn

from intriguing import load_data, minimum_distortion
from tests.oracles.networks import digit_network


class Curved(nn.Module):
    """Class 0, four classes behind planes at .25, and more behind a curve that looks far away."""

    def __init__(self, curved):
        super().__init__()
        self.curved = curved

    def forward(self, x):
        away = x.flatten(1) - 0.5
        near = 8 * away[:, :4] - 2
        bent = away[:, 4 : 4 + self.curved]
        far = 80 * bent.square() + 0.1 * bent - 2
        return torch.cat((0 * near[:, :1], near, far), 1)


@pytest.mark.parametrize("curved", [1, 4])
def test_a_class_that_looks_far_is_tried_before_an_image_is_finished(curved):
    x, labels = torch.full((3, 12), 0.5), torch.zeros(3, dtype=torch.long)
    answer = minimum_distortion(Curved(curved).eval(), x, labels, "untargeted")
    # 80 t² + .1 t = 2
    torch.testing.assert_close(answer.l2, torch.full((3,), 0.15749), rtol=1e-3, atol=0)
    assert (answer.targets > 4).all()


def test_no_farther_than_the_nearest_class_asked_for_by_name():
    images = load_data("mnist-5k").test.images[24:32]
    model = digit_network()
    labels = model(images).argmax(1)
    untargeted = minimum_distortion(model, images, labels, "untargeted")
    named = minimum_distortion(model, images, labels, "all")
    assert (untargeted.l2 <= named.l2 * (1 + 2e-4)).all()
    assert untargeted.passes.max() <= 2000
