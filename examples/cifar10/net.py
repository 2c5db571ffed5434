"""Two small convolutional networks for CIFAR-10, as anybody might have written them.

`train.py` in this folder trains them; then

    intriguing audit examples/cifar10/net.py:plain examples/cifar10/net.py:residual \\
        --data zip:results/cifar10/test.zip --out results/cifar10/audit
"""

from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

WEIGHTS = Path("results/cifar10")


class Plain(nn.Module):
    """Three convolutions with batch norm, ReLU and max-pooling, and one linear layer."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(*_stage(3, 32), *_stage(32, 64), *_stage(64, 128))
        self.classifier = nn.Linear(128 * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of RGB images in [0, 1]."""
        return self.classifier(self.features(images - 0.5).flatten(1))


def _stage(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU(), nn.MaxPool2d(2)]


class Residual(nn.Module):
    """Strided and averaged instead of max-pooled, with two residual blocks and no batch norm."""

    shape = (3, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 5, stride=2, padding=2)
        self.block1 = _block(32)
        self.down = nn.Conv2d(32, 64, 3, stride=2, padding=1)
        self.block2 = _block(64)
        self.pool = nn.AvgPool2d(2)
        self.classifier = nn.Linear(64 * 4 * 4, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits of RGB images in [0, 1]."""
        x = nn.functional.relu(self.stem(images - 0.5))
        x = nn.functional.relu(x + self.block1(x))
        x = nn.functional.relu(self.down(x))
        x = nn.functional.relu(x + self.block2(x))
        return self.classifier(self.pool(x).flatten(1))


def _block(channels: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, channels, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1),
    )


def plain() -> nn.Module:
    """The trained `Plain`."""
    return _trained(Plain(), "plain")


def residual() -> nn.Module:
    """The trained `Residual`."""
    return _trained(Residual(), "residual")


def _trained(model: nn.Module, name: str) -> nn.Module:
    model.load_state_dict(load_file(WEIGHTS / f"{name}.safetensors"))
    return model.eval()
