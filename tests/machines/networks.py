"""Small networks with weights drawn from a seed, and images for them."""

import torch
from torch import Tensor, nn

CLASSES = 10
SHAPE = (1, 28, 28)
PIXELS = 784


def smooth() -> nn.Module:
    """Sigmoids, and layers of odd widths: nothing ends where a vector of the processor does."""
    layers = (nn.Flatten(), nn.Linear(PIXELS, 33), nn.Sigmoid(), nn.Linear(33, CLASSES))
    return _drawn(nn.Sequential(*layers), 0)


def kinked() -> nn.Module:
    """Convolutions, normalisation by running statistics, ReLU and max-pooling."""
    return _drawn(
        nn.Sequential(
            nn.Conv2d(1, 6, 5, 2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(6, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, CLASSES),
        ),
        1,
    )  # fmt: skip


def affine() -> nn.Module:
    """The network whose answers are proved."""
    return _drawn(nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, CLASSES)), 2)


def wide() -> nn.Module:
    """Affine with more classes than are looked at together."""
    return _drawn(nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 60)), 4)


NETWORKS = {"smooth": smooth, "kinked": kinked, "affine": affine, "wide": wide}


def images(count: int) -> tuple[Tensor, Tensor]:
    """Images and a class for each that is not the label 0, by image alone."""
    generator = torch.Generator().manual_seed(3)
    drawn = torch.rand(64, *SHAPE, generator=generator)
    return drawn[:count], torch.arange(count) % (CLASSES - 1) + 1


def _drawn(model: nn.Module, seed: int) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.ndim > 1:
            fan_in = tensor[0].numel()
            tensor.data = torch.randn(tensor.shape, generator=generator) / fan_in**0.5
        elif tensor.is_floating_point():
            tensor.data = 0.5 + torch.rand(tensor.shape, generator=generator)
    return model.eval()
