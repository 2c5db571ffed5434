"""Fully connected ReLU networks as torch's `nn.Sequential` numbers them, such as mlp100-100-10."""

import math
import re
from itertools import pairwise

import torch
from torch import nn

from intriguing.models.family import Family, Shape, register_family
from intriguing.models.initial import draw_he, weight_layers
from intriguing.models.schedule import Schedule


class Perceptron(nn.Sequential):
    """Flatten, then linear layers of `sizes` with ReLU between them: weights 1, 3, 5, …

    >>> list(Perceptron((784, 100, 10)).state_dict())
    ['1.weight', '1.bias', '3.weight', '3.bias']
    """

    def __init__(self, sizes: tuple[int, ...]) -> None:
        layers: list[nn.Module] = []
        for before, after in pairwise(sizes):
            layers += [nn.Linear(before, after), nn.ReLU()]
        super().__init__(nn.Flatten(), *layers[:-1])
        self.shape = (sizes[0],)


@register_family
class PerceptronFamily(Family):
    """mlpA-B-…-K, trained by minibatches."""

    pattern = r"mlp([1-9]\d*(?:-[1-9]\d*)*)"
    called = "mlpA-B-...-K (layers of A, B, ... ReLU units and K classes, such as mlp100-100-10)"

    def build(self, name: re.Match[str], shape: Shape) -> Perceptron:
        """The network of images of so many pixels, whatever their shape."""
        return Perceptron((math.prod(shape), *map(int, name[1].split("-"))))

    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """He's, which has no gain."""
        draw_he(weight_layers(head), generator)

    def schedule(self, images: int) -> Schedule:
        """6 epochs of MNIST's 60,000; of fewer images up to 30."""
        return Schedule(epochs=max(6, min(30, 360_000 // images)), rate=0.1)
