"""The stages of a gate: rounds of images, and the verdict that they come to."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.data.png import shown_as
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.search import Search
from intriguing.gate.config import Demand, GateConfig
from intriguing.gate.early import Beyond, first_budget
from intriguing.gate.judging import Judge, Judged
from intriguing.gate.longer import Longer
from intriguing.gate.masking import Flaws, Masking, hides
from intriguing.gate.sequential import SequentialTest
from intriguing.keys import APART
from intriguing.models.classifier import Classifier
from intriguing.names import file_name
from intriguing.report.gated import telling
from intriguing.results.gate import GateRow, Ruling, RulingRow
from intriguing.results.store import read_tensors, write_tensors
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.spectral.certificates.certificate import certify

_PROVED = ("proof", "certificate")
TIGHT = 100
"""Classes up to which bounds better than products are searched: of more, the pairs are too many."""


@dataclass(frozen=True)
class Round(Stage):
    """Consecutive images of the random order, each decided.

    Attributes:
        network, demand, search, short, beyond: As in `Judge`.
        images: Of the round.
        start: Place of the first in the random order.
        radii: Their certified radii; None where nothing is certified.
        baseline: Whose nearest examples are searched likewise; None without one.
        known: ‖r‖₂ of the baseline's nearest examples, NaN where unknown; None to search them.
    """

    name: ClassVar[str] = "gate"
    apart: ClassVar[bool] = True
    network: Network
    images: ImageSet
    start: int
    demand: Demand
    search: Search
    short: int
    beyond: Beyond
    radii: Tensor | None = None
    baseline: Network | None = None
    known: Tensor | None = None

    def compute(self, run: Run) -> Made:
        """A row an image, and the examples of those that say most."""
        images = self.images.read()  # without what is no picture
        if not len(images):
            return Made()
        rows = torch.tensor([self.images.ids.index(one) for one in images.ids])
        baseline, spent = self._baseline(images)
        judge = Judge(self.network.model, self.demand, self.search, self.short, self.beyond)
        radii = self._radii(images, rows, run)
        known = baseline if self.known is None else self.known[rows]
        judged = judge(images.images, images.labels, radii, known)
        made = tuple(self._rows(images, rows, judged))
        self._write(run, images, judged, made)
        passes = (int(judged.forward.sum()) + spent[0], int(judged.backward.sum()) + spent[1])
        return Made(made, passes=passes)

    def _radii(self, images: ImageSet, rows: Tensor, run: Run) -> Tensor | None:
        """As given; where only certificates count, the best that can be had."""
        if not self.demand.certified:
            return None if self.radii is None else self.radii[rows]
        with torch.no_grad():
            classes = Classifier.of(self.network.model)(images.images[:2]).shape[1]
        return certify(
            self.network.model, images.images, images.labels, semidefinite=classes <= TIGHT,
            local=classes <= TIGHT, progress=run.progress,
        ).radius.cpu()  # fmt: skip

    def _baseline(self, images: ImageSet) -> tuple[Tensor, tuple[int, int]]:
        """‖r‖₂ of the baseline's nearest examples by the whole search, and what it cost."""
        unknown = torch.full((len(images),), torch.nan)
        if self.baseline is None:
            return unknown, (0, 0)
        found = minimum_distortion(
            self.baseline.model, images.images, images.labels, "untargeted", self.search
        )
        spent = int(found.forward_passes.sum()), int(found.backward_passes.sum())
        return torch.where(found.success, found.l2.float(), unknown), spent

    def _rows(self, images: ImageSet, places: Tensor, judged: Judged) -> Iterator[GateRow]:
        pixels = images.images[0].numel()
        for row, place in enumerate(places.tolist()):
            yield GateRow(
                self.network.name, self.start + place, images.ids[row], int(images.labels[row]),
                int(judged.predicted[row]), int(judged.became[row]), float(judged.limit[row]),
                float(judged.found[row]), float(judged.first[row]), float(judged.short[row]),
                float(judged.certified[row]), float(judged.baseline[row]),
                judged.near[row], judged.ended[row],
                judged.status[row], int(judged.forward[row]), int(judged.backward[row]), pixels,
            )  # fmt: skip

    def _write(self, run: Run, images: ImageSet, judged: Judged, made: Sequence[GateRow]) -> None:
        rows = [made.index(one) for one in telling(made)]
        tensors = {
            "original": shown_as(images.images[rows]).float().cpu().numpy(),
            "distorted": shown_as(judged.adversarial[rows]).float().numpy(),
        }
        words = {"kind": "gate-round", "ids": json.dumps([images.ids[row] for row in rows])}
        write_tensors(run.folder, self.file, tensors, words)

    @property
    def file(self) -> str:
        """Its name in tensors/."""
        return file_name(*self.identity)

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.network.name, f"{self.start:06d}"

    @property
    def title(self) -> str:
        return f"gate {self.network.name}, images from {self.start:,}"


@dataclass(frozen=True)
class Verdict(Stage):
    """What the images of all rounds come to.

    Attributes:
        network: Which is judged.
        rounds: In their order.
        config: What is asked.
        flaws: Of the network.
        masking, longer: The looks behind the gradients and beyond the budget; None where none was
            needed.
        baseline: As the report calls it; empty without one.
        most: Images that there are to look at.
        class_names: Of the images.
    """

    name: ClassVar[str] = "verdict"
    network: Network
    rounds: tuple[Round, ...]
    config: GateConfig
    flaws: Flaws
    masking: Masking | None
    longer: Longer | None
    baseline: str
    most: int
    class_names: tuple[str, ...] = field(metadata=APART, default=())

    def compute(self, run: Run) -> Made:
        """The verdict, and the images that say most."""
        rows = counted(run, self.rounds)
        test = SequentialTest(self.config.demand.share, self.config.level)
        ruling, evidence = test.decided([one.near for one in rows])
        rows = rows[: evidence.images]
        looks = (self.flaws, self.masking, self.longer)
        hidden = any(one is not None and hides(run, one) for one in looks)
        refused = ruling == "pass" and hidden
        low, high = test.interval(evidence.near, evidence.images, evidence.unknown)
        value, at_most = _value(rows, self.config.demand)
        demand, config = self.config.demand, self.config
        said: Ruling = "undecided" if refused else ruling
        row = RulingRow(
            self.network.name, self.baseline, said, demand.kind, demand.share, demand.limit,
            config.level, self.most, evidence.images, evidence.near, evidence.unknown,
            sum(one.ended in _PROVED and one.near == "not near" for one in rows),
            low, high, evidence.passing, evidence.failing, refused, value, at_most,
            self.rounds[0].search.method, self.rounds[0].search.budget or 0,
            first_budget(self.rounds[0].short), self.rounds[0].short,
            sum(one.ended == "far" for one in rows), config.far,
            0 if self.masking is None else len(self.masking.images), config.seed,
        )  # fmt: skip
        self._show(run, telling(rows))
        return Made((row,))

    def _show(self, run: Run, shown: Sequence[GateRow]) -> None:
        """Original and nearest example of the images that say most."""
        found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        for one in self.rounds:
            if run.keep(one).made.rows:
                tensors, words = read_tensors(run.folder, one.file)
                pairs = zip(tensors["original"], tensors["distorted"], strict=True)
                found.update(zip(json.loads(words["ids"]), pairs, strict=True))
        rows = [row for row in shown if row.image_id in found]
        if not rows:
            return
        both = [np.stack(side) for side in zip(*(found[r.image_id] for r in rows), strict=True)]
        words = {
            "kind": "gallery", "title": "The images that say most",
            "chosen": "The nearest, measured by how near they may be.",
            "words": json.dumps(list(map(self._words, rows))),
        }  # fmt: skip
        name = file_name("gallery", self.network.name)
        write_tensors(run.folder, name, {"original": both[0], "distorted": both[1]}, words)

    def _words(self, row: GateRow) -> str:
        names = self.class_names
        before, after = (
            names[one] if 0 <= one < len(names) else str(one) for one in (row.label, row.became)
        )
        return f"{before} → {after}"


def counted(run: Run, rounds: Sequence[Round]) -> list[GateRow]:
    """The rows of all rounds in their order."""
    made = [row for one in rounds for row in run.keep(one).made.rows]
    return [row for row in made if isinstance(row, GateRow)]


def _value(rows: Sequence[GateRow], demand: Demand) -> tuple[float, bool]:
    """What was found, and whether it is no more than an upper bound of it."""
    if not rows:
        return math.nan, False
    if demand.kind in ("accuracy", "certified accuracy"):
        return sum(one.near == "not near" for one in rows) / len(rows), False
    if demand.kind == "ratio":
        sizes = [1.0 if one.limit == 0 else demand.limit * one.found / one.limit for one in rows]
    else:
        sizes = [one.found / math.sqrt(one.pixels) for one in rows]
    ordered = sorted(
        (
            math.inf if math.isnan(size) else size,
            one.ended in ("search", "misclassified", "no need"),
        )
        for size, one in zip(sizes, rows, strict=True)
    )
    value, whole = ordered[max(math.ceil(demand.share * len(ordered)) - 1, 0)]
    near = value < demand.limit
    return value, near or not whole or any(one.ended == "certificate" for one in rows)
