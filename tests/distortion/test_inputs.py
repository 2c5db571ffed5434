"""Every mistake of a caller is refused before any work, with the fix in the message."""

import pytest
import torch
from torch import nn

from intriguing.distortion.closest import ClosestConfig
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.noise import gaussian_noise
from intriguing.distortion.penalty import PaperConfig
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from tests.oracles.networks import linear

X = torch.full((4, 6), 0.5)
LABELS = torch.zeros(4, dtype=torch.long)
MODEL = linear(torch.eye(3, 6), torch.zeros(3))


def nan_at_two():
    x = X.clone()
    x[2, 1] = torch.nan
    return x


CASES = {
    "0 to 255": ({"images": 255 * X}, r"\[127.5, 127.5\].*box=\(0, 255\).*divide"),
    "normalised": ({"images": X - 1}, "normalise inside the model"),
    "uint8": ({"images": X.to(torch.uint8)}, "float.*/ 255"),
    "NaN": ({"images": nan_at_two()}, r"1 image\(s\) hold NaN.*index 2"),
    "single image": ({"images": X[0]}, r"image\[None\]"),
    "numpy": ({"images": X.numpy()}, "torch.as_tensor"),
    "no images": ({"images": X[:0], "labels": LABELS[:0]}, "no images"),
    "wrong width": ({"images": torch.full((4, 7), 0.5)}, r"\(4, 7\)|7"),
    "label too large": ({"labels": LABELS + 3}, "labels run from 3 to 3.*0 … 2"),
    "label negative": ({"labels": LABELS - 1}, "labels run from -1"),
    "labels float": ({"labels": LABELS.float()}, "integer"),
    "labels short": ({"labels": LABELS[:3]}, r"shape \(3,\) for 4 images"),
    "target is label": ({"targets": torch.tensor([1, 2, 0, 1])}, "target equals label.*index 2"),
    "target too large": ({"targets": torch.tensor([1, 2, 3, 1])}, "targets run from 1 to 3"),
    "targets float": ({"targets": torch.ones(4)}, "integer"),
    "targets word": ({"targets": "nearest"}, "random, runner-up, untargeted, all"),
    "method": ({"method": "magic"}, "choose one of closest, paper"),
    "training mode": ({"model": nn.Sequential(MODEL[1]).train()}, r"model\.eval\(\)"),
    "probabilities": ({"model": nn.Sequential(MODEL, nn.Softmax(1)).eval()}, "logits"),
    "not logits": ({"model": nn.Flatten(0).eval()}, "logits"),
    "empty box": ({"box": (1.0, 0.0)}, "empty"),
    "box of one": ({"box": (1.0,)}, "pair"),
    "one level": ({"levels": 1}, "256"),
    "batch size": ({"batch_size": 0}, "1 or more"),
    "budget": ({"budget": 0}, "allows no pass"),
    "budget of paper": ({"method": "paper", "budget": 9}, "leave the budget out"),
    "untargeted paper": ({"method": "paper", "targets": "untargeted"}, 'targets="all"'),
    "config of another": ({"config": PaperConfig()}, "give a ClosestConfig"),
    "config of none": ({"method": "ddn", "config": ClosestConfig()}, "leave it out"),
}


@pytest.mark.parametrize("case", CASES)
def test_wrong_input_is_refused_with_its_fix(case):
    changed, message = CASES[case]
    arguments = {"model": MODEL, "images": X, "labels": LABELS, "targets": LABELS + 1} | changed
    with pytest.raises(InputError, match=message):
        minimum_distortion(**arguments)


@pytest.mark.parametrize(
    "wrong",
    [{"factor": 1.0}, {"precision": 0.0}, {"max_solves": 0}, {"start": 0.0}, {"loose": 1e-4}],
)
def test_a_search_that_could_not_end_well_is_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        PaperConfig(**wrong)


def test_right_input_is_not_refused():
    answer = minimum_distortion(MODEL, X, LABELS, LABELS + 1)
    assert answer.success.all()


def test_integer_labels_of_any_width_do():
    narrow = minimum_distortion(MODEL, X, LABELS.to(torch.uint8), (LABELS + 1).int())
    wide = minimum_distortion(MODEL, X, LABELS, LABELS + 1)
    assert torch.equal(narrow.adversarial, wide.adversarial)


def test_a_target_drawn_is_uniform_over_the_wrong_classes():
    labels = torch.arange(10).repeat(3000)
    drawn = choose_targets(labels, 10, torch.Generator().manual_seed(0))
    assert (drawn != labels).all()
    counts = torch.bincount(drawn[labels == 3], minlength=10)
    assert counts[3] == 0
    expected = 3000 / 9
    chi2 = ((counts[counts > 0] - expected) ** 2 / expected).sum()
    assert chi2 < 26.1  # the 0.1 % point of χ² with 8 degrees of freedom


def test_noise_has_the_stated_size_and_follows_its_generator():
    x = torch.full((50, 1, 28, 28), 0.5)
    noisy = gaussian_noise(x, 0.3, torch.Generator().manual_seed(1))
    again = gaussian_noise(x, 0.3, torch.Generator().manual_seed(1))
    assert torch.equal(noisy, again)
    assert abs(float((noisy - x).square().mean().sqrt()) - 0.3) < 0.005
    with pytest.raises(InputError, match="negative"):
        gaussian_noise(x, -1.0, torch.Generator())
