"""The MNIST networks: six of Tables 1 and 2, three of the split experiment, one convolutional."""

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import Literal, TypeAlias

from intriguing.models.family import find_family
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.recipe import Recipe

Part: TypeAlias = Literal["train", "P1", "P2"]
"""What a network learns from: the training set, or one of its random halves."""

_CONVEX = LBFGSConfig(tolerance=1e-5)  # one minimum, and cheap: go close to it
_SIGMOID_DECAY = (1e-5, 1e-5, 1e-6)
"""λ of the networks of sigmoid units, layer by layer: §4.2, the caption of Table 1."""

MNIST_NETWORKS: tuple[Recipe, ...] = (
    Recipe("FC10(1e-4)", "fc10-1e-4", "fc10", decay=(1e-4,), stop=_CONVEX),
    Recipe("FC10(1e-2)", "fc10-1e-2", "fc10", decay=(1e-2,), stop=_CONVEX),
    Recipe("FC10(1)", "fc10-1", "fc10", decay=(1.0,), stop=_CONVEX),
    Recipe("FC100-100-10", "fc100-100-10", "fc100-100-10", decay=_SIGMOID_DECAY),
    Recipe("FC200-200-10", "fc200-200-10", "fc200-200-10", decay=_SIGMOID_DECAY),
    Recipe("AE400-10", "ae400-10", "ae400-10", decay=(1e-6,)),
)
"""The networks of Tables 1 and 2, trained on all of the training set."""

SPLIT_NETWORKS: tuple[tuple[Recipe, Part], ...] = (
    (Recipe("FC100-100-10", "fc100-100-10-p1", "fc100-100-10", decay=_SIGMOID_DECAY), "P1"),
    (Recipe("FC123-456-10", "fc123-456-10-p1", "fc123-456-10", decay=_SIGMOID_DECAY), "P1"),
    (Recipe("FC100-100-10'", "fc100-100-10-p2", "fc100-100-10", decay=_SIGMOID_DECAY), "P2"),
)
"""The networks of Tables 3 and 4, each with the half of the training set it is trained on."""

CONVOLUTIONAL = "conv32-64-200-10"


def convolutional(images: int) -> Recipe:
    """The convolutional network of Figures 1 and 2, trained on so many images."""
    return Recipe(
        CONVOLUTIONAL, CONVOLUTIONAL, CONVOLUTIONAL, decay=(1e-4,) * 4,
        schedule=find_family(CONVOLUTIONAL).schedule(images),
    )  # fmt: skip


def _relu(images: int) -> Recipe:
    architecture = "mlp100-100-10"
    return Recipe(
        "ReLU100-100-10", architecture, architecture, _SIGMOID_DECAY,
        schedule=find_family(architecture).schedule(images),
    )  # fmt: skip


FURTHER: Mapping[str, Callable[[int], Recipe]] = {
    "conv": convolutional,
    "seed": lambda images: Recipe(
        "FC100-100-10*", "fc100-100-10-again", "fc100-100-10", _SIGMOID_DECAY
    ),
    "relu": _relu,
    "tanh": lambda images: Recipe(
        "tanh100-100-10", "tanh100-100-10", "tanh100-100-10", _SIGMOID_DECAY
    ),
}
"""Networks that Tables 1 to 4 may have besides the paper's, of so many training images: one of
convolutions; FC100-100-10 from other initial weights, which differs in nothing else; and the same
with tanh, or with ReLU, He's initial weights and minibatches, by which ReLU networks learn."""


def further(names: Sequence[str], images: int, part: Part = "train") -> tuple[Recipe, ...]:
    """These networks, trained on so many images of a part."""
    made = tuple(FURTHER[name](images) for name in names)
    if part == "train":
        return made
    return tuple(replace(one, slug=f"{one.slug}-{part.lower()}") for one in made)


def draw(*names: object) -> int:
    """A seed made from names, the same in every process."""
    return zlib.crc32("/".join(map(str, names)).encode())


def short_name(spec: str) -> str:
    """ "squeezenet:a/b.safetensors" is squeezenet, "nets/mine.py:build" mine-build."""
    before, _, after = spec.rpartition(":")
    if before.endswith(".py"):
        return f"{PurePath(before).stem}-{after}"
    return before or PurePath(after).stem
