"""Is it the size of a change that fools, or its direction? Gaussian noise of the same size."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage, LeftOut
from intriguing.audit.subject import Subject
from intriguing.data.streamed import unreadable
from intriguing.estimates import Rows
from intriguing.keys import APART, derive_seed
from intriguing.report.numbers import percent
from intriguing.results.audit import Finding, Tile
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.runs.attacking import usual_part
from intriguing.runs.examples import Examples
from intriguing.runs.expecting import shown
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import Columns

DRAWS = 4
"""Noises of the same size that every image is given."""
MULTIPLES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Sizes of noise, in medians of the distortion, at which accuracy is measured."""
_NOT_SHOWN = 255
"""In the place of a number of noises: the image was not shown."""


@dataclass(frozen=True)
class Noise(AuditStage):
    """What noise exactly as long as each change does, and how much longer it must be.

    Attributes:
        examples: Whose sizes the noise has.
        seed: Draws it.
        batch_size: Images shown at once; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "noise"
    cut: ClassVar[bool] = True
    question: ClassVar[str] = "Is it the size of the change, or its direction?"
    attacked: ClassVar[bool] = True
    network: Network
    examples: Examples
    seed: int
    batch_size: int = field(metadata=APART)

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Noise | LeftOut"]:
        """One for each network that was attacked."""
        for network in subject.networks:
            if run.was_done("attack", network.name):
                yield cls(
                    network, subject.examples(network), subject.config.seed,
                    subject.batches[network.name],
                )  # fmt: skip
            else:
                yield LeftOut(network.name, "There are no examples to compare noise with.")

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """As many forward passes as there are noises."""
        for network in probe.subject.networks:
            each = (DRAWS + len(MULTIPLES)) * probe.forward(network)
            yield Cost(cls.name, network.name, 0.0, each, probe.attacked, True)

    def compute(self, run: Run) -> Made:
        """Shares fooled: by the changes, by noise of each one's size, and of multiples."""
        outcome: Attacked = run.loaded(self.examples)
        kept = (outcome.success & (outcome.distortion > 0)).nonzero()[:, 0]
        if not len(kept):
            return Made(words=("No example was found whose size noise could have.",))
        middle = float(outcome.distortion[kept].double().median())
        several = [multiple for multiple in MULTIPLES if multiple * middle <= 1]
        parts = run.in_parts(
            self, partial(self._part, outcome, kept, [one * middle for one in several]), len(kept),
            usual_part(outcome.images), given_up=partial(_none_shown, len(several)),
            called=f"noise for {self.network.name}",
            each=lambda: (DRAWS + len(several)) * shown([self.network.model], outcome.images),
        )  # fmt: skip
        rows = Rows(self.name, network=self.network.name, seed=self.seed)
        rows.add(Metric.MEDIAN_DISTORTION, "distortion", middle, len(kept), len(outcome))
        rows.share(Metric.FOOLED, len(kept), len(kept), condition=Condition.ADVERSARIAL)
        fooled = parts.column("fooled")
        fooled = fooled[fooled[:, 0] != _NOT_SHOWN].long()
        if not len(fooled):
            return Made(tuple(rows.made), words=("The network failed on all images with noise.",))
        equal, *others = fooled.sum(0).tolist()
        rows.share(Metric.FOOLED, equal, DRAWS * len(fooled), condition=Condition.NOISE)
        for multiple, count in zip(several, others, strict=True):
            rows.share(
                Metric.FOOLED, count, len(fooled), condition=Condition.NOISE,
                size=multiple * middle, setting=f"{multiple:g}",
            )  # fmt: skip
        passes = (DRAWS + len(several)) * len(fooled), 0
        return Made(tuple(rows.made), passes=passes, finding=self._finding(rows.made))

    def _part(
        self, outcome: Attacked, kept: Tensor, sizes: Sequence[float], items: slice,
        report: Callable[[int], None],
    ) -> Columns:  # fmt: skip
        """How many noises fool each of some images: of its own size, then of each of `sizes`."""
        rows = kept[items]
        images, labels = outcome.images.images[rows], outcome.images.labels[rows].cpu()
        generator = torch.Generator().manual_seed(derive_seed(self.name, self.seed, items.start))
        fooled = torch.zeros(len(rows), 1 + len(sizes), dtype=torch.uint8)
        fooled[unreadable(images).cpu()] = _NOT_SHOWN  # a file that was lost since
        seen = (fooled[:, 0] != _NOT_SHOWN).nonzero()[:, 0]
        own = outcome.distortion[rows]
        noises = [(0, own)] * DRAWS
        noises += [(place, torch.full_like(own, size)) for place, size in enumerate(sizes, 1)]
        for done, (place, size) in enumerate(noises, 1):
            r = torch.randn(images.shape, generator=generator)
            scale = size / r.flatten(1).square().mean(1).sqrt()
            noisy = images + (scale.view(-1, *[1] * (images.ndim - 1)) * r).to(images)
            said, _ = predict(self.network.model, noisy[seen], self.batch_size)
            fooled[seen, place] += said != labels[seen]
            report(len(rows) * done // len(noises))
        return {"fooled": fooled}

    def _finding(self, rows: Sequence[Measurement]) -> Finding:
        """What noise of the same size does, and how much longer it must be to fool half."""
        (middle,) = where(rows, metric=Metric.MEDIAN_DISTORTION)
        equal = where(rows, metric=Metric.FOOLED, condition=Condition.NOISE, size=None)[0]
        fooled = percent(equal.count, equal.total)
        said = (
            f"{self.network.name}: Gaussian noise of exactly the same size fools {fooled}, where "
            "the changes found fool 100 %"
        )
        curve = noise_curve(rows)
        if (half := half_at(curve)) is not None:
            times = f"{half / middle.value:.0f}"
            said += f"; noise fools half of the images at about {times} times the median size"
        elif curve:
            size, count, total = curve[-1]
            times, few = f"{size / middle.value:.0f}", percent(count, total)
            said += f"; even {times} times the median size fools only {few}"
        return Finding(said, tile=Tile(fooled, "fooled by noise of the same size"))


def _none_shown(sizes: int, items: slice) -> Columns:
    """What stands in the place of images that the network fails on."""
    shape = items.stop - items.start, 1 + sizes
    return {"fooled": torch.full(shape, _NOT_SHOWN, dtype=torch.uint8)}


def noise_curve(rows: Sequence[Measurement]) -> list[tuple[float, int, int]]:
    """Of noise of one size for all: the size, how many images it fools, and of how many."""
    noisy = where(rows, metric=Metric.FOOLED, condition=Condition.NOISE)
    return [(row.size, row.count, row.total) for row in noisy if row.size is not None]


def half_at(curve: Sequence[tuple[float, int, int]]) -> float | None:
    """The size at which noise fools half, by a line through logarithms; None beyond the curve.

    >>> round(half_at([(0.01, 0, 10), (1.0, 10, 10)]), 9)
    0.1
    """
    before: tuple[float, float] | None = None
    for size, count, total in curve:
        share = count / total
        if share >= 0.5:
            if before is None or share == before[1]:
                return size
            weight = (0.5 - before[1]) / (share - before[1])
            return math.exp((1 - weight) * math.log(before[0]) + weight * math.log(size))
        before = (size, share)
    return None
