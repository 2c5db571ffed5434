"""What Figure 6 is asked for, and its images: disjoint halves, and cars against the rest."""

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.training.quocnet import PLANS, Plan, shortened

ScaleName: TypeAlias = Literal["smoke", "quick", "paper"]
CAR, REST = 1, 0


@dataclass(frozen=True)
class Figure6Config:
    """What is asked for.

    Attributes:
        scale: "smoke" trains a few steps on few images; its numbers mean nothing.
        network: The size, of `CONFIGS`, that fits the images.
        data: A data set of `load_data`, of which one class is the car.
        positive: The name of that class.
        seed: Of the halves, the weights and all draws.
        budget: Passes of the search for each image; None takes the method's own.
        device: A torch device.
        given: A network trained by `intriguing train` on the first half, in place of A.
    """

    scale: ScaleName = "quick"
    network: str = "quocnet-tiny"
    data: str = "cifar10"
    positive: str = "automobile"
    seed: int = 0
    budget: int | None = 100
    device: str = "cpu"
    given: str | None = None


def plan_of(config: Figure6Config) -> Plan:
    """How the networks are trained."""
    plan = PLANS[config.network]
    return shortened(plan, 3) if config.scale == "smoke" else plan


def halves(train: ImageSet, seed: int) -> tuple[ImageSet, ImageSet]:
    """The training images in two disjoint random parts of one size."""
    generator = torch.Generator().manual_seed(seed)
    return train.split(len(train) // 2, generator)


def one_against_rest(images: ImageSet, positive: str, seed: int) -> ImageSet:
    """All images of one class, 1, and as many of the others, 0, in mixed order.

    Raises:
        InputError: If there is no such class.
    """
    if positive not in images.class_names:
        raise InputError(
            f"{images.name} has no class {positive!r}; give one of {', '.join(images.class_names)}"
        )
    wanted = images.labels == images.class_names.index(positive)
    cars, others = wanted.nonzero()[:, 0], (~wanted).nonzero()[:, 0]
    generator = torch.Generator().manual_seed(seed)
    others = others[torch.randperm(len(others), generator=generator)[: len(cars)]]
    chosen = torch.cat([cars, others])
    chosen = chosen[torch.randperm(len(chosen), generator=generator)]
    part = images.subset(chosen, f"{images.name}[{positive} or not]")
    return replace(part, labels=wanted[chosen].long(), class_names=("other", positive))
