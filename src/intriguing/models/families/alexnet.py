"""AlexNet: as Krizhevsky, Sutskever and Hinton made it (the paper's [9]), Caffe's, torchvision's.

Krizhevsky's has 60 million weights: five convolutions, three of them split into two groups (his
two GPUs), response normalisation after the first two, overlapping 3×3/2 max pools, and three fully
connected layers.  What is called AlexNet elsewhere differs in small things:

                      order               k    α / n     groups    input
    paper [9]         norm, then pool     2    1e-4      2         227
    bvlc_alexnet      norm, then pool     1    1e-4 / 5  2         227
    CaffeNet          pool, then norm     1    1e-4 / 5  2         227
    torchvision       no norm; 64, 192, 384, 256, 256 channels  1  224

The paper [9] says 224, but 224 gives no 55×55 map; 227 does, and is what all code uses.
"""

import re
from collections import OrderedDict
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.models.family import FOR_PHOTOGRAPHS, Family, Shape, register_family
from intriguing.models.max_pool import MaxPool2d
from intriguing.models.normalized import Normalized, normalized_for_caffe

WINDOW = 5
"""Channels of a local response normalisation (the paper [9], §3.3)."""

AnyNetwork = TypeVar("AnyNetwork", bound=nn.Module)


class AlexNet(nn.Module):
    """Krizhevsky's AlexNet: logits of images of 227×227, as its first layer wants them.

    Names of weights, `features.conv1.weight` to `classifier.fc8.bias`, are those of the well-known
    conversion of Caffe's files.  Local response normalisation divides each channel by
    (k + share Σ x²)^(3/4), the sum over the 5 channels around it.

    Args:
        classes: How many logits.
        k: 2 in the paper [9], 1 in Caffe.
        share: What each square counts: 1e-4 in the paper [9], a fifth of it in Caffe.
        pool_first: Whether pooling comes before normalisation, as in CaffeNet.
        width: Channels of the first layer; all others are in proportion, 96 is the real one.

    >>> sum(weight.numel() for weight in AlexNet(classes=2, width=6).parameters())
    225258
    """

    shape = (3, 227, 227)

    def __init__(
        self,
        classes: int = 1000,
        *,
        k: float = 2.0,
        share: float = 1e-4,
        pool_first: bool = False,
        width: int = 96,
    ) -> None:
        super().__init__()
        c1, c2, c3, fc = width, width * 8 // 3, width * 4, width * 128 // 3
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["conv1"] = nn.Conv2d(3, c1, 11, stride=4)
        parts |= _squash(1, k, share, pool_first)
        parts["conv2"] = nn.Conv2d(c1, c2, 5, padding=2, groups=2)
        parts |= _squash(2, k, share, pool_first)
        parts["conv3"] = nn.Conv2d(c2, c3, 3, padding=1)
        parts["relu3"] = nn.ReLU()
        parts["conv4"] = nn.Conv2d(c3, c3, 3, padding=1, groups=2)
        parts["relu4"] = nn.ReLU()
        parts["conv5"] = nn.Conv2d(c3, c2, 3, padding=1, groups=2)
        parts["relu5"] = nn.ReLU()
        parts["pool5"] = MaxPool2d(3, 2)
        self.features = nn.Sequential(parts)
        self.classifier = nn.Sequential(
            OrderedDict(
                fc6=nn.Linear(c2 * 6 * 6, fc),
                relu6=nn.ReLU(),
                drop6=nn.Dropout(),
                fc7=nn.Linear(fc, fc),
                relu7=nn.ReLU(),
                drop7=nn.Dropout(),
                fc8=nn.Linear(fc, classes),
            )
        )

    def forward(self, images: Float[Tensor, "batch 3 227 227"]) -> Float[Tensor, "batch classes"]:
        """Logits."""
        logits: Tensor = self.classifier(self.features(images).flatten(1))
        return logits


def _squash(layer: int, k: float, share: float, pool_first: bool) -> OrderedDict[str, nn.Module]:
    """What follows the first two convolutions; torch divides α by the window, so it gets 5 α."""
    norm = (f"norm{layer}", nn.LocalResponseNorm(WINDOW, alpha=WINDOW * share, beta=0.75, k=k))
    pool = (f"pool{layer}", MaxPool2d(3, 2))
    last = (pool, norm) if pool_first else (norm, pool)
    return OrderedDict([(f"relu{layer}", nn.ReLU()), *last])


class TorchvisionAlexNet(nn.Module):
    """torchvision's AlexNet, without torchvision: no groups, no normalisation, padded conv1.

    It is the network of "One weird trick for parallelizing convolutional neural networks"
    (Krizhevsky, 2014).  Names of weights are torchvision's, `features.0.weight` to
    `classifier.6.bias`.

    Args:
        classes: How many logits.
    """

    shape = (3, 224, 224)

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 64, 11, stride=4, padding=2),
            nn.ReLU(),
            MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(),
            MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(),
            MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, classes),
        )

    def forward(
        self, images: Float[Tensor, "batch 3 height width"]
    ) -> Float[Tensor, "batch classes"]:
        """Logits."""
        features = self.avgpool(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


@register_family
class AlexNetFamily(Family):
    """The four of the table above, 1000 classes, from photographs in [0, 1], RGB, to logits."""

    pattern = "alexnet|alexnet-caffe|caffenet|alexnet-torchvision"
    called = "alexnet, alexnet-caffe, caffenet, alexnet-torchvision"
    untrained = FOR_PHOTOGRAPHS

    def build(self, name: re.Match[str], shape: Shape) -> Normalized:
        """With the normalisation that its weights expect in front of it."""
        if name[0] == "alexnet-torchvision":
            return Normalized(TorchvisionAlexNet(), (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        if name[0] == "alexnet":
            return normalized_for_caffe(AlexNet())
        return normalized_for_caffe(AlexNet(k=1, share=1e-4 / 5, pool_first=name[0] == "caffenet"))

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """As the paper [9] did."""
        initialise(head, generator)


@torch.no_grad()
def initialise(model: AnyNetwork, generator: torch.Generator) -> AnyNetwork:
    """Draw weights as the paper [9] did: normal with deviation 0.01, biases 0 or 1 (its §5).

    The biases of conv2, conv4, conv5 and of the hidden fully connected layers are 1.  The draw
    happens on the CPU in float32, so that a seed means the same weights on every device.
    """
    ones = ("conv2", "conv4", "conv5", "fc6", "fc7")
    for name, layer in model.named_modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            layer.weight.copy_(0.01 * torch.randn(layer.weight.shape, generator=generator))
            assert layer.bias is not None
            layer.bias.fill_(float(name.endswith(ones)))
    return model
