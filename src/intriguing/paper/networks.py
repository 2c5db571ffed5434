"""The MNIST networks: six of Tables 1 and 2, three of the split experiment, one convolutional."""

import zlib
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


def draw(*names: object) -> int:
    """A seed made from names, the same in every process."""
    return zlib.crc32("/".join(map(str, names)).encode())


def short_name(spec: str) -> str:
    """ "squeezenet:a/b.safetensors" is squeezenet, "nets/mine.py:build" mine-build."""
    before, _, after = spec.rpartition(":")
    if before.endswith(".py"):
        return f"{PurePath(before).stem}-{after}"
    return before or PurePath(after).stem
