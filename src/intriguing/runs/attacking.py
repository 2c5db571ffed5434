"""What each image of an attack is to be taken for, as it is typed and as it is drawn."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.models.classifier import Classifier
from intriguing.models.requirements import check_classifier
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
    """The usual part, or less.

    Args:
        plan: Where every class is tried by itself, an image is so many searches.
        images: For one search an image, in place of the usual number.
    """
    searches = plan.classes - 1 if isinstance(plan.targets, str) else 1
    usual = _work(plan.images) if images is None else images
    return max(min(usual // searches, SHARD_SIZE), 1)


def usual_part(images: ImageSet) -> int:
    """As many images as are as much work as 2,000 of MNIST, and enough for a batch; not too many.

    Whatever is drawn at random for a part is drawn by it: no time and no engine decides its size.
    """
    return min(_work(images), SHARD_SIZE)


def _work(images: ImageSet) -> int:
    numbers = max(images.images.shape[1:].numel(), 1)
    return min(_WORK, max(64, _WORK * 28**2 // numbers))


_WORK = 2000
"""Images of MNIST that take a core half a minute."""
