"""SqueezeNet 1.0 (Iandola et al., 2016): AlexNet's accuracy with a fiftieth of its weights."""

import re

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.models.family import FOR_PHOTOGRAPHS, Family, Shape, register_family
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.max_pool import MaxPool2d
from intriguing.models.normalized import Normalized, normalized_for_caffe


class Fire(nn.Module):
    """Few 1×1 filters, then many 1×1 and 3×3 ones side by side; ReLU after each."""

    def __init__(self, channels: int, squeezed: int, expanded: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.expand1 = nn.Conv2d(squeezed, expanded, 1)
        self.expand3 = nn.Conv2d(squeezed, expanded, 3, padding=1)

    def forward(self, x: Float[Tensor, "batch channels h w"]) -> Float[Tensor, "batch out h w"]:
        """Both expansions, 2 · expanded channels."""
        few = torch.relu(self.squeeze(x))
        return torch.relu(torch.cat((self.expand1(few), self.expand3(few)), 1))


class SqueezeNet(nn.Module):
    """SqueezeNet 1.0: logits of images of 227×227, as its first layer wants them.

    26 convolutions and no fully connected layer: the last one has one map a class, and a logit is
    the mean of its map.  Names of weights: `conv1.weight`, `fire2.squeeze.weight`, … ,
    `conv_final.bias`.  As in the authors' release, conv1 is not padded, `conv_final` is (1 pixel,
    which enters the mean), and pools round up.

    Args:
        classes: How many logits.

    >>> sum(weight.numel() for weight in SqueezeNet().parameters())
    1248424
    """

    shape = (3, 227, 227)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 7, stride=2)
        self.fire2 = Fire(96, 16, 64)
        self.fire3 = Fire(128, 16, 64)
        self.fire4 = Fire(128, 32, 128)
        self.fire5 = Fire(256, 32, 128)
        self.fire6 = Fire(256, 48, 192)
        self.fire7 = Fire(384, 48, 192)
        self.fire8 = Fire(384, 64, 256)
        self.fire9 = Fire(512, 64, 256)
        self.pool = MaxPool2d(3, 2, ceil_mode=True)
        self.drop = nn.Dropout()
        self.conv_final = nn.Conv2d(512, classes, 1, padding=1)

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        x = self.pool(torch.relu(self.conv1(images)))
        x = self.pool(self.fire4(self.fire3(self.fire2(x))))
        x = self.pool(self.fire8(self.fire7(self.fire6(self.fire5(x)))))
        x = self.conv_final(self.drop(self.fire9(x)))
        return torch.relu(x).mean((2, 3))


@register_family
class SqueezeNetFamily(Family):
    """SqueezeNet 1.0 of 1000 classes, from photographs in [0, 1], RGB, to logits."""

    pattern = called = "squeezenet"
    untrained = FOR_PHOTOGRAPHS

    def build(self, name: re.Match[str], shape: Shape) -> Normalized:
        """With Caffe's normalisation in front of it."""
        return normalized_for_caffe(SqueezeNet())

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """He's, as suits rectifiers."""
        draw_he(weight_layers(head), generator)
