"""Small networks for the unit analysis, some with weights so plain that sums are exact."""

import torch
from torch import nn

from intriguing.data.dataset import ImageSet


def exact_network(seed: int) -> nn.Module:
    """Small integers everywhere: float32 is exact, and ties abound."""
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(16, 6),
    )
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randint(-1, 2, parameter.shape, generator=generator))
    return model.eval()


def exact_images(count: int, seed: int) -> torch.Tensor:
    """Images of zeros and ones, 6 × 6."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (count, 1, 6, 6), generator=generator).float()


def integer_directions(units: int, count: int, seed: int) -> torch.Tensor:
    """Directions of small integers."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-2, 3, (units, count), generator=generator).float()


def conv_network(seed: int = 0) -> nn.Module:
    """A convolutional network as it comes from its initialisation."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(8, 12, 3),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 36, 20),
        nn.Sigmoid(),
        nn.Linear(20, 10),
    ).eval()


def image_set(images: torch.Tensor, labels: torch.Tensor | None = None, classes: int = 10):
    """Images under ids that count them."""
    n = len(images)
    return ImageSet(
        "made",
        images,
        torch.arange(n) % classes if labels is None else labels,
        tuple(f"made/{i:05d}" for i in range(n)),
        tuple(map(str, range(classes))),
    )
