"""A network, and what is proved of it or of one like it."""

import torch
from torch import Tensor, nn

from intriguing import (
    Box,
    InputError,
    certify,
    lipschitz_report,
)
from tests.oracles.tricky import SHAPE, plain

IMAGES = torch.rand(6, *SHAPE, generator=torch.Generator().manual_seed(3))


def network() -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return plain().eval()


def radii(model: nn.Module) -> Tensor:
    with torch.no_grad():
        labels = model(IMAGES.clone()).argmax(1)
    made = certify(model, IMAGES, labels, semidefinite=False, local=False)
    assert made.guaranteed or not made.radius.any()
    return made.radius


def proves_nothing(model: nn.Module) -> str:
    """Refused, or radius 0 and ∞; what is said of it."""
    said = []
    try:
        assert not radii(model).any()
    except InputError as refusal:
        said.append(str(refusal))
    try:
        report = lipschitz_report(model, SHAPE, domain=Box(0, 1), semidefinite=False, lower=False)
        assert not report.guaranteed
        said.extend(report.notes)
    except InputError as refusal:
        said.append(str(refusal))
    return " ".join(said)
