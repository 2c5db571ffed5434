"""Is it the size of a change that fools, or its direction? Gaussian noise of the same size."""

from collections.abc import Iterator
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
from intriguing.results.rows import Condition, Metric
from intriguing.runs.attacking import Outcome
from intriguing.runs.examples import Examples
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network

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
    question: ClassVar[str] = "What does noise of the same size do?"
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
        outcome: Outcome = run.loaded(self.examples)
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
        return Made(tuple(rows.made), passes=(passes, 0))

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

    def _report(self, run: Run, done: int) -> None:
        if run.progress is not None:
            run.progress(Progress(f"noise for {self.network.name}", done, len(MULTIPLES) + 1))
