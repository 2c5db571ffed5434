"""Are generative classifiers harder to fool?"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.paper.claims.asking import error, median_length, nearest, read_by_all
from intriguing.paper.claims.claim import Claim, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source

_CODES = 15
"""Components a class: what reconstructs digits well without reconstructing those of others."""
_SHRUNK = 0.1
"""Of each covariance towards its mean variance, without which it has no inverse."""


class Gaussians(nn.Module):
    """log p(x | class) of one Gaussian a class, with its own shrunken covariance."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        means, roots, constants = [], [], []
        for number in range(classes):
            some = images[labels == number].flatten(1).double()
            centred = some - some.mean(0)
            covariance = centred.T @ centred / len(some)
            mean_variance = covariance.diagonal().mean() * torch.eye(len(covariance)).double()
            covariance = (1 - _SHRUNK) * covariance + _SHRUNK * mean_variance
            values, vectors = torch.linalg.eigh(covariance)
            means.append(some.mean(0))
            roots.append(vectors / values.sqrt())
            constants.append(-0.5 * values.log().sum())
        self.register_buffer("means", torch.stack(means).float())
        self.register_buffer("roots", torch.stack(roots).float())
        self.register_buffer("constants", torch.stack(constants).float())

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Log-likelihoods, a class a column."""
        away = images.flatten(1)[:, None] - self.get_buffer("means")
        white = torch.einsum("bcn,cnm->bcm", away, self.get_buffer("roots"))
        return self.get_buffer("constants") - 0.5 * white.square().sum(2)


class Reconstructions(nn.Module):
    """Minus the squared error of each class's own linear autoencoder."""

    def __init__(self, images: Tensor, labels: Tensor, classes: int) -> None:
        super().__init__()
        means, codes = [], []
        for number in range(classes):
            some = images[labels == number].flatten(1).double()
            means.append(some.mean(0))
            few = min(_CODES, len(some) - 1)
            codes.append(torch.linalg.svd(some - some.mean(0), full_matrices=False)[2][:few].T)
        self.register_buffer("means", torch.stack(means).float())
        self.register_buffer("codes", torch.stack(codes).float())

    def forward(self, images: Float[Tensor, "batch ..."]) -> Float[Tensor, "batch classes"]:
        """Minus squared errors, a class a column."""
        away = images.flatten(1)[:, None] - self.get_buffer("means")
        code = torch.einsum("bcn,cnm->bcm", away, self.get_buffer("codes"))
        return code.square().sum(2) - away.square().sum(2)


def _robust(name: str, kind: str, called: str) -> Claim:
    return Claim(
        f"generative-{name}", Source.READERS, "a reader's note",
        "Generative models should be robust.",
        f"Examples of {called} are farther than those of a discriminative network, by a half.",
        f"median distance of {kind} over that of 100-100-10", "ratio", more_than(1.5),
        "deep generative models", "On images that both read; neither was trained to resist.",
    )  # fmt: skip


@dataclass(frozen=True)
class Generative(Topic):
    """Two classifiers of likelihood beside a network, each fitted to a random half of the images.

    They have no initial weights: over the seeds the halves differ.
    """

    name: ClassVar[str] = "generative"
    question: ClassVar[str] = "Are generative classifiers harder to fool?"
    claims: ClassVar[tuple[Claim, ...]] = (
        _robust("gaussian", "Gaussians", "class-conditional Gaussians"),
        _robust("reconstruction", "reconstruction error", "each class's own linear autoencoder"),
    )

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {"base": Wanted("fc100-100-10", part="P1")}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        half: ImageSet = self.networks[0].images
        given = half.images, half.labels, half.classes
        for name, model in (
            ("gaussian", Gaussians(*given).eval()),
            ("reconstruction", Reconstructions(*given).eval()),
        ):
            some = read_by_all([models["base"], model], self.test, self.scale.attacked)
            ours, plain = (nearest(one, some, self.scale) for one in (model, models["base"]))
            found.effect(f"generative-{name}", median_length(ours) / median_length(plain))
            found.add(Metric.MEDIAN_L2, "l2", median_length(ours), network=name)
            found.add(Metric.ERROR, "%", error(model, self.test), network=name,
                      condition=Condition.CLEAN)  # fmt: skip
