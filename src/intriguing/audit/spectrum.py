"""Which layers can make a change larger?"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.measures import UNIT_BOX
from intriguing.report.amplification import strongest
from intriguing.report.numbers import number
from intriguing.results.audit import Finding
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
    question: ClassVar[str] = "Which layers can make a change larger?"
    network: Network
    images: ImageSet
    tight: bool
    seed: int

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Spectrum"]:
        """One a network."""
        for network in subject.networks:
            yield cls(
                network,
                subject.images.first(NEAR).read(),
                tight(subject, network),
                subject.config.seed,
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
        layers = [row for row in made.rows if isinstance(row, LayerRow)]
        (whole,) = [row for row in layers if row.kind == "network"]
        words = () if math.isfinite(whole.upper) else made.notes
        return replace(made, notes=(), words=words, finding=_finding(layers, whole, words))


def _finding(layers: Sequence[LayerRow], whole: LayerRow, words: Sequence[str]) -> Finding:
    """The layers that amplify most, and the whole."""
    most = [f"{row.name} up to {number(row.upper, 'norm')} times" for row in strongest(layers)]
    said = f"most of all {'; '.join(most)}" if most else "no single layer does"
    said = f"{whole.network}: {said}; "
    if math.isfinite(whole.upper):
        said += f"the whole network at most {number(whole.upper, 'norm')} times"
    else:
        said += "of the whole network no bound is known" + (f" ({words[0]})" if words else "")
    if math.isfinite(whole.lower) and whole.lower:
        said += f", {number(whole.lower, 'norm')} times reached near an image"
    return Finding(said, "proved" if whole.guaranteed else "bounds")


def tight(subject: Subject, network: Network) -> bool:
    """Whether the tighter bounds are searched."""
    return subject.config.semidefinite and subject.classes[network.name] <= CLASSES
