"""Labels, targets and images are checked by one rule, in every entry alike."""

from typing import Any

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing import InputError
from intriguing.data.dataset import ImageSet
from intriguing.testing import assert_min_distortion

IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 4)).eval()


LABELS = network()(IMAGES).argmax(1)
TARGETS = (LABELS + 1) % 4


def asked(images: Any = IMAGES, labels: Any = LABELS, targets: Any = TARGETS) -> dict[str, Any]:
    """Everything that takes labels, called with them; of these only the last takes targets."""
    model = network()
    names = tuple("abcdef")
    return {
        "certify": lambda: it.certify(model, images, labels, semidefinite=False, local=False),
        "sandwich": lambda: it.sandwich(model, images, labels, budget=20),
        "error_matrix": lambda: it.error_matrix({"m": model}, {"s": [(images, labels)]}),
        "assert": lambda: assert_min_distortion(model, images, labels, 1e-9, budget=20),
        "image set": lambda: ImageSet("s", images, labels, names, tuple("wxyz")),
        "pools": lambda: it.train_with_pools(network(), images, labels, []),
        "minimum": lambda: it.minimum_distortion(model, images, labels, targets, budget=20),
    }


WRONG_LABELS: dict[str, tuple[Any, str]] = {
    "float": (LABELS.float(), "dtype torch.float32; give integer"),
    "bool": (LABELS.bool(), "dtype torch.bool; give integer"),
    "complex": (LABELS.to(torch.complex128), "dtype torch.complex128; give integer"),
    "(n, 1)": (LABELS[:, None], r"shape \(6, 1\) for 6 images.*\[:, 0\]"),
    "one-hot": (nn.functional.one_hot(LABELS, 4), r"one-hot .*argmax\(1\)"),
    "numpy": (LABELS.numpy(), r"a ndarray; .*torch\.as_tensor"),
    "list": (LABELS.tolist(), r"a list; .*torch\.as_tensor"),
    "none": (None, "a NoneType; give an integer"),
    "too few": (LABELS[:5], r"shape \(5,\) for 6 images"),
    "number": (torch.tensor(1), r"shape \(\) for 6 images"),
    "negative": (LABELS - 10, "run from -"),
}


@pytest.mark.parametrize("kind", WRONG_LABELS)
def test_wrong_labels_are_refused_alike(kind: str) -> None:
    labels, said = WRONG_LABELS[kind]
    for name, ask in asked(labels=labels).items():
        with pytest.raises(InputError, match=f"labels .*{said}") as refused:
            ask()
        assert "\n" not in str(refused.value), name


@pytest.mark.parametrize("kind", [k for k in WRONG_LABELS if k != "number"])
def test_wrong_targets_are_refused_as_labels_are(kind: str) -> None:
    targets, said = WRONG_LABELS[kind]
    with pytest.raises(InputError, match=f"targets .*{said}"):
        asked(targets=targets)["minimum"]()


def test_a_label_beyond_the_classes_is_refused() -> None:
    for name, ask in asked(labels=LABELS + 4).items():
        if name != "error_matrix":  # a label that no network gives is an error of the network
            with pytest.raises(InputError, match=r"labels run from .* classes 0 … 3"):
                ask()


@pytest.mark.parametrize("width", [torch.int8, torch.uint8, torch.int16, torch.int32])
def test_integers_of_any_width_are_labels(width: torch.dtype) -> None:
    narrow, wide = asked(labels=LABELS.to(width), targets=TARGETS.to(width)), asked()
    assert torch.equal(narrow["certify"]().radius, wide["certify"]().radius)
    assert torch.equal(narrow["minimum"]().l2, wide["minimum"]().l2)
    assert narrow["image set"]().sha256 == wide["image set"]().sha256
    assert narrow["error_matrix"]() == wide["error_matrix"]()


WRONG_IMAGES: dict[str, tuple[Any, str]] = {
    "numpy": (IMAGES.numpy(), r"torch\.as_tensor\(images\)"),
    "8 bits": ((255 * IMAGES).byte(), r"images\.float\(\) / 255"),
    "no batch": (IMAGES[0, 0, 0], r"image\[None\]"),
    "0 to 255": (255 * IMAGES, "divide the images by 255"),
    "NaN": (IMAGES.index_fill(0, torch.tensor(2), torch.nan), "NaN or infinity.*index 2"),
    "infinite": (IMAGES.index_fill(0, torch.tensor(3), torch.inf), "NaN or infinity.*index 3"),
    "sparse": (IMAGES.to_sparse(), r"images\.to_dense\(\)"),
}


@pytest.mark.parametrize("kind", WRONG_IMAGES)
def test_wrong_images_are_refused_alike(kind: str) -> None:
    images, said = WRONG_IMAGES[kind]
    model = network()
    asking = asked(images=images)
    asking["preflight"] = lambda: it.preflight(model, images)
    # What only counts, or keeps images, takes pixels of any size.
    any_value = kind in ("0 to 255", "NaN", "infinite")
    for name, ask in asking.items():
        if any_value and name in ("error_matrix", "image set"):
            continue
        with pytest.raises(InputError, match=said) as refused:
            ask()
        assert "\n" not in str(refused.value), name


def test_images_that_want_gradients_or_lie_scattered_are_images() -> None:
    model = network()
    plain = it.minimum_distortion(model, IMAGES, LABELS, TARGETS, budget=20)
    for images in (
        IMAGES.clone().requires_grad_(),
        IMAGES.transpose(2, 3).contiguous().transpose(2, 3),
        IMAGES.repeat(2, 1, 1, 1)[::2] * 0 + IMAGES,
    ):
        found = it.minimum_distortion(model, images, LABELS, TARGETS, budget=20)
        assert torch.equal(found.adversarial, plain.adversarial)
        assert not found.adversarial.requires_grad
        assert (it.certify(model, images, LABELS, local=False).radius > 0).all()


def test_channels_at_the_end_are_told() -> None:
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(8, 3)).eval()
    with pytest.raises(InputError, match=r"images\.permute\(0, 3, 1, 2\)"):
        it.preflight(model, torch.rand(2, 6, 6, 3))
