"""How far is every image safe, proved?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.spectrum import tight
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.results.rows import Row
from intriguing.runs.certifying import Certificates
from intriguing.runs.certifying import Certify as Both
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network

PROBED = (4, 24)
"""Images of two probes: what differs is an image's, the rest is not."""


@dataclass(frozen=True)
class Certify(AuditStage):
    """How far the chosen images are safe, beside what was found, where that was searched."""

    name: ClassVar[str] = "certify"
    question: ClassVar[str] = "How far is every image safe, proved?"
    attacked: ClassVar[bool] = True
    network: Network
    certificates: Certificates
    examples: Examples | None
    seed: int

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Certify"]:
        """One a network."""
        for network in subject.networks:
            attacked = run.was_done("attack", network.name)
            yield cls(
                network, Certificates(network, subject.chosen, tight(subject, network)),
                subject.examples(network) if attacked else None, subject.config.seed,
            )  # fmt: skip

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """What does not grow with the images, and what does."""
        for network in probe.subject.networks:
            few, more = (
                probe.seconds(network, count, lambda some, run: run.keep(
                    Certificates(some.networks[0], some.chosen, tight(some, some.networks[0]))
                ))
                for count in PROBED
            )  # fmt: skip
            each = max(probe.forward(network), (more - few) / (PROBED[1] - PROBED[0]))
            fixed = max(0.0, few - PROBED[0] * each)
            yield Cost(cls.name, network.name, fixed, each, probe.attacked)

    def compute(self, run: Run) -> Made:
        """Both accuracies; a certificate that an example refutes ends the audit."""
        return self._shared.compute(run)

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        return self._shared.columns(run, kind)

    @property
    def _shared(self) -> Both:
        return Both(self.network, self.certificates, self.examples, seed=self.seed)
