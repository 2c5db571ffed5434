"""Layers with weights, and their first values drawn from a generator.

All draws happen on the CPU in float32, so that a seed means the same weights on every device.
"""

import math
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor, nn

Layer: TypeAlias = nn.Linear | nn.Conv2d
"""What has weights that are drawn, and that decay."""


def weight_layers(model: nn.Module) -> list[Layer]:
    """The linear and convolutional layers of a network, as `model.modules()` orders them."""
    return [layer for layer in model.modules() if isinstance(layer, Layer)]


@torch.no_grad()
def draw_glorot(layers: Sequence[Layer], generator: torch.Generator, gain: float = 1.0) -> None:
    """Draw weights uniformly with variance gain² · 2 / (inputs + outputs) (Glorot, 2010), biases 0.

    Inputs and outputs of a convolution are those of one place of its filter.
    """
    for layer in layers:
        inputs = layer.weight[0].numel()
        outputs = len(layer.weight) * layer.weight[0][0].numel()
        _draw(layer, gain * math.sqrt(6.0 / (inputs + outputs)), generator)


@torch.no_grad()
def draw_he(layers: Sequence[Layer], generator: torch.Generator) -> None:
    """Draw weights uniformly with variance 2 / inputs (He, 2015), as suits rectifiers; biases 0."""
    for layer in layers:
        _draw(layer, math.sqrt(6.0 / layer.weight[0].numel()), generator)


def _draw(layer: Layer, bound: float, generator: torch.Generator) -> None:
    draw = torch.rand(layer.weight.shape, generator=generator)
    layer.weight.copy_((2.0 * draw - 1.0) * bound)
    bias: Tensor | None = layer.bias
    if bias is not None:
        bias.zero_()
