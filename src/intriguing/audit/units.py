"""Do single units stand out from random directions?"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage, LeftOut
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.report.numbers import sentence
from intriguing.results.audit import Finding
from intriguing.results.rows import ClaimRow
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.runs.study import Study, prepare
from intriguing.runs.units import stages_of

DIRECTIONS = 64
"""That are shown of each basis."""
PROBED = (64, 192)
"""Images of two probes: what differs is an image's, the rest is not."""


@dataclass(frozen=True)
class Units(AuditStage):
    """The test of §3's claim on the first network's last hidden layer.

    One layer and few rotations: every layer more, and every rotation, is a pass over the images
    with as many products as the layer has units squared.
    """

    name: ClassVar[str] = "units"
    question: ClassVar[str] = "Do single units stand out from random directions?"
    network: Network
    images: ImageSet
    study: Study

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Units | LeftOut"]:
        """One for the first network."""
        first, *others = subject.networks
        config = subject.config
        generator = torch.Generator().manual_seed(config.seed)
        some = torch.randperm(len(subject.images), generator=generator)[: config.units_on]
        study = Study(
            directions=DIRECTIONS, rotations=config.rotations, untrained=config.untrained, paths=0,
            seed=config.seed,
        )  # fmt: skip
        yield cls(first, subject.images.subset(some.sort().values).read(), study)
        for one in others:
            why = f"The units were studied of {first.name} only, the first network."
            yield LeftOut(one.name, why)

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """Fixed seconds and seconds an image, from two sizes."""
        network, images = (
            probe.subject.networks[0],
            min(probe.images, probe.subject.config.units_on),
        )
        points = []
        for count in sorted({min(images, one) for one in PROBED}):
            seconds = probe.seconds(
                network,
                None,
                lambda few, run, count=count: cls._on(few, count).compute(run),  # type: ignore[misc]
            )
            points.append((count, seconds))
        (low, first), (high, last) = points[0], points[-1]
        each = last / high if high == low else max((last - first) / (high - low), 0.0)
        yield Cost(cls.name, network.name, max(first - each * low, 0.0), each, images, True)

    @classmethod
    def _on(cls, subject: Subject, count: int) -> "Units":
        few = replace(subject, config=replace(subject.config, units_on=count))
        return next(one for one in cls.of(few, None) if isinstance(one, cls))  # type: ignore[arg-type]

    @property
    def needs(self) -> tuple[Stage, ...]:
        """What excites units and random directions most, and the test of the claim."""
        last = prepare(self.study, self.network.model, self.images).names[-1:]
        study = replace(self.study, layers=last)
        asked = prepare(study, self.network.model, self.images)
        return tuple(stages_of([self.network], self.images, asked))

    def compute(self, run: Run) -> Made:
        """The verdict."""
        done = [run.keep(one) for one in self.needs]
        rows = tuple(row for one in done for row in one.made.rows)
        said = " ".join(sentence(row.sentence) for row in rows if isinstance(row, ClaimRow))
        return Made(
            rows,
            finding=Finding(said.removesuffix(".")) if said else None,
            words=tuple(note for one in done for note in one.made.notes),
            passes=(sum(one.made.passes[0] for one in done), 0),
            seconds=sum(one.record.wall_seconds for one in done),
        )
