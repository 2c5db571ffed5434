"""The assertion for users' own CI, against distances to planes."""

import pytest
import torch
from torch import nn

from intriguing.errors import InputError
from intriguing.testing import assert_min_distortion

X = torch.tensor([[0.8, 0.3], [0.2, 0.6], [0.55, 0.45], [0.9, 0.2], [0.1, 0.8]])
LABELS = torch.tensor([0, 1, 0, 0, 1])
# √(mean r²) of two pixels is the distance to the diagonal over √2: |x₀ − x₁| / 2.
DISTORTION = torch.tensor([0.25, 0.2, 0.05, 0.35, 0.35])


def plane() -> nn.Module:
    net = nn.Sequential(nn.Linear(2, 2, bias=False)).eval()
    net[0].weight.data.copy_(torch.eye(2))
    return net


@pytest.mark.parametrize(("of", "value"), [("median", 0.25), ("mean", 0.24), ("every", 0.05)])
def test_passes_just_below_the_true_value_and_fails_just_above(of, value):
    found = assert_min_distortion(plane(), X, LABELS, at_least=0.999 * value, of=of)
    torch.testing.assert_close(found.distortion, DISTORTION, rtol=1e-3, atol=1e-5)
    with pytest.raises(AssertionError, match="less than"):
        assert_min_distortion(plane(), X, LABELS, at_least=1.001 * value, of=of)


def test_a_failure_names_the_nearest_images_and_what_they_become():
    with pytest.raises(AssertionError) as failure:
        assert_min_distortion(plane(), X, LABELS, at_least=0.3)
    text = str(failure.value)
    assert "median minimum distortion over 5 images is 0.25" in text
    assert "3 of 5 images have an example nearer" in text
    assert text.index("image 2 (class 0)") < text.index("image 1 (class 1)")
    assert "becomes 1" in text
    assert "at_least" in text.splitlines()[-1]


def test_a_misclassified_image_counts_as_distance_0():
    wrong = LABELS.clone()
    wrong[3] = 1
    with pytest.raises(AssertionError, match="misclassified as it is"):
        assert_min_distortion(plane(), X, wrong, at_least=0.01, of="every")


def test_nonsense_and_broken_networks():
    with pytest.raises(InputError, match="above 0"):
        assert_min_distortion(plane(), X, LABELS, at_least=0)
    with pytest.raises(InputError, match="median"):
        assert_min_distortion(plane(), X, LABELS, at_least=1, of="most")
    broken = plane()
    broken[0].weight.data.fill_(torch.nan)
    with pytest.raises(AssertionError, match="NaN"):
        assert_min_distortion(broken, X, LABELS, at_least=0.1)
