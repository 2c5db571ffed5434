"""Which layers can carry a change how far?"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.measures import UNIT_BOX
from intriguing.results.rows import LayerRow
from intriguing.runs.bounding import Spectrum as Bounds
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network

CLASSES = 100
"""With more classes every pair of them is too many for the tighter bounds."""
NEAR = 8
"""Images near which lower bounds are taken."""


@dataclass(frozen=True)
class Spectrum(AuditStage):
    """Bounds of every layer, and of the whole network on images in [0, 1]."""

    name: ClassVar[str] = "spectrum"
    apart: ClassVar[bool] = True
    question: ClassVar[str] = "Which layers can carry a change how far?"
    network: Network
    images: ImageSet
    tight: bool
    seed: int

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Spectrum"]:
        """One a network."""
        for network in subject.networks:
            yield cls(
                network, subject.images.first(NEAR), tight(subject, network), subject.config.seed
            )

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """The same whatever the images."""
        for network in probe.subject.networks:
            fixed = probe.seconds(
                network, NEAR, lambda few, run: next(cls.of(few, run)).compute(run)
            )
            yield Cost(cls.name, network.name, fixed, 0.0, 0)

    def compute(self, run: Run) -> Made:
        """A row a layer; why there is no bound, where there is none."""
        shape = tuple(self.images.images.shape[1:])
        made = Bounds(self.network, shape, self.images, UNIT_BOX, self.tight, self.seed).compute(
            run
        )
        (whole,) = [row for row in made.rows if isinstance(row, LayerRow) and row.kind == "network"]
        return replace(made, notes=(), words=() if math.isfinite(whole.upper) else made.notes)


def tight(subject: Subject, network: Network) -> bool:
    """Whether the tighter bounds are searched."""
    return subject.config.semidefinite and subject.classes[network.name] <= CLASSES
