"""§4.1's exactness and §4.3's layers, measured on trained networks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import jacrev, vmap

from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.targets import choose_targets
from intriguing.paper.claims.asking import read_by_all
from intriguing.paper.claims.claim import Claim, less_than, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Metric
from intriguing.results.verdicts import Source

_IMAGES = 12
"""Of which Jacobians are taken."""


@dataclass(frozen=True)
class Spectral(Topic):
    """A softmax classifier and a convolutional network."""

    name: ClassVar[str] = "spectral"
    question: ClassVar[str] = "Where does instability come from?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "exact-convex", Source.PAPER, "§4.1",
            "The penalty function method yields the exact solution for D(x, l) in the case of "
            "convex losses.",
            "On softmax classifiers its answers are the least, up to 0.1 %.",
            "mean excess over the distance that is proved the least, in percent", "% more",
            less_than(0.1), "an exact search over c, and a loss that is 0 at the boundary",
            "The least is the solution of a quadratic program, proved by its dual. The penalty's "
            "loss keeps falling beyond the boundary, so its minimisers lie beyond.",
        ),
        Claim(
            "first-layer", Source.PAPER, "§4.3",
            "Instability can appear as soon as in the first convolutional layer.",
            "At test images the first layer makes a small change longer.",
            "median largest singular value of the first convolution with its ReLU at test images",
            "norm", more_than(1.0), "a first layer of norm 1",
            "Reached at images, not a bound.",
        ),
        Claim(
            "first-layer-most", Source.PAPER, "§4.3",
            "Instability can appear as soon as in the first convolutional layer.",
            "It is the layer that lengthens changes most.",
            "what the first layer reaches over what the largest of the other layers does", "ratio",
            more_than(1.0), "layers of other widths",
            "Each layer by itself, from what comes out of the one before, at test images.",
            across="layer",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {
            "softmax": Wanted("fc10", decay=1e-4),
            "convolutional": Wanted("conv8-16-50-10"),
        }

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        softmax = models["softmax"]
        some = read_by_all([softmax], self.test, self.scale.attacked)
        targets = choose_targets(some.labels, some.classes, self.generator("targets"))
        exact = minimum_distortion(softmax, some.images, some.labels, targets, "closest")
        paper = minimum_distortion(softmax, some.images, some.labels, targets, "paper")
        both = exact.success & paper.success
        excess = 100 * (paper.l2[both] / exact.l2[both] - 1).double()
        found.effect("exact-convex", float(excess.mean()))
        found.add(Metric.PROVED, "%", 100 * float((exact.gap <= 1e-3).float().mean()))
        gains = _gains(models["convolutional"], self.test.first(_IMAGES).images)
        for place, gain in enumerate(gains, 1):
            found.point("first-layer-most", Metric.LOWER_BOUND, "norm", gain, size=float(place))
        found.effect("first-layer", gains[0])
        found.effect("first-layer-most", gains[0] / max(gains[1:]))


def _gains(model: nn.Module, images: Tensor) -> list[float]:
    """What each layer with weights, its ReLU and pool reaches at images; medians over these."""
    stages: list[list[nn.Module]] = []
    for part in model.children():
        if isinstance(part, nn.Conv2d | nn.Linear):
            stages.append([])
        if stages:
            stages[-1].append(part)
    phi, gains = images, []
    with torch.no_grad():
        for parts in stages:
            stage = nn.Sequential(*parts)
            jacobians = vmap(jacrev(lambda x, stage=stage: stage(x[None])[0].flatten()))(phi)
            norms = torch.linalg.matrix_norm(jacobians.flatten(2), 2)
            gains.append(float(norms.median()))
            phi = stage(phi)
    return gains
