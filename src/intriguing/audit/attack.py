"""How close the nearest adversarial example of every image is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage
from intriguing.audit.subject import Subject, drawn
from intriguing.estimates import Rows
from intriguing.names import file_name
from intriguing.report.numbers import greys
from intriguing.results.audit import Finding, Tile
from intriguing.results.measured import Measurement, Metric, first, where
from intriguing.results.rows import Row
from intriguing.runs.examples import Examples, add_certainty
from intriguing.runs.pairs import Words, write_pairs
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from intriguing.scale.attack import Attacked

PICTURES = 500
"""Pairs of the nearest examples that are kept, drawn where there are more; a page shows some."""


@dataclass(frozen=True)
class Attack(AuditStage):
    """The nearest example of any wrong class of every chosen image."""

    name: ClassVar[str] = "attack"
    question: ClassVar[str] = "How close is the nearest adversarial example?"
    attacked: ClassVar[bool] = True
    network: Network
    examples: Examples

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Attack"]:
        """One a network."""
        for network in subject.networks:
            yield cls(network, subject.examples(network))

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """The search of some images."""
        for network in probe.subject.networks:
            each = probe.each(network, lambda few, run: run.loaded(few.examples(few.networks[0])))
            yield Cost(cls.name, network.name, 0.0, each, probe.attacked, True)

    def compute(self, run: Run) -> Made:
        """How many are fooled, and how near; what is not found is infinitely far in medians."""
        outcome: Attacked = run.loaded(self.examples)
        total, found = len(outcome), outcome.columns["success"]
        sizes = torch.where(found, outcome.columns["distortion"], torch.inf)
        l2, pixels = outcome.columns["l2"], outcome.images.images[0].numel()
        rows = Rows(
            self.name, network=self.network.name, seed=self.examples.search.seed,
            method=outcome.method,
        )  # fmt: skip
        rows.add(Metric.PIXELS, "numbers", pixels)
        rows.share(Metric.FOOLED, int(found.sum()), total)
        rows.mean(Metric.MEAN_DISTORTION, "distortion", outcome.sizes, total)
        rows.median(Metric.MEDIAN_DISTORTION, "distortion", sizes, total)
        rows.mean(Metric.MEAN_L2, "l2", l2[found], total)
        rows.median(Metric.MEDIAN_L2, "l2", torch.where(found, l2, torch.inf), total)
        rows.mean(Metric.PASSES, "passes", outcome.cost, total)
        add_certainty(rows, outcome)
        self._show(run, outcome)
        return Made(
            tuple(rows.made), passes=outcome.passes, seconds=outcome.wall_seconds,
            finding=self._finding(rows.made),
        )  # fmt: skip

    def _finding(self, rows: Sequence[Measurement]) -> Finding:
        """How far the median image is, and how sure that is."""
        name, (fooled,) = self.network.name, where(rows, metric=Metric.FOOLED)
        proved, middle = (
            first(rows, metric=one) for one in (Metric.PROVED, Metric.MEDIAN_DISTORTION)
        )
        (pixels,) = where(rows, metric=Metric.PIXELS)
        found = f"found for {fooled.count:,} of {fooled.total:,} images"
        tile = None
        if middle is None:
            said = f"{name}: {found}, so the median is not known"
        else:
            near, l2 = greys(middle.value), middle.value * math.sqrt(pixels.value)
            said = (
                f"{name}: a change of {middle.value:.2g} in a pixel is enough for the median image "
                f"(root mean square on a scale of 0 to 1; {near}; L2 {l2:.2g}), {found}"
            )
            of = f"{near}; {fooled.count:,} of {fooled.total:,} fooled"
            tile = Tile(f"{middle.value:.2g}", "median minimum distortion found", of)
        if proved is not None and proved.count == proved.total:
            return Finding(said, "proved", "Proved to be the nearest.", tile)
        return Finding(said, "found", "These are upper bounds: a nearer one may exist.", tile)

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        return self.examples.columns(run, kind)

    def _show(self, run: Run, outcome: Attacked) -> None:
        """Keep some pairs for the report's viewer."""
        found = outcome.columns["success"].nonzero()[:, 0]
        rows = drawn(found, PICTURES, self.examples.search.seed)
        images = outcome.images
        if not len(rows) or images.images.ndim != 4:
            return
        adversarial = outcome.columns["adversarial"][rows]
        says = predict(self.network.model, adversarial)[0].tolist()
        words = [
            Words(
                images.ids[row], images.called(int(images.labels[row])), images.called(said),
                float(outcome.columns["distortion"][row]),
            )
            for row, said in zip(rows.tolist(), says, strict=True)
        ]  # fmt: skip
        name = self.network.name
        write_pairs(
            run.folder, file_name("pairs", name), f"The nearest examples found for {name}",
            images.images[rows], adversarial, words, network=name,
        )  # fmt: skip
