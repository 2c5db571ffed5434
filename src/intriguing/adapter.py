"""The search called as foolbox 3 calls its attacks: `attack(model, x, criterion, epsilons=…)`.

foolbox itself is not needed; its models and criteria are taken as well as ours.

    attack = MinimumDistortion(budget=200)
    raw, clipped, success = attack(model, images, Misclassification(labels), epsilons=[0.5, 1.0])
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, l2
from intriguing.models.classifier import Classifier
from intriguing.models.requirements import check_classifier


@dataclass(frozen=True)
class Misclassification:
    """Adversarial is what is given any class but these, the true ones."""

    labels: Int64[Tensor, " image"]


@dataclass(frozen=True)
class TargetedMisclassification:
    """Adversarial is what is given these classes."""

    target_classes: Int64[Tensor, " image"]


@runtime_checkable
class Bounded(Protocol):
    """A model of foolbox's: it is called with images and knows their bounds."""

    @property
    def bounds(self) -> Any:
        """(lower, upper) of every pixel."""


Model: TypeAlias = nn.Module | Callable[[Tensor], Tensor]
Answer: TypeAlias = tuple[Tensor, Tensor, Bool[Tensor, " image"]]
Answers: TypeAlias = tuple[list[Tensor], list[Tensor], Bool[Tensor, "epsilon image"]]


@dataclass(frozen=True)
class MinimumDistortion:
    """`minimum_distortion` as an attack that minimises L2.

    Attributes:
        method, budget, levels, seed, batch_size: As in `minimum_distortion`.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2, bias=False)).eval()
    >>> _ = model[1].weight.data.copy_(torch.eye(2))
    >>> x = torch.tensor([[[[0.8, 0.4]]]])
    >>> attack = MinimumDistortion()
    >>> raw, clipped, success = attack(model, x, torch.tensor([0]), epsilons=[0.2, 0.4])
    >>> success.tolist(), [round(float(l2(x, one)), 3) for one in clipped]
    ([[False], [True]], [0.2, 0.283])
    """

    method: str = "closest"
    budget: int | None = None
    levels: int | None = None
    seed: int = 0
    batch_size: int | None = None

    def run(self, model: Model, inputs: Tensor, criterion: Any) -> Float[Tensor, "image ..."]:
        """The shortest adversarial images found; the image itself where there is none.

        Raises:
            InputError: As `minimum_distortion`, or for a criterion that is neither classes nor
                one of misclassification.
        """
        if not len(inputs):
            raise InputError("there are no images; give at least one")
        network, box = _network(model), _box(model)
        device, dtype = inputs.device, inputs.dtype
        labels, targets = _goal(criterion, check_classifier(network, inputs, finite=False))
        found = minimum_distortion(
            network, inputs, labels, targets, self.method, box=box, levels=self.levels,
            budget=self.budget, seed=self.seed, batch_size=self.batch_size,
        )  # fmt: skip
        kept = found.success.view(-1, *[1] * (inputs.ndim - 1))
        return torch.where(kept, found.adversarial, inputs.cpu()).to(device, dtype)

    def __call__(
        self,
        model: Model,
        inputs: Float[Tensor, "image ..."],
        criterion: Any,
        *,
        epsilons: float | Sequence[float] | None = None,
    ) -> Answer | Answers:
        """Attack, and judge at sizes of change.

        Args:
            model: Any module from images to logits, in evaluation mode; or a foolbox model, whose
                bounds are then those of the pixels.
            inputs: The images.
            criterion: True classes, `Misclassification`, `TargetedMisclassification`, or foolbox's.
            epsilons: L2 distances within which an answer counts; None for any distance.

        Returns:
            The answers as found; the same with changes shortened to epsilon; and whether each is
            adversarial and no longer than epsilon. With several epsilons lists, and a row each.
        """
        raw = self.run(model, inputs, criterion)
        several = epsilons is not None and not isinstance(epsilons, int | float)
        sizes: list[float | None] = [None] if epsilons is None else (
            [float(e) for e in epsilons] if several else [float(epsilons)]  # type: ignore[union-attr,arg-type]
        )  # fmt: skip
        clipped, success = [], []
        for size in sizes:
            nearer = raw if size is None else _shortened(inputs, raw, size)
            clipped.append(nearer)
            reached = adversarial(model, raw, criterion)
            if size is not None:
                reached &= l2(inputs, raw) <= size * (1 + 1e-6)
            success.append(reached)
        if not several:
            return raw, clipped[0], success[0]
        return [raw for _ in sizes], clipped, torch.stack(success)


@torch.no_grad()
def adversarial(model: Model, images: Tensor, criterion: Any) -> Bool[Tensor, " image"]:
    """Whether each image is what the criterion asks for."""
    logits = Classifier.of(_network(model))(images)
    labels, targets = _goal(criterion, logits.shape[1])
    said = logits.argmax(1).cpu()
    met: Tensor = said != labels if isinstance(targets, str) else said == targets
    return met.to(images.device)


def _goal(criterion: Any, classes: int) -> tuple[Tensor, Tensor | Literal["untargeted"]]:
    """Labels and targets as `minimum_distortion` takes them."""
    if hasattr(criterion, "target_classes"):
        targets = _classes(criterion.target_classes)
        return (targets + 1) % classes, targets
    labels = criterion.labels if hasattr(criterion, "labels") else criterion
    return _classes(labels), "untargeted"


def _classes(values: Any) -> Tensor:
    raw = getattr(values, "raw", values)
    if not isinstance(raw, Tensor):
        raise InputError(
            f"the criterion holds {type(raw).__name__}; give the true classes as a tensor, "
            "Misclassification(labels) or TargetedMisclassification(classes)"
        )
    return raw.detach().cpu().long()


def _shortened(inputs: Tensor, raw: Tensor, size: float) -> Tensor:
    """The changes, those longer than `size` made as long."""
    length = l2(inputs, raw).view(-1, *[1] * (inputs.ndim - 1))
    scale = (size / length.clamp_min(1e-30)).clamp_max(1.0)
    return torch.where(length <= size, raw, inputs + scale * (raw - inputs))


def _network(model: Model) -> nn.Module:
    if isinstance(model, nn.Module):
        return model
    return _Called(model).eval()


def _box(model: Model) -> Box:
    if not isinstance(model, nn.Module) and isinstance(model, Bounded):
        lower, upper = model.bounds
        return Box(float(lower), float(upper))
    return UNIT_BOX


class _Called(nn.Module):
    """What is called with images, as a module."""

    def __init__(self, model: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.call = model

    def forward(self, images: Tensor) -> Tensor:
        """The logits."""
        logits: Tensor = self.call(images)
        return logits
