"""What r tells: whether it is an artefact of a run, how many there are, what it marks."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from intriguing.data.dataset import ImageSet
from intriguing.models.classifier import Classifier
from intriguing.paper.claims.asking import nearest, read_by_all, wrong
from intriguing.paper.claims.claim import Claim, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Metric
from intriguing.results.verdicts import Source

_DIMENSIONS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48)
"""Of the subspaces that are tried."""
_TIMES = (1.2, 1.5, 2.0, 3.0, 4.0)
"""Lengths of random changes, in units of the shortest that was found."""
_ERASED = (5, 10, 20, 30)
"""Percent of the pixels."""
_FEW = 25
"""Images whose subspaces are measured."""


@dataclass(frozen=True)
class Directions(Topic):
    """Of a network of sigmoid units and another of the same shape."""

    name: ClassVar[str] = "directions"
    question: ClassVar[str] = "What do adversarial directions tell?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "no-artefact", Source.PAPER, "abstract",
            "The specific nature of the perturbations is not a random artifact of learning.",
            "Changes made for two networks that differ in the seed are alike.",
            "median cosine of the two nearest changes of an image toward the same class", "cosine",
            more_than(0.3), "changes of other classes", "Independent directions in 64 dimensions "
            "have a cosine of 0 ± 0.125.",
        ),
        Claim(
            "subspace", Source.SUCCESSORS, "Tramèr et al. 2017",
            "Adversarial examples span a contiguous subspace of large dimension.",
            "At twice the least length more than three orthogonal directions fool.",
            "mean number of orthogonal directions that all fool", "numbers", more_than(3.0),
            "a larger length: on a hyperplane there are four at twice, k² at k times",
            "Gradient-aligned orthogonal directions (their GAAS); nothing is clipped.",
            across="length over the least",
        ),
        Claim(
            "subspace-shared", Source.SUCCESSORS, "Tramèr et al. 2017",
            "Subspaces of different networks intersect, which is why examples transfer.",
            "At twice the least length more than one of them fools another network as well.",
            "mean number of these directions that fool a network of another seed", "numbers",
            more_than(1.0), "a larger length", "Of those that fool their own network.",
            across="length over the least",
        ),
        Claim(
            "saliency-r", Source.PAPER, "§1; §4 on inspecting decisions",
            "Inputs that lead to a decision can be read from a network.",
            "Erasing the pixels that r changes most makes an image misread more often than erasing "
            "as many at random, by ten points.",
            "difference of the shares misread with a tenth of the pixels erased, in points",
            "% more", more_than(10.0), "another way to erase",
            "A pixel is erased by the mean of all training images there.",
            across="pixels erased, %",
        ),
        Claim(
            "saliency-gradient", Source.PAPER, "§1; §4 on inspecting decisions",
            "Inputs that lead to a decision can be read from a network.",
            "Erasing the pixels of the steepest gradient of the margin does so, by ten points.",
            "difference of the shares misread with a tenth of the pixels erased, in points",
            "% more", more_than(10.0), "another way to erase",
            "A pixel is erased by the mean of all training images there.",
            across="pixels erased, %",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {"base": Wanted("fc100-100-10"), "seed": Wanted("fc100-100-10", number=1)}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        base, other = models["base"], models["seed"]
        some = read_by_all([base, other], self.test, self.scale.attacked)
        made, again = (nearest(one, some, self.scale) for one in (base, other))
        r, theirs = ((one.adversarial - some.images).flatten(1) for one in (made, again))
        same = made.targets == again.targets
        alike = cosine_similarity(r[same], theirs[same])
        found.effect("no-artefact", float(alike.median()))
        self._subspaces(models, some, made.l2, found)
        self._deletion(base, some, r, found)

    def _subspaces(
        self, models: Mapping[str, nn.Module], some: ImageSet, lengths: Tensor, found: Record
    ) -> None:
        """GAAS: k orthonormal directions that all make the same angle with the gradient."""
        few = min(_FEW, len(some))
        for times in _TIMES:
            own, shared = [], []
            for row in range(few):
                image, label = some.images[row], some.labels[row]
                gradient = _uphill(models["base"], image, label)
                best = common = 0
                for k in _DIMENSIONS:
                    if k > len(gradient):
                        break
                    moves = aligned(gradient, k, self.generator(f"basis {row} {k}"))
                    moved = image + times * lengths[row] * moves.view(k, *image.shape)
                    fooled = wrong(models["base"], moved, label.expand(k))
                    if not bool(fooled.all()):
                        continue
                    also = wrong(models["seed"], moved, label.expand(k))
                    best, common = k, int(also.sum())
                own.append(best)
                shared.append(common)
            mean, both = sum(own) / few, sum(shared) / few
            found.point("subspace", Metric.DIMENSION, "numbers", mean, size=times)
            found.point("subspace-shared", Metric.DIMENSION, "numbers", both, size=times)
            if times == 2.0:
                found.effect("subspace", mean)
                found.effect("subspace-shared", both)

    def _deletion(self, model: nn.Module, some: ImageSet, r: Tensor, found: Record) -> None:
        """Pixels erased in the order of three maps."""
        gradients = torch.stack(
            [_uphill(model, x, y) for x, y in zip(some.images, some.labels, strict=True)]
        )
        chance = torch.rand(r.shape, generator=self.generator("pixels"))
        maps = {"saliency-r": r.abs(), "saliency-gradient": gradients.abs(), "random": chance}
        nothing = self.train.images.mean(0).flatten()
        for percent in _ERASED:
            count = max(1, round(r.shape[1] * percent / 100))
            share = {}
            for name, strength in maps.items():
                erased = some.images.flatten(1).clone()
                where = strength.topk(count, dim=1).indices
                erased.scatter_(1, where, nothing.expand(len(erased), -1).gather(1, where))
                misread = wrong(model, erased.view_as(some.images), some.labels)
                share[name] = 100 * float(misread.float().mean())
            for claim in ("saliency-r", "saliency-gradient"):
                for method in (claim, "random"):
                    found.point(claim, Metric.ERROR, "%", share[method], size=float(percent),
                                method=method.removeprefix("saliency-"))  # fmt: skip
                if percent == 10:
                    found.effect(claim, share[claim] - share["random"])
        shown = torch.cat(
            [some.images[:8].flatten(1), *(_scaled(one[:8]) for one in list(maps.values())[:2])]
        ).view(-1, *some.images.shape[1:])
        found.pictures("saliency-r", "Images, r, and gradients", shown,
                       "From above: the image, |r|, and the gradient of the margin.")  # fmt: skip


def aligned(gradient: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """k orthonormal rows, each with the cosine 1/√k to the gradient (Tramèr et al. 2017)."""
    drawn = torch.randn(k, len(gradient), generator=generator)
    drawn[0] = gradient
    basis: Tensor = torch.linalg.qr(drawn.T)[0].T
    basis[0] = gradient / gradient.norm()
    # The reflection that takes the first axis to the diagonal.
    diagonal = torch.full((k,), 1 / math.sqrt(k))
    axis = diagonal.clone()
    axis[0] -= 1
    if k == 1:
        return basis
    turn = torch.eye(k) - 2 * torch.outer(axis, axis) / axis.square().sum()
    turned: Tensor = turn @ basis
    return turned


def _uphill(model: nn.Module, image: Tensor, label: Tensor) -> Tensor:
    """The gradient of the margin to the likeliest other class, flat."""
    x = image[None].clone().requires_grad_(True)
    logits = Classifier.of(model)(x)[0]
    own = logits[label]
    rest = logits.scatter(0, label[None], -torch.inf).max()
    (gradient,) = torch.autograd.grad(rest - own, x)
    flat: Tensor = gradient.flatten()
    return flat


def _scaled(maps: Tensor) -> Tensor:
    scaled: Tensor = maps / maps.amax(1, keepdim=True).clamp_min(1e-12)
    return scaled
