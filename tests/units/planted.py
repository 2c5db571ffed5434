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


def superposed(
    seed: int, *, features: int = 32, units: int = 16, count: int = 4000, told: bool = True
) -> tuple[ImageSet, torch.Tensor]:
    """Images that are sums of two features, of twice as many as pixels; and all features.

    The label is the class of the stronger one, each having four; without `told`, labels are drawn
    anew and have nothing to do with features.
    """
    generator = torch.Generator().manual_seed(10_000 + seed)  # not what a dictionary starts from
    directions = torch.randn(units, features, generator=generator)
    directions /= directions.norm(dim=0)
    which = torch.rand(count, features, generator=generator).argsort(1)[:, :2]
    strength = torch.tensor([1.0, 0.5]) + 0.5 * torch.rand(count, 2, generator=generator)
    codes = torch.zeros(count, features).scatter(1, which, strength)
    classes = features // 4
    labels = which[:, 0] % classes
    pixels = (0.5 + 0.12 * codes @ directions.T).clamp(0, 1)
    if not told:
        labels = torch.randint(classes, (count,), generator=generator)
    ids = tuple(f"superposed/{i:05d}" for i in range(count))
    names = tuple(map(str, range(classes)))
    return ImageSet("superposed", pixels.view(-1, 1, 4, units // 4), labels, ids, names), directions


def featureless(seed: int, *, units: int = 16, count: int = 4000) -> ImageSet:
    """Images of which every direction is as good as any other; labels are read by eight of them."""
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randn(count, units, generator=generator)
    labels = (rows @ torch.randn(units, 8, generator=generator)).argmax(1)
    pixels = (0.5 + 0.1 * rows).clamp(0, 1)
    ids = tuple(f"featureless/{i:05d}" for i in range(count))
    names = tuple(map(str, range(8)))
    return ImageSet("featureless", pixels.view(-1, 1, 4, units // 4), labels, ids, names)
