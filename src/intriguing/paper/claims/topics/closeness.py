"""Is there an example next to every image, whatever network; and what predicts how near?"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.distortion.minimum import minimum_distortion
from intriguing.measures import spearman
from intriguing.paper.claims.asking import (
    error,
    median_length,
    nearest,
    noisy,
    read_by_all,
    toward_random,
    wrong,
)
from intriguing.paper.claims.claim import Claim, as_large, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Condition, Metric
from intriguing.results.verdicts import Source

TABLE1: Mapping[str, Wanted] = {
    "softmax": Wanted("fc10", decay=1e-4),
    "softmax, λ = 0.01": Wanted("fc10", decay=1e-2),
    "softmax, λ = 1": Wanted("fc10", decay=1.0),
    "100-100-10": Wanted("fc100-100-10"),
    "200-200-10": Wanted("fc200-200-10"),
    "autoencoder": Wanted("ae400-10", decay=1e-6),
}
"""The kinds of Table 1."""
SHAPES: Mapping[str, Wanted] = {
    **TABLE1,
    **{
        name: Wanted(name)
        for name in (
            "fc30-10", "fc100-10", "fc100-100-100-10", "tanh100-100-10", "mlp16-10", "mlp100-10",
            "mlp100-100-10", "mlp300-100-10",
        )
    },
}  # fmt: skip
"""Fourteen that are not convolutional."""
CONVOLUTIONAL = "convolutional"
_NEAR = 0.5
"""Of the way to the nearest training image of another class."""
_FOUND = 99.0
"""Percent: what a search may miss."""
_LEVELS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Lengths of noise over the median distance, tried to find where half of the images are misread."""

_SEARCH = "an image without any example, which a search that fails would also look like"


@dataclass(frozen=True)
class Closeness(Topic):
    """Table 1 on sixteen networks."""

    name: ClassVar[str] = "closeness"
    question: ClassVar[str] = "Is there an adversarial example next to every image?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "every-sample", Source.PAPER, "§4.2, first property",
            "For every network and for each sample there is a visually hard to distinguish "
            "adversarial example.",
            "An example is found for every image of every kind of network in Table 1.",
            "share of images with an example, all networks of Table 1 together", "%",
            more_than(_FOUND), _SEARCH, "Each is checked again by a forward pass in the box.",
        ),
        Claim(
            "very-close", Source.PAPER, "§4.2, first property",
            "Adversarial examples are very close to the original examples.",
            "Nearly every one is less than half as far as the nearest training image of another "
            "class.",
            "share of examples nearer than half the way to another class, Table 1 without λ ≥ 0.01",
            "%", more_than(90.0), "another notion of close: pixels say little of what people see",
            "On 8×8 digits classes lie nearer to each other than on 28×28.",
        ),
        Claim(
            "non-convolutional", Source.PAPER, "§4.2",
            "The results hold on a larger variety of non-convolutional models.",
            "Of fourteen shapes and activations every one is fooled on every image.",
            "share of images with an example, on the network with the fewest", "%",
            more_than(_FOUND), _SEARCH, "Shapes: " + ", ".join(SHAPES) + ".",
        ),
        Claim(
            "convolutional", Source.PAPER, "§4.2",
            "Preliminary evidence suggests that convolutional models may behave similarly.",
            "Examples of a convolutional network are as near as those of 100-100-10, up to a "
            "factor of two.",
            "median distance of conv8-16-50-10 over that of 100-100-10", "ratio", as_large(2.0),
            "a deeper or better convolutional network", "One architecture, two convolutions.",
        ),
        Claim(
            "only-convolutional", Source.READERS, "a reader's note",
            "Only networks with convolutional filters fall victim.",
            "Fully connected networks have no examples for most images.",
            "share of images without an example, on 100-100-10", "%", more_than(50.0),
            "a fully connected network without examples", "Table 1 has fully connected ones only.",
        ),
        Claim(
            "autoencoder-distance", Source.PAPER, "§4.2",
            "The autoencoder is the most resilient to adversarial examples.",
            "By distance: its examples are farther than those of every other network that errs "
            "about as much.",
            "median distance of the autoencoder over the largest of softmax, 100-100-10, "
            "200-200-10", "ratio", more_than(1.0), "an autoencoder that is trained longer",
            "Networks of λ ≥ 0.01 are left out: they err several times as much.",
        ),
        Claim(
            "autoencoder-transfer", Source.PAPER, "§4.2, Table 2",
            "The autoencoder is the most resilient to adversarial examples.",
            "By Table 2's column: examples of other networks fool it less than any other.",
            "the least error of 100-100-10 and 200-200-10 on examples of the other networks less "
            "the autoencoder's, in points", "% more", more_than(0.0), "other makers of examples",
            "Makers are softmax and the two networks of sigmoid units, each judged by all others; "
            "all images are read by all of them.",
        ),
        Claim(
            "autoencoder-immune", Source.READERS, "a reader's note; §4.2 says it is not",
            "Autoencoders are very resilient.",
            "Most images have no example on the autoencoder.",
            "share of images without an example", "%", more_than(50.0),
            "a code that is trained to resist", "A softmax on 400 codes, as the paper's.",
        ),
        Claim(
            "strong-decay", Source.PAPER, "§4.2",
            "Even models as extreme as λ = 1 are fooled.",
            "An example is found for every image that the softmax of λ = 1 reads.",
            "share of images with an example", "%", more_than(_FOUND), _SEARCH,
            "On an affine network the nearest example is proved to be the nearest.",
        ),
        Claim(
            "any-class", Source.PAPER, "§1, abstract",
            "The network's prediction can be arbitrarily changed.",
            "Every image can be made every class.",
            "share of pairs of an image and a wrong class that are reached, on 100-100-10", "%",
            more_than(_FOUND), _SEARCH, "Nothing limits the length but the box.",
            across="distance to the class over that to the nearest, in ranks",
        ),
        Claim(
            "error-predicts", Source.SUCCESSORS, "Gilmer et al. 2018",
            "Test error predicts the distance of the nearest example.",
            "Over sixteen networks, those that err less have farther examples.",
            "rank correlation of test accuracy and median distance", "numbers", more_than(0.3),
            "networks whose errors differ more, on one architecture",
            "Architectures differ as well; correlation over them is no cause.",
        ),
        Claim(
            "noise-predicts", Source.SUCCESSORS, "Fawzi et al. 2016; Ford et al. 2019",
            "Robustness to noise predicts the distance of the nearest example.",
            "Over sixteen networks, those that stand more noise have farther examples.",
            "rank correlation of the noise that half of the images stand and the median distance",
            "numbers", more_than(0.3), "networks trained on noise",
            "The length of noise is found to a factor of two and interpolated.",
        ),
        Claim(
            "noise-root", Source.SUCCESSORS, "Fawzi et al. 2016",
            "Noise has to be longer than the nearest example by a factor of about √n.",
            "On the median network the factor is √n up to two.",
            "that factor over √n, on the median of sixteen networks", "ratio", as_large(2.0),
            "images of other sizes: this is of one n",
            "Exact for a hyperplane and Gaussian noise up to the quantile that “half” is.",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        return {**SHAPES, CONVOLUTIONAL: Wanted("conv8-16-50-10")}

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        lengths, accuracies, stood, shares = {}, {}, {}, {}
        within = [0, 0]
        for role, model in models.items():
            some = read_by_all([model], self.test, self.scale.attacked)
            made = nearest(model, some, self.scale)
            lengths[role], shares[role] = median_length(made), made.success
            accuracies[role] = 100 - error(model, self.test)
            stood[role] = self._stood(model, some.images, some.labels, lengths[role])
            found.add(Metric.MEDIAN_L2, "l2", lengths[role], network=role)
            found.share(Metric.ERROR, round((100 - accuracies[role]) * len(self.test) / 100),
                        len(self.test), network=role, condition=Condition.CLEAN)  # fmt: skip
            found.share(Metric.FOOLED, int(made.success.sum()), len(made), network=role)
            if role in ("softmax", "100-100-10", "200-200-10", "autoencoder"):
                near = made.l2 < _NEAR * self._to_another_class(some.images, some.labels)
                within = [within[0] + int(near.sum()), within[1] + len(near)]
        table = torch.cat([shares[role] for role in TABLE1])
        found.share_effect("every-sample", int(table.sum()), len(table))
        found.share_effect("very-close", *within)
        least = min((shares[role] for role in SHAPES), key=lambda one: float(one.float().mean()))
        found.share_effect("non-convolutional", int(least.sum()), len(least))
        plain = shares["100-100-10"]
        found.share_effect("only-convolutional", int((~plain).sum()), len(plain))
        code, strong = shares["autoencoder"], shares["softmax, λ = 1"]
        found.share_effect("autoencoder-immune", int((~code).sum()), len(code))
        found.share_effect("strong-decay", int(strong.sum()), len(strong))
        found.effect("convolutional", lengths[CONVOLUTIONAL] / lengths["100-100-10"])
        rivals = ("softmax", "100-100-10", "200-200-10")
        found.effect(
            "autoencoder-distance", lengths["autoencoder"] / max(lengths[r] for r in rivals)
        )
        names = list(models)
        distances = [lengths[role] for role in names]
        found.effect("error-predicts", spearman([accuracies[r] for r in names], distances))
        found.effect("noise-predicts", spearman([stood[r] for r in names], distances))
        factors = torch.tensor([stood[r] / lengths[r] for r in names])
        pixels = self.test.images[0].numel()
        found.effect("noise-root", float(factors.median()) / math.sqrt(pixels))
        self._table2(models, found)
        self._every_class(models["100-100-10"], found)

    def _stood(self, model: nn.Module, images: Tensor, labels: Tensor, length: float) -> float:
        """The length of noise that makes half of the images misread, interpolated in logarithms."""
        before = (_LEVELS[0] / 2, 0.0)
        for times in _LEVELS:
            noise = noisy(images, torch.full((len(images),), times * length),
                          self.generator(f"noise {times}"))  # fmt: skip
            share = float(wrong(model, noise, labels).float().mean())
            if share >= 0.5:
                part = (0.5 - before[1]) / (share - before[1])
                return float(length * before[0] * (times / before[0]) ** part)
            before = (times, share)
        return length * _LEVELS[-1]

    def _to_another_class(self, images: Tensor, labels: Tensor) -> Tensor:
        """L2 to the nearest training image of another class."""
        away = torch.cdist(images.flatten(1), self.train.images.flatten(1))
        same = labels[:, None] == self.train.labels[None]
        return away.masked_fill(same, torch.inf).amin(1)

    def _table2(self, models: Mapping[str, nn.Module], found: Record) -> None:
        """Examples of a random class, as the paper's: their size, and whom they fool."""
        makers = ("softmax", "100-100-10", "200-200-10")
        judged = ("100-100-10", "200-200-10", "autoencoder")
        fooled = {role: [0, 0] for role in judged}
        for maker in TABLE1:
            asked = {maker, *judged} if maker in makers else {maker}
            some = read_by_all([models[role] for role in asked], self.test, self.scale.attacked)
            made = toward_random(models[maker], some, self.scale, self.generator("targets"))
            found.add(Metric.MEAN_DISTORTION, "distortion", made.mean, int(made.success.sum()),
                      len(made), made_for=maker)  # fmt: skip
            for role in judged if maker in makers else ():
                if role == maker:
                    continue
                misread = wrong(models[role], made.adversarial[made.success],
                                some.labels[made.success])  # fmt: skip
                found.share(Metric.ERROR, int(misread.sum()), len(misread), network=role,
                            made_for=maker, condition=Condition.ADVERSARIAL)  # fmt: skip
                fooled[role][0] += int(misread.sum())
                fooled[role][1] += len(misread)
        rates = {role: 100 * count / total for role, (count, total) in fooled.items()}
        others = min(rates["100-100-10"], rates["200-200-10"])
        found.effect("autoencoder-transfer", others - rates["autoencoder"])

    def _every_class(self, model: nn.Module, found: Record) -> None:
        some = read_by_all([model], self.test, max(10, self.scale.attacked // 3))
        made = minimum_distortion(
            model, some.images, some.labels, "all", "closest", budget=self.scale.budget
        )
        assert made.per_class is not None
        tried = made.per_class.isfinite() | made.per_class.isinf()
        found.share_effect("any-class", int(made.per_class.isfinite().sum()), int(tried.sum()))
        ordered = made.per_class.nan_to_num(nan=torch.inf).sort(1).values
        for rank in range(ordered.shape[1] - 1):
            times = (ordered[:, rank] / ordered[:, 0]).median()
            found.point("any-class", Metric.DISTORTION_RATIO, "ratio", float(times),
                        size=float(rank + 1))  # fmt: skip
