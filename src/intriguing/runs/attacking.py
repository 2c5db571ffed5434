"""One network attacked on one set of images: what several verbs and the audit go on with."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.result import Status
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.keys import APART
from intriguing.models.asking import Classifier
from intriguing.models.classifier import check_classifier
from intriguing.scale.attack import SHARD_SIZE, Goals

Goal: TypeAlias = Literal["random", "runner-up", "untargeted", "all"] | int


@dataclass(frozen=True)
class Plan:
    """The images to attack and what each is to be taken for.

    Attributes:
        images: What the outcome is about.
        targets: As `attack_in_shards` takes them.
        classes: Of the network.
    """

    images: ImageSet
    targets: Goals
    classes: int


@dataclass(frozen=True)
class Outcome:
    """The attack on every image: the columns that were asked for, tensors as in `Distortions`."""

    images: ImageSet
    method: str
    columns: dict[str, Tensor]
    wall_seconds: float = field(metadata=APART)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def passes(self) -> tuple[int, int]:
        """Images forward and backward."""
        forward, backward = (self.columns[f"{way}_passes"].sum() for way in ("forward", "backward"))
        return int(forward), int(backward)

    @property
    def cost(self) -> Tensor:
        """Passes of each image, a pass being half a forward and a backward one."""
        both = self.columns["forward_passes"] + self.columns["backward_passes"]
        return both.double() / 2

    @cached_property
    def found(self) -> Tensor:
        """Distortions of the images for which an adversarial image was found."""
        return self.columns["distortion"][self.columns["success"]]

    def first(self, count: int) -> "Outcome":
        """The same of the first so many images."""
        if count >= len(self):
            return self
        columns = {name: column[:count] for name, column in self.columns.items()}
        return replace(self, images=self.images.first(count), columns=columns)

    def parts(self, size: int) -> Iterator["Outcome"]:
        """Consecutive pieces of at most `size` images, without the examples that are on disk."""
        if len(self) <= size:
            yield self
            return
        kept = {name: one for name, one in self.columns.items() if isinstance(one, Tensor)}
        for start in range(0, len(self), size):
            rows = torch.arange(start, min(start + size, len(self)))
            columns = {name: column[rows] for name, column in kept.items()}
            yield replace(self, images=self.images.subset(rows), columns=columns)

    def pairs(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Originals, adversarial images and labels, where found."""
        kept = self.columns["success"]
        yield self.images.images[kept], self.columns["adversarial"][kept], self.images.labels[kept]

    def statuses(self) -> dict[str, int]:
        """How many images ended how."""
        codes, counts = np.unique(self.columns["status"].numpy(), return_counts=True)
        return {
            Status(code).name: count
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        }


def parse_targets(text: str) -> Goal:
    """ "random", "runner-up", "untargeted", "all", or the number of a class."""
    if text in ("random", "runner-up", "untargeted", "all"):
        return text  # type: ignore[return-value]
    if text.isdecimal():
        return int(text)
    raise InputError(
        f"unknown --targets {text!r}; one of random, runner-up, untargeted, all, or a class number"
    )


def disk_bytes(images: ImageSet) -> int:
    """About what the results of one network need on disk."""
    return 2 * images.images.numel() * images.images.element_size() + 4_000_000


def notes(goal: Goal, levels: int | None) -> tuple[str, ...]:
    """What a reader of the numbers should know."""
    meaning = {
        "random": "Each image has one random wrong class as target, as the paper's distortions "
        "imply; the nearest wrong class lies about half as far.",
        "runner-up": "The target is the likeliest wrong class of the unchanged image.",
        "untargeted": "Any wrong class counts, and an image that the network gets wrong already is "
        "at distance 0.",
        "all": "Every wrong class was tried by itself and the nearest kept: the untargeted "
        "distortion.",
    }.get(str(goal), f"The target is class {goal}; images of that class were left out.")
    if levels is None:
        return (meaning,)
    return (meaning, f"Adversarial images take {levels} values a channel, as a file keeps them.")


def plan(model: nn.Module, images: ImageSet, goal: Goal, seed: int) -> Plan:
    """The target of every image, drawn for the whole set."""
    classes = check_classifier(model, next(images.pixels(16)), images.labels)
    labels = images.labels.cpu()
    if goal == "untargeted" or goal == "all":
        return Plan(images, goal, classes)
    if goal == "random":
        generator = torch.Generator().manual_seed(seed)
        return Plan(images, choose_targets(labels, classes, generator), classes)
    if goal == "runner-up":
        return Plan(images, _runner_up(model, images), classes)
    if not 0 <= goal < classes:
        raise InputError(f"--targets {goal}, but the network has classes 0 … {classes - 1}")
    others = (labels != goal).nonzero()[:, 0]
    if not len(others):
        raise InputError(f"all images are of class {goal}; give another --targets")
    return Plan(images.subset(others), torch.full((len(others),), goal), classes)


@torch.no_grad()
def _runner_up(model: nn.Module, images: ImageSet) -> Tensor:
    asked = Classifier.of(model)
    logits = torch.cat([asked.each(x).cpu() for x in images.pixels(1000)])
    return logits.scatter(1, images.labels.cpu()[:, None], -torch.inf).argmax(1)


def shard_size(plan: Plan, images: int | None = None) -> int:
    """As many images as are as much work as 2,000 of MNIST, and enough for a batch.

    Args:
        plan: Where every class is tried by itself, an image is so many searches.
        images: For one search an image, in place of that number.
    """
    searches = plan.classes - 1 if isinstance(plan.targets, str) else 1
    usual = min(SHARD_SIZE, max(64, SHARD_SIZE * 28**2 // plan.images.images[0].numel()))
    return max((images or usual) // searches, 1)
