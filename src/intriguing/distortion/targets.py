"""Which class l each image is to be taken for: the paper leaves it open, so it is a choice."""

from typing import Literal, TypeAlias

import torch
from jaxtyping import Int64
from torch import Tensor

from intriguing.data.checks import check_labels
from intriguing.errors import InputError

Targets: TypeAlias = Literal["random", "runner-up", "untargeted", "all"]


def choose_targets(
    labels: Int64[Tensor, " batch"], classes: int, generator: torch.Generator
) -> Int64[Tensor, " batch"]:
    """A wrong class for every image, uniform over the others.

    Draw for a whole data set at once and slice: the targets then do not depend on batches.

    >>> choose_targets(torch.tensor([0, 1]), 2, torch.Generator())
    tensor([1, 0])
    """
    if classes < 2:
        raise InputError(f"a classifier of {classes} class has no wrong class to aim at")
    step = torch.randint(1, classes, (len(labels),), generator=generator, device=generator.device)
    return (labels + step.to(labels.device)) % classes


def check_targets(
    targets: object, labels: Int64[Tensor, " batch"], classes: int
) -> Int64[Tensor, " batch"]:
    """Targets given by the caller, refused when they are not one wrong class an image."""
    targets = check_labels(targets, len(labels), classes, what="targets").cpu()
    same = (targets == labels).nonzero()[:, 0]
    if len(same):
        raise InputError(
            f"target equals label for {len(same)} image(s), the first at index {int(same[0])}: "
            "D(x, l) is x itself there; give a wrong class as target"
        )
    return targets
