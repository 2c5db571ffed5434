"""Networks whose units are known to be selective, or known not to be."""

import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.units.directions import haar

CLASSES, PIXELS, UNITS = 5, 36, 20


class Rotation(nn.Module):
    """x → x Q, which a following x → x Qᵀ undoes."""

    def __init__(self, q: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("q", q)

    def forward(self, x):
        return x @ self.q


def centres() -> torch.Tensor:
    """Where the classes lie."""
    return torch.randn(CLASSES, PIXELS, generator=torch.Generator().manual_seed(77))


def noisy_images(count: int = 300, seed: int = 0) -> ImageSet:
    """Images of classes that overlap."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % CLASSES
    noise = torch.randn(count, PIXELS, generator=generator)
    pixels = (0.5 + 0.1 * (0.4 * centres()[labels] + noise)).clamp(0, 1)
    ids = tuple(f"planted/{i:04d}" for i in range(count))
    return ImageSet("planted", pixels.view(-1, 1, 6, 6), labels, ids, tuple("abcde"))


def network(seed: int, *, selective: bool = False, rotated: bool = False, act=nn.ReLU) -> nn.Module:
    """One hidden layer: "2" is its activation, "3" the same after a rotation if `rotated`.

    With `selective`, each unit looks for one class, as if training had made it.
    """
    torch.manual_seed(seed)
    hidden = nn.Linear(PIXELS, UNITS)
    if selective:
        weight = 4 * centres()[torch.arange(UNITS) % CLASSES] + torch.randn(UNITS, PIXELS)
        with torch.no_grad():
            hidden.weight.copy_(weight / 4)
            hidden.bias.copy_(-0.5 * hidden.weight.sum(1))
    turn: list[nn.Module] = []
    if rotated:
        q = haar(UNITS, torch.Generator().manual_seed(10_000 + seed)).matrix.float()
        turn = [Rotation(q), Rotation(q.T)]
    return nn.Sequential(nn.Flatten(), hidden, act(), *turn, nn.Linear(UNITS, CLASSES)).eval()
