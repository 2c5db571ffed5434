"""Questions that several topics ask of networks."""

from collections.abc import Iterable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.result import Distortions
from intriguing.distortion.targets import choose_targets
from intriguing.models.classifier import Classifier
from intriguing.paper.claims.config import ClaimScale


class NothingToAsk(Exception):
    """No image is read by all networks that are compared; one of them learned nothing, then."""


@torch.no_grad()
def wrong(model: nn.Module, images: Tensor, labels: Tensor) -> Bool[Tensor, " image"]:
    """Which images a network misreads."""
    misread: Tensor = Classifier.of(model).each(images).argmax(1).cpu() != labels
    return misread


def error(model: nn.Module, images: ImageSet) -> float:
    """In percent."""
    return 100 * float(wrong(model, images.images, images.labels).float().mean())


def read_by_all(models: Iterable[nn.Module], images: ImageSet, count: int) -> ImageSet:
    """The first images that all these networks read.

    Raises:
        NothingToAsk: If there is none.
    """
    right = torch.ones(len(images), dtype=torch.bool)
    for model in models:
        right &= ~wrong(model, images.images, images.labels)
    if not bool(right.any()):
        raise NothingToAsk
    return images.subset(right.nonzero()[:count, 0])


def nearest(model: nn.Module, images: ImageSet, scale: ClaimScale) -> Distortions:
    """The nearest example of any wrong class, of every image."""
    return minimum_distortion(
        model, images.images, images.labels, "untargeted", "closest", budget=scale.budget
    )


def toward_random(
    model: nn.Module, images: ImageSet, scale: ClaimScale, generator: torch.Generator
) -> Distortions:
    """The nearest example of a random wrong class each, as the paper has them."""
    targets = choose_targets(images.labels, images.classes, generator)
    return minimum_distortion(
        model, images.images, images.labels, targets, "closest", budget=scale.budget
    )


def noisy(images: Tensor, length: Tensor, generator: torch.Generator) -> Float[Tensor, "image ..."]:
    """Images plus noise in a random direction, of exactly these lengths in L2; not clipped."""
    noise = torch.randn(images.shape, generator=generator)
    noise = noise / noise.flatten(1).norm(dim=1).view(-1, *[1] * (images.ndim - 1))
    added: Tensor = images + length.to(noise).view(-1, *[1] * (images.ndim - 1)) * noise
    return added


def median_length(found: Distortions) -> float:
    """Median ‖r‖₂ over all images; infinite where half have none."""
    return float(found.l2.double().quantile(0.5, interpolation="higher"))
