"""A network, images, and everybody who asks networks."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import nn

import intriguing as it
from intriguing.adapter import MinimumDistortion
from intriguing.data.dataset import ImageSet
from intriguing.models.schedule import Schedule
from intriguing.testing import assert_min_distortion

IMAGES = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(0))
SHAPE = (1, 4, 4)


def base() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5)).eval()


LABELS = base()(IMAGES).argmax(1)


def entries(
    model: nn.Module, folder: Path | None = None
) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that asks a network for logits."""
    images = ImageSet("six", IMAGES, LABELS, tuple("abcdef"), tuple("vwxyz"))
    attack = MinimumDistortion(budget=10)
    yield from {
        "preflight": lambda: it.preflight(model, IMAGES),
        "minimum_distortion": lambda: it.minimum_distortion(model, IMAGES, LABELS, budget=10),
        "certify": lambda: it.certify(model, IMAGES, LABELS, semidefinite=False, local=False),
        "sandwich": lambda: it.sandwich(model, IMAGES, LABELS, budget=10),
        "clean_accuracy": lambda: it.clean_accuracy(model, images),
        "error_matrix": lambda: it.error_matrix({"m": model}, {"s": [(IMAGES, LABELS)]}),
        "adapter": lambda: attack(model, IMAGES, LABELS),
        "assert_min_distortion": lambda: assert_min_distortion(
            model, IMAGES, LABELS, at_least=1e-9, budget=10
        ),
        "train_with_pools": lambda: it.train_with_pools(
            model, IMAGES, LABELS, ["input"], schedule=Schedule(1, 0.1)
        ),
        "run_audit": lambda: it.run_audit(model, images, "not-made"),
    }.items()


def readers(model: nn.Module) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Everything that asks for the layers or bounds of a network, whatever tensor it gives."""
    yield from {
        "lipschitz_report": lambda: it.lipschitz_report(model, SHAPE),
        "layer_spectra": lambda: it.layer_spectra(model, SHAPE),
        "list_layers": lambda: it.list_layers(model, SHAPE),
        "top_images": lambda: it.top_images(model, "base.1", IMAGES, k=1),
    }.items()
