"""How often a network is right, on the images as they are."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.data.streamed import unreadable
from intriguing.estimates import Rows
from intriguing.keys import APART
from intriguing.models.clean_accuracy import clean_accuracy
from intriguing.report.numbers import percent
from intriguing.results.audit import Finding, Tile, Warned
from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.runs.expecting import shown
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network

SHARD = 1000
"""Images whose classes are kept at a time."""
SAMPLE, SMALL = 256, 3 * 64 * 64
"""Images on which other normalisations are tried where accuracy is low; fewer of large ones."""


@dataclass(frozen=True)
class Accuracy(AuditStage):
    """How often a network gives an image its class.

    Attributes:
        labelled: Whether the classes are true ones; else the share is an agreement.
        seed: Draws the sample on which the reason of a low accuracy is looked for.
        batch_size: Images shown at once; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "accuracy"
    question: ClassVar[str] = "How often is it right?"
    network: Network
    images: ImageSet
    labelled: bool
    seed: int
    batch_size: int = field(metadata=APART)

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Accuracy"]:
        """One a network."""
        for network in subject.networks:
            yield cls(
                network, subject.images, subject.labelled, subject.config.seed,
                subject.batches[network.name],
            )  # fmt: skip

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """A forward pass an image."""
        for network in probe.subject.networks:
            yield Cost(cls.name, network.name, 0.0, probe.forward(network), probe.images, True)

    def compute(self, run: Run) -> Made:
        """The share, over all images, and the mean confidence."""
        model, images = self.network.model, self.images

        def compute(items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
            pixels = images.images[items]
            said, logits = predict(model, pixels, self.batch_size)
            if not images.in_memory:  # what is no picture is of no class
                said[unreadable(pixels)] = -1
            report(items.stop - items.start)
            return {"predicted": said, "confidence": logits.softmax(1).amax(1)}

        shards = run.in_parts(
            self, compute, len(images), SHARD, called=f"accuracy of {self.network.name}",
            each=lambda: shown([model], images),
        )  # fmt: skip
        right = int((shards.column("predicted") == images.labels).sum())
        rows = Rows(self.name, network=self.network.name, condition=Condition.CLEAN)
        rows.share(Metric.ACCURACY if self.labelled else Metric.AGREEMENT, right, len(images))
        confidence = shards.column("confidence").double()
        rows.mean(Metric.CONFIDENCE, "share", confidence, len(images))
        return Made(
            tuple(rows.made), self._warnings(), passes=(len(images), 0),
            finding=self._finding(rows.made[0]),
        )  # fmt: skip

    def _finding(self, right: Measurement) -> Finding:
        name, of = self.network.name, f"{right.total:,} images"
        verb, called = ("is right", "clean accuracy") if self.labelled else (
            "agrees with the reference", "agreement with the reference"
        )  # fmt: skip
        low, high = right.low or 0, 100 if right.high is None else right.high
        said = percent(right.count, right.total)
        return Finding(
            f"{name} {verb} on {said} of {of} (95 % interval {low:.1f}–{high:.1f})",
            tile=Tile(said, f"{called}, {name}", of),
        )

    def _warnings(self) -> tuple[Warned, ...]:
        if not self.labelled:
            return ()
        few = SAMPLE if self.images.images.shape[1:].numel() <= SMALL else SAMPLE // 4
        looked = clean_accuracy(self.network.model, self.images, sample=few, seed=self.seed)
        return tuple(Warned(one.name, one.measured, one.consequence) for one in looked.findings)
