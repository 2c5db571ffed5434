"""Residual networks for CIFAR (He et al. 2016, arXiv:1512.03385, section 4.2): resnet20, …"""

import re
from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.models.family import FOR_PHOTOGRAPHS, Family, Shape, register_family
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.normalized import Normalized
from intriguing.models.weights import without_common_prefix

_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, which the published weights were trained with."""


class Block(nn.Module):
    """relu(x + bn(conv(relu(bn(conv(x)))))); where channels double, x gives every second pixel.

    What x lacks in channels are zeros on both sides, so that the shortcut has no weights (option A
    of the source).
    """

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.stride = stride

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch out h w"]:
        """Of so many channels as the second convolution has."""
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        if self.stride > 1:
            x = x[:, :, :: self.stride, :: self.stride]
        missing = y.shape[1] - x.shape[1]
        if missing:
            x = functional.pad(x, (0, 0, 0, 0, missing // 2, missing - missing // 2))
        return torch.relu(y + x)


class ResNet(nn.Module):
    """6n + 2 layers: a convolution, three stages of n blocks, the mean of each map, logits.

    Stages have w, 2w and 4w channels; the second and the third halve the image's sides. Names of
    weights: `conv1.weight`, `bn1.weight`, `layer1.0.conv1.weight`, … , `linear.bias`.

    Args:
        blocks: n, of each stage.
        width: w, 16 in the source.
        classes: How many logits.

    >>> sum(weight.numel() for weight in ResNet(3).parameters())
    269722
    """

    shape = (3, 32, 32)

    def __init__(self, blocks: int, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.layer1 = _stage(width, width, blocks, stride=1)
        self.layer2 = _stage(width, 2 * width, blocks, stride=2)
        self.layer3 = _stage(2 * width, 4 * width, blocks, stride=2)
        self.linear = nn.Linear(4 * width, classes)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        x = torch.relu(self.bn1(self.conv1(images)))
        logits: Tensor = self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))
        return logits


def _stage(before: int, after: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        Block(before, after, stride), *(Block(after, after, 1) for _ in range(blocks - 1))
    )


@register_family
class ResNetFamily(Family):
    """resnetD, from images in [0, 1], RGB, to logits; their weights say width and classes."""

    pattern = r"resnet([1-9]\d{0,3})"
    called = "resnetD (6n + 2 layers for CIFAR, such as resnet20 and resnet56)"
    untrained = FOR_PHOTOGRAPHS

    def build(self, name: re.Match[str], shape: Shape) -> Normalized:
        """With 16, 32 and 64 channels and ten classes."""
        return Normalized(ResNet(_blocks(name[0])), _MEAN, _STD)

    def like(self, name: str, weights: Mapping[str, Tensor]) -> Normalized:
        """Width and classes are those of the first and of the last layer."""
        weights, blocks = without_common_prefix(weights), _blocks(name)
        there = sum(re.fullmatch(r"layer1\.\d+\.conv1\.weight", key) is not None for key in weights)
        if there != blocks:
            of = f"are of resnet{6 * there + 2}" if there else "have no layer1.0.conv1.weight"
            raise ValueError(f"it has {blocks} blocks a stage, and the weights {of}")
        first, last = weights["conv1.weight"], weights["linear.weight"]
        if first.shape[1] != 3:
            raise ValueError(f"it takes images of 3 channels, and the weights of {first.shape[1]}")
        return Normalized(ResNet(blocks, len(first), len(last)), _MEAN, _STD)

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """He's, as suits rectifiers."""
        draw_he(weight_layers(head), generator)


def _blocks(name: str) -> int:
    depth = int(name.lower().removeprefix("resnet"))
    if depth % 6 != 2 or depth < 8:
        raise InputError(
            f"{name}: residual networks for CIFAR have 6n + 2 layers, such as resnet20, resnet32 "
            f"and resnet56; ImageNet's is torchvision:{name.lower()}"
        )
    return (depth - 2) // 6
