"""A family of networks: everything about networks of one kind that their name alone decides.

A new family is one file in `models/families/`, or a registered class of anybody's own; whoever
builds, trains, loads or saves a network asks its family, and nobody asks what class it is of.
"""

import importlib
import math
import pkgutil
import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.models.pretraining import Pretraining, Sparsity
from intriguing.models.schedule import Schedule

Shape: TypeAlias = tuple[int, ...]


class Family(ABC):
    """Networks whose names fit one pattern.

    Only names, how to build and how to begin have to be said; the rest has usual answers.

    Attributes:
        pattern: A regular expression that whole names fit, in small letters.
        called: How help and errors write the names, and what they mean.
        untrained: Why `train_network` cannot train these networks, and what does; "" if it can.
        unlabelled: Whether `intriguing train` teaches them by images without labels, as QuocNet.
    """

    pattern: ClassVar[str]
    called: ClassVar[str]
    untrained: ClassVar[str] = ""
    unlabelled: ClassVar[bool] = False

    @abstractmethod
    def build(self, name: re.Match[str], shape: Shape) -> nn.Module:
        """An untrained network from images of a shape to logits.

        Args:
            name: What `pattern` found in the name.
            shape: Of one image, channels first; one number where only that of pixels is known.

        Raises:
            InputError: If such a network does not take such images.
        """

    @abstractmethod
    def initialise(self, head: nn.Module, generator: torch.Generator, gain: float) -> None:
        """Draw all weights of what is trained as a classifier; `draw_glorot`, `draw_he` do it.

        Args:
            head: What `head` gave.
            generator: On the CPU; the only source of what is drawn.
            gain: A scale of the weights that a recipe may ask for.
        """

    def schedule(self, images: int) -> Schedule | None:
        """How to train by minibatches on so many images; None is L-BFGS on all of them at once."""
        return None

    def decay(self, layers: int) -> tuple[float, ...]:
        """The usual λ of each trained layer with weights, the input's first."""
        return (1e-4,) * layers

    def head(self, network: nn.Module) -> nn.Module:
        """The part of the network that is trained as a classifier: all of it."""
        return network

    def inputs(self, network: nn.Module, images: Tensor) -> Tensor:
        """What `head` is given: the images themselves."""
        return images

    def pretraining(
        self, network: nn.Module, generator: torch.Generator, sparsity: Sparsity
    ) -> Pretraining | None:
        """What is learned first, without labels: nothing."""
        return None

    def shape_of(self, weights: Mapping[str, Tensor]) -> Shape:
        """The shape of the images that a network with these weights takes, or their pixels.

        As many pixels as the first matrix has columns, or MNIST's where there is none.
        """
        first = next((w for _, w in sorted(weights.items()) if w.ndim == 2), None)
        return (784 if first is None else first.shape[1],)

    def like(self, name: str, weights: Mapping[str, Tensor]) -> nn.Module:
        """The network of a name that takes these weights; they may say what the name leaves open.

        Raises:
            ValueError: If they are another network's; says what is wrong, in words that go on after
                the name of the file.
        """
        return self.make(name, self.shape_of(weights))

    def make(self, name: str, shape: Shape) -> nn.Module:
        """The network of a name that fits the pattern."""
        match = re.fullmatch(self.pattern, name.lower())
        assert match is not None, f"{name} is no name of this family"
        return self.build(match, shape)


FOR_PHOTOGRAPHS = (
    "is a network for photographs, whose weights are loaded, not trained here; give another of "
    "`intriguing train --help`"
)

AnyFamily = TypeVar("AnyFamily", bound=type[Family])

_FAMILIES: dict[str, Family] = {}


def register_family(family: AnyFamily) -> AnyFamily:
    """Make a family known, as a decorator of its class; of one pattern the last one counts."""
    _FAMILIES[family.pattern] = family()
    return family


def families() -> tuple[Family, ...]:
    """All that are known."""
    from intriguing.models import families as room

    for file in pkgutil.iter_modules(room.__path__):
        importlib.import_module(f"{room.__name__}.{file.name}")
    return tuple(_FAMILIES.values())


def named_family(name: str) -> Family | None:
    """The one family whose pattern a name fits; None if there is none.

    Raises:
        InputError: If it fits those of several.
    """
    fitting = [one for one in families() if re.fullmatch(one.pattern, name.lower())]
    if len(fitting) > 1:
        raise InputError(
            f"{name!r} is a name of {' and of '.join(one.called for one in fitting)}; change the "
            "pattern of one of them"
        )
    return fitting[0] if fitting else None


def find_family(name: str) -> Family:
    """The family of a name.

    Raises:
        InputError: If there is none; says what names there are.
    """
    family = named_family(name)
    if family is None:
        raise InputError(f"unknown network {name!r}; give {called()}")
    return family


def called() -> str:
    """The names of all families, for help and errors."""
    return ", ".join(one.called for one in families())


def build_network(name: str, pixels: int | Shape = 784) -> nn.Module:
    """An untrained network by its name; its weights are torch's own random ones.

    Args:
        name: "fc10", "fc100-100-10", "ae400-10", "conv32-64-200-10", "squeezenet" or any other
            that fits the pattern of a family.
        pixels: Numbers in one image, or its shape, channels first, which a convolutional network
            needs unless images are square and gray; networks for photographs have their own.

    Raises:
        InputError: If the name fits no pattern, or the images do not suit the network.

    >>> build_network("fc123-456-10").describe()
    'fc123-456-10'
    """
    return find_family(name).make(name, _shape(pixels))


def find_trainable(name: str) -> Family:
    """The family of a network that `train_network` can train.

    Raises:
        InputError: If there is none, or it is trained otherwise.
    """
    family = find_family(name)
    if family.untrained:
        raise InputError(f"{name} {family.untrained}")
    return family


def _shape(pixels: int | Shape) -> Shape:
    """The shape of images of which it, or only the number of pixels, is known: gray squares."""
    known = (pixels,) if isinstance(pixels, int) else tuple(pixels)
    if len(known) > 1:
        return known
    side = math.isqrt(known[0])
    return (1, side, side) if side**2 == known[0] else known
