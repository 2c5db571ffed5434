"""How far is every image safe, whoever looks for examples?"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.spectrum import tight
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject
from intriguing.report.numbers import NEXT_TO_NOTHING, proved_share, share, short
from intriguing.results.audit import Finding, Knowledge, Tile
from intriguing.results.measured import Measurement, Metric, first, where
from intriguing.results.rows import Row
from intriguing.runs.certificates import Certificates, Certified
from intriguing.runs.certifying import Certify as Both
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network

PROBED = (4, 24)
"""Images of two probes: what differs is an image's, the rest is not."""
RATIO = "of the distance found is certified, median"


@dataclass(frozen=True)
class Certify(AuditStage):
    """How far the chosen images are safe, beside what was found, where that was searched."""

    name: ClassVar[str] = "certify"
    question: ClassVar[str] = "How far is every image safe, whoever looks for examples?"
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
                network, _certificates(subject, network),
                subject.examples(network) if attacked else None, subject.config.seed,
            )  # fmt: skip

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """What does not grow with the images, and what does."""
        for network in probe.subject.networks:
            few, more = (
                probe.seconds(network, count, lambda some, run: run.keep(
                    _certificates(some, some.networks[0])
                ))
                for count in PROBED
            )  # fmt: skip
            each = max(probe.forward(network), (more - few) / (PROBED[1] - PROBED[0]))
            fixed = max(0.0, few - PROBED[0] * each)
            yield Cost(cls.name, network.name, fixed, each, probe.attacked, True)

    def compute(self, run: Run) -> Made:
        """Both accuracies; a certificate that an example refutes ends the audit."""
        made, certified = self._shared.compute(run), run.loaded(self.certificates)
        return replace(made, finding=self._finding(made.measured, certified))

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        return self._shared.columns(run, kind)

    def _finding(self, rows: Sequence[Measurement], certified: Certified) -> Finding:
        """How far the median image is safe, and how much of what was found that is."""
        kind: Knowledge = "proved" if certified.guaranteed else "not proved"
        rows, name = where(rows, analysis=self.name), self.network.name
        if not (certified.columns["radius"] > 0).any():
            said = f"{name}: nothing is certified, because no finite bound is known"
            return Finding(said, kind, tile=Tile("none", RATIO))
        middle = where(rows, metric=Metric.MEDIAN_CERTIFIED, images="")[0].value
        (pixels,) = where(rows, metric=Metric.PIXELS)
        said = (
            f"{name}: the median image is safe from every change shorter than {short(middle)} in "
            f"L2 (distortion {short(middle / math.sqrt(pixels.value))})"
        )
        ratio = first(rows, metric=Metric.CERTIFIED_RATIO, images="")
        if ratio is not None:
            said += f", {proved_share(ratio.value)}"
        if beyond := where(rows, metric=Metric.CERTIFIED):
            shares = ", ".join(f"{100 * float(row.setting):g}" for row in beyond)
            counts = ", ".join(f"{row.count:,}" for row in beyond)
            said += (
                f"; of {beyond[0].total:,} images, {counts} are certified beyond {shares} % of the "
                "median distance found"
            )
        of_found = "none" if ratio is None or not ratio.value else share(ratio.value)
        if ratio is not None and 0 < ratio.value < NEXT_TO_NOTHING:
            of_found = "next to none"
        return Finding(said, kind, tile=Tile(of_found, RATIO))

    @property
    def _shared(self) -> Both:
        return Both(self.network, self.certificates, self.examples, seed=self.seed)


def _certificates(subject: Subject, network: Network) -> Certificates:
    """As far as is asked for."""
    close = tight(subject, network)
    seconds = subject.config.certify_seconds if close else 0.0
    return Certificates(network, subject.chosen, close, seconds=seconds)
