"""Random convolutions and pools small enough for a dense Jacobian, of every kind torch has."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}
MODES = ("zeros", "reflect", "replicate", "circular")


@dataclass(frozen=True)
class RandomLayer:
    """A layer that runs on inputs of `shape` (channels first, no batch)."""

    module: nn.Module
    shape: tuple[int, ...]

    @property
    def size(self) -> tuple[int, ...]:
        """Pixels an axis."""
        return self.shape[1:]

    @property
    def text(self) -> str:
        """What to say of it when it fails."""
        return f"{self.module} on {self.shape}"


def random_convolutions(count: int, seed: int) -> Iterator[RandomLayer]:
    """Kernel, stride, padding and its mode, dilation, groups, channels, axes; transposed too.

    Images smaller than the kernel included. Configurations that torch refuses are drawn again.
    """
    draw = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    made = 0
    while made < count:
        axes = (1, 1, 2, 2, 2, 3)[number(0, 5)]
        kernel = tuple(number(1, (9, 6, 3)[axes - 1]) for _ in range(axes))
        stride = tuple(number(1, 4) for _ in range(axes))
        dilation = tuple(number(1, 3) for _ in range(axes))
        padding = tuple(number(0, (5, 5, 2)[axes - 1]) for _ in range(axes))
        size = tuple(number(1, (20, 8, 4)[axes - 1]) for _ in range(axes))
        groups = (1, 1, 2, 3)[number(0, 3)]
        channels = (groups * number(1, 3), groups * number(1, 3))
        same: dict[str, object] = {"dilation": dilation, "groups": groups, "bias": False}
        kind = number(0, 9)
        if kind < 2:
            extra = tuple(number(0, max(s, d) - 1) for s, d in zip(stride, dilation, strict=True))
            module = TRANSPOSED[axes](
                *channels, kernel, stride, padding, output_padding=extra, **same
            )
        elif kind == 2:
            text = ("same", "valid")[number(0, 1)]
            module = CONVOLUTIONS[axes](*channels, kernel, padding=text, **same)
        else:
            mode = MODES[max(0, number(-3, 3))]
            module = CONVOLUTIONS[axes](
                *channels, kernel, stride, padding, padding_mode=mode, **same
            )
        with torch.no_grad():
            module.weight.copy_(_weights(module.weight.shape, number(0, 3), draw))
        layer = RandomLayer(module.double().eval(), (channels[0], *size))
        if runs(layer):
            made += 1
            yield layer


def random_pools(count: int, seed: int) -> Iterator[RandomLayer]:
    """Average and max pools with padding, ceil mode, dilation, divisors; adaptive ones."""
    draw = torch.Generator().manual_seed(seed)

    def number(low: int, high: int) -> int:
        return int(torch.randint(low, high + 1, (), generator=draw))

    made = 0
    while made < count:
        kernel, stride = (number(1, 4), number(1, 4)), (number(1, 4), number(1, 4))
        size, padding = (number(1, 9), number(1, 9)), (number(0, 2), number(0, 2))
        ceil = bool(number(0, 1))
        options = (
            nn.AvgPool2d(
                kernel,
                stride,
                padding,
                ceil,
                bool(number(0, 1)),
                number(1, 5) if number(0, 3) == 0 else None,
            ),
            nn.MaxPool2d(kernel, stride, padding, (number(1, 3), number(1, 3)), ceil_mode=ceil),
            nn.AdaptiveAvgPool2d((number(1, 9), number(1, 9))),
            nn.AdaptiveMaxPool2d((number(1, 9), number(1, 9))),
        )
        layer = RandomLayer(options[number(0, 3)].eval(), (1, *size))
        if runs(layer):
            made += 1
            yield layer


def runs(layer: RandomLayer) -> bool:
    """Whether torch takes it, and no window lies in padding alone.

    The maximum of such a window is −∞, and its gradient goes to memory that is not the input's.
    """
    try:
        output = layer.module(torch.zeros(1, *layer.shape, dtype=torch.float64))
        return output.numel() > 0 and bool(output.isfinite().all())
    except (RuntimeError, ValueError):
        return False


def _weights(shape: torch.Size, kind: int, draw: torch.Generator) -> Tensor:
    """Gaussian, positive, of one tap, or flat: spectra with peaks at zero, none, and ties."""
    weights = torch.randn(shape, generator=draw, dtype=torch.float64)
    if kind == 1:
        return weights.abs()
    if kind == 2:
        return weights * (torch.rand(shape, generator=draw) < 0.2)
    return torch.ones_like(weights) if kind == 3 and shape[0] % 2 else weights
