"""Networks of one operation between two linear layers, and the bound of them."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

import intriguing as it
from tests.oracles.every_operation import (
    SHAPE,
    steepest,
)

UNIT = (0.0, 1.0)


class Body(nn.Module):
    """A function of sixteen hidden values between two linear layers."""

    def __init__(self, body: Callable[[Tensor], Tensor], seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.before, self.after = nn.Linear(16, 16), nn.Linear(16, 3)
        self.body = body
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        made = self.body(self.before(x.flatten(1)))
        return self.after(made.to(self.after.weight.dtype))


def upper(body: Callable[[Tensor], Tensor], domain: object = None, seed: int = 0) -> float:
    report = it.lipschitz_report(
        Body(body, seed), SHAPE, domain=domain, semidefinite=False, lower=False
    )
    found = steepest(Body(body, seed).double(), None if domain is None else it.Box(0.0, 1.0))
    assert found <= report.upper * (1 + 1e-6)
    if math.isinf(report.upper):
        assert report.notes, "what is infinite has a reason"
    return report.upper
