"""How improbable are pockets, how hard to find by luck, how dense?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.rare import rarity
from intriguing.distortion.result import Distortions
from intriguing.paper.claims.asking import NothingToAsk, nearest, read_by_all, wrong
from intriguing.paper.claims.claim import Claim, less_than, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Metric
from intriguing.results.verdicts import Basis, Source
from intriguing.spectral.certificates.certificate import certify

_TIMES = (1.5, 2.0, 3.0, 4.0, 6.0, 10.0)
"""Lengths over the least, at which random directions are drawn."""
_IMAGES = 12
"""Of which pockets are sampled: each takes ten to some hundred thousands of passes."""
_TOGETHER = 500
"""Test images that are held beside all training images at once."""
_EPSILON = 0.1
"""Distortion: the size of noise that the paper calls small."""


@dataclass(frozen=True)
class Pockets(Topic):
    """§4's low-probability pockets, and §5's rationals."""

    name: ClassVar[str] = "pockets"
    question: ClassVar[str] = "How improbable is an adversarial example?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "low-probability", Source.PAPER, "§4; §5",
            "Adversarial examples are low-probability pockets in the manifold.",
            "A random direction of twice the least length is adversarial less than once in a "
            "million draws, on the median image.",
            "decimal logarithm of that probability, median over images", "numbers",
            less_than(-6.0), "a larger length: at ten times the least, many directions fool",
            "By importance splitting, down to 10⁻²⁰⁰; clipped to the box nowhere.",
            across="length over the least that fools",
        ),
        Claim(
            "hard-to-find", Source.PAPER, "§4",
            "Pockets are hard to find by randomly sampling the input around an example.",
            "At one and a half times the least length a random search needs a thousand times the "
            "passes of the optimiser.",
            "decimal logarithm of expected draws over passes of the search, median over images",
            "numbers", more_than(3.0), "a larger length",
            "A draw is one forward pass; the search may cost its whole budget.",
        ),
        Claim(
            "dense-literal", Source.PAPER, "§5",
            "The set of adversarial negatives is dense, much like the rational numbers.",
            "Literally: every ball around an image, however small, holds an adversarial example.",
            "median certified radius in L2 of images, within which there is none", "l2",
            less_than(0.0), "nothing: a ball is proved to hold none",
            "Lipschitz bounds of the network, rounding allowed for; the counter-example is any "
            "image with a radius above 0.", Basis.COUNTEREXAMPLE,
        ),
        Claim(
            "dense-weak", Source.PAPER, "§5",
            "Adversarial negatives are found near virtually every test case.",
            "Weakly: nearly every test image has one within a distortion of 0.1.",
            "share of images with an example within a distortion of 0.1", "%", more_than(95.0),
            "a smaller distance", "The share grows with the distance; 0.1 is the paper's noise.",
            across="distortion",
        ),
        Claim(
            "never-observed", Source.PAPER, "§5",
            "Adversarial negatives are of extremely low probability, and thus never (or rarely) "
            "observed in the test set.",
            "Less than 1 % of test images are misread and as near to a training image of their "
            "class that is read as its nearest example is.",
            "share of test images that are misread within the median least length of a training "
            "image of their class that is read", "%",
            less_than(1.0), "data so dense that test images lie that near",
            "Few test images lie that near to any training image, read or not: this says that "
            "images are sparse as much as that pockets are rare.",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {"base": Wanted("fc100-100-10")}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        model = models["base"]
        some = read_by_all([model], self.test, self.scale.attacked)
        made = nearest(model, some, self.scale)
        with found.unless_unread("hard-to-find", "low-probability"):
            self._sample(model, some, made, found)
        proved = certify(model, some.images, some.labels, semidefinite=False, local=False)
        radius = float(proved.radius.median())
        inside = bool((made.l2 < proved.radius).any())
        found.checked("dense-literal", radius, radius > 0 and proved.guaranteed and not inside)
        within = made.distortion <= _EPSILON
        found.share_effect("dense-weak", int(within.sum()), len(within))
        for size in (0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2):
            share = 100 * float((made.distortion <= size).float().mean())
            found.point("dense-weak", Metric.FOOLED, "%", share, size=size)
        with found.unless_unread("never-observed"):
            self._observe(model, float(made.l2.median()), found)

    def _observe(self, model: nn.Module, reach: float, found: Record) -> None:
        """How often an image is misread so near to one that is read."""
        if not math.isfinite(reach):
            raise NothingToAsk
        read = ~wrong(model, self.train.images, self.train.labels)
        misread = wrong(model, self.test.images, self.test.labels)
        known, labels = self.train.images[read].flatten(1), self.train.labels[read]
        near = torch.cat([
            self._near(part, known, labels, reach)
            for part in torch.split(torch.arange(len(misread)), _TOGETHER)
        ])  # fmt: skip
        found.share_effect("never-observed", int((near & misread).sum()), len(misread))
        found.add(Metric.FOOLED, "%", 100 * float(near.float().mean()), int(near.sum()), len(near),
                  images="near", size=reach)  # fmt: skip

    def _sample(self, model: nn.Module, some: ImageSet, made: Distortions, found: Record) -> None:
        """How improbable adversarial directions are, of images that have an example."""
        reached = made.l2.isfinite().nonzero()[:_IMAGES, 0]
        if not len(reached):
            raise NothingToAsk
        for times in _TIMES:
            probability = [
                rarity(model, some.images[i], int(some.labels[i]), times * float(made.l2[i]),
                       self.generator(f"image {i}, {times}"))
                for i in reached.tolist()
            ]  # fmt: skip
            powers = torch.tensor([math.log10(one) for one in probability])
            middle = float(powers.sort().values[len(powers) // 2])
            found.point("low-probability", Metric.PROBABILITY, "numbers", middle, size=times)
            if times == 1.5:
                cost = torch.log10(made.passes[reached].double())
                found.effect("hard-to-find", float((-powers - cost).median()))
            if times == 2.0:
                found.effect("low-probability", middle)

    def _near(
        self, part: Tensor, known: Tensor, labels: Tensor, reach: float
    ) -> Bool[Tensor, " part"]:
        """Which test images lie within so much of a known image of their own class."""
        away = torch.cdist(self.test.images[part].flatten(1), known)
        same = self.test.labels[part][:, None] == labels[None]
        return (away.masked_fill_(~same, torch.inf) <= reach).any(1)
