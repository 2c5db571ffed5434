"""Is a network fit to be judged? Checks before hours are spent, each with its consequence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.models.clean_accuracy import clean_accuracy
from intriguing.models.preflight import preflight
from intriguing.results.audit import Warned
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network


@dataclass(frozen=True)
class Preflight(AuditStage):
    """Warnings about a network and how it fits the labels; they are no answer of their own."""

    name: ClassVar[str] = "preflight"
    apart: ClassVar[bool] = True
    network: Network
    images: ImageSet
    labelled: bool
    seed: int

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Preflight"]:
        """One a network."""
        for network in subject.networks:
            yield cls(network, subject.images, subject.labelled, subject.config.seed)

    def compute(self, run: Run) -> Made:
        """Warnings, each with what follows from it."""
        found = list(preflight(self.network.model, next(self.images.pixels(16))))
        if self.labelled:
            found += clean_accuracy(
                self.network.model, self.images, seed=self.seed, progress=run.progress
            ).findings
        return Made(
            warnings=tuple(Warned(one.name, one.measured, one.consequence) for one in found),
            words=tuple(map(str, found)),
        )
