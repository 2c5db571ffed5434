"""Is it the size of a change that fools, or its direction? Gaussian noise of the same size."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage, LeftOut
from intriguing.audit.subject import Subject
from intriguing.estimates import Rows
from intriguing.keys import APART
from intriguing.measures import Progress
from intriguing.report.numbers import percent
from intriguing.results.audit import Finding, Tile
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.runs.examples import Examples
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from intriguing.scale.attack import Attacked

DRAWS = 4
"""Noises of the same size that every image is given."""
MULTIPLES = (1.0, 3.0, 10.0, 30.0, 100.0)
"""Sizes of noise, in medians of the distortion, at which accuracy is measured."""


@dataclass(frozen=True)
class Noise(AuditStage):
    """What noise exactly as long as each change does, and how much longer it must be.

    Attributes:
        examples: Whose sizes the noise has.
        seed: Draws it.
        batch_size: Images shown at once; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "noise"
    apart: ClassVar[bool] = True
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
            yield Cost(cls.name, network.name, 0.0, each, probe.attacked)

    def compute(self, run: Run) -> Made:
        """Shares fooled: by the changes, by noise of each one's size, and of multiples."""
        outcome: Attacked = run.loaded(self.examples)
        kept = outcome.columns["success"] & (outcome.columns["distortion"] > 0)
        if not bool(kept.any()):
            return Made(words=("No example was found whose size noise could have.",))
        images, labels = outcome.images.images[kept], outcome.images.labels[kept]
        sizes = outcome.columns["distortion"][kept]
        generator = torch.Generator().manual_seed(self.seed)
        middle = float(sizes.double().median())
        rows = Rows(self.name, network=self.network.name, seed=self.seed)
        rows.add(Metric.MEDIAN_DISTORTION, "distortion", middle, len(sizes), len(outcome))
        rows.share(Metric.FOOLED, len(sizes), len(sizes), condition=Condition.ADVERSARIAL)
        fooled, total = self._fooled(images, labels, sizes, DRAWS, generator)
        rows.share(Metric.FOOLED, fooled, total, condition=Condition.NOISE)
        self._report(run, 1)
        passes = total
        for place, multiple in enumerate(MULTIPLES):
            size = multiple * middle
            if size > 1:
                break
            several = torch.full_like(sizes, size)
            fooled, total = self._fooled(images, labels, several, 1, generator)
            rows.share(
                Metric.FOOLED, fooled, total, condition=Condition.NOISE, size=size,
                setting=f"{multiple:g}",
            )  # fmt: skip
            self._report(run, place + 2)
            passes += total
        return Made(tuple(rows.made), passes=(passes, 0), finding=self._finding(rows.made))

    def _fooled(
        self, images: Tensor, labels: Tensor, sizes: Tensor, draws: int, generator: torch.Generator
    ) -> tuple[int, int]:
        """How many images noise of exactly these sizes makes misclassified, over some noises."""
        fooled = 0
        for _ in range(draws):
            for part in torch.split(torch.arange(len(images)), 256):
                r = torch.randn(images[part].shape, generator=generator)
                scale = sizes[part] / r.flatten(1).square().mean(1).sqrt()
                noisy = images[part] + scale.view(-1, *[1] * (images.ndim - 1)) * r
                said, _ = predict(self.network.model, noisy, self.batch_size)
                fooled += int((said != labels[part]).sum())
        return fooled, draws * len(images)

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

    def _report(self, run: Run, done: int) -> None:
        if run.progress is not None:
            run.progress(Progress(f"noise for {self.network.name}", done, len(MULTIPLES) + 1))


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
