"""Networks that tests of controls look into, and attacks that ended as they say."""

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing import ImageSet, load_data
from intriguing.distortion.result import Status
from intriguing.measures import distortion
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import run_in_shards


class Spied(nn.Module):
    """A network that keeps what it is shown."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.eval()
        self._shown: list[Tensor] = []

    def forward(self, x: Tensor) -> Tensor:
        """Logits of the inner network."""
        if type(x) is Tensor:  # and nothing that only traces
            self._shown.append(x.detach().clone())
        return self.inner(x)

    def shown(self, count: int) -> list[Tensor]:
        """What it was shown of so many images at once, in order; without what fills a group up."""
        return [
            x[:count] for x in self._shown
            if len(x) >= count and torch.equal(x[count:], x[:1].expand_as(x[count:]))
        ]  # fmt: skip


def linear(seed: int, features: int = 64, classes: int = 10) -> nn.Module:
    """Flatten and multiply."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(features, classes)).eval()
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return net


def means(scale: float = 3.0) -> nn.Module:
    """A linear classifier of the digits: the nearest mean."""
    train = load_data("digits").train
    x = train.images.flatten(1)
    middle = torch.stack([x[train.labels == label].mean(0) for label in range(10)])
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    net[1].weight.data.copy_(scale * middle)
    net[1].bias.data.copy_(-scale / 2 * middle.square().sum(1))
    return net


def attacked(images: ImageSet, adversarial: Tensor, found: Tensor, folder: Path) -> Attacked:
    """An attack on images that ended with these."""
    sizes = torch.where(found, distortion(images.images, adversarial), torch.inf)
    columns = {
        "adversarial": adversarial, "distortion": sizes, "success": found,
        "l2": sizes * math.sqrt(images.images[0].numel()),
        "status": torch.where(found, int(Status.FOUND), int(Status.NOT_FOUND)),
    }  # fmt: skip

    def compute(items: slice, report: object) -> dict[str, Tensor]:
        return {name: column[items] for name, column in columns.items()}

    return Attacked(images, run_in_shards(compute, len(images), len(images), folder, "made"))
