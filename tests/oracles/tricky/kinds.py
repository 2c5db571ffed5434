"""Networks that are not what their graph, their types or one look at them says.

`TRICKY` has a maker for each kind; called with a seed it gives the same network every time. To add
a kind, write a function from a base network's random weights to a module and decorate it.
"""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

SHAPE = (1, 4, 4)
CLASSES = 3
TRICKY: dict[str, Callable[[int], nn.Module]] = {}

_Maker = Callable[[], nn.Module]


def tricky(make: _Maker) -> _Maker:
    """Add a kind of network; its weights are drawn from torch's generator, seeded anew."""

    @functools.wraps(make)
    def seeded(seed: int) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return make().eval()

    TRICKY[make.__name__] = seeded
    return make


def plain() -> nn.Sequential:
    """Sixteen pixels, a hidden layer of six, three logits."""
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.ReLU(), nn.Linear(6, CLASSES))


class Between(nn.Module):
    """`body` between a linear layer and the logits."""

    def __init__(self, body: Callable[[Tensor], Tensor], width: int = 6) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(16, 6), nn.Linear(width, CLASSES)
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.after(self.body(self.before(x.flatten(1))))


class Lambda(nn.Module):
    """A function as a module."""

    def __init__(self, body: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """What the function says."""
        return self.body(x)
