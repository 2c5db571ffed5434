"""Distances proved by branch and bound, image by image, from a search's examples on."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from intriguing.distortion.problem import Goal
from intriguing.distortion.result import Distortions, status_names
from intriguing.errors import InputError
from intriguing.keys import APART
from intriguing.measures import UNIT_BOX
from intriguing.results.rows import ProofRow, Row
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.attack import COLUMNS, Attacked
from intriguing.spectral.certificates.exact import SECONDS, Exact, prove

SHARD = 4
"""Images between two saves: some minutes."""
LOWER, NODES = "lower", "nodes"
"""Columns beside those of the examples: what is proved, and how many boxes were bounded for it."""


@dataclass(frozen=True)
class Proved(Stage):
    """How near an example can be at all, of each image that a search found one for.

    Attributes:
        network: Whose.
        attack: The search, for any wrong class.
        seconds: Of one core, for each image at most.
        shard_size: Images between two saves.
    """

    name: ClassVar[str] = "prove"
    network: Network
    attack: Examples
    seconds: float
    shard_size: int = field(default=SHARD, metadata=APART)

    def compute(self, run: Run) -> Made:
        """All is in shards."""
        found: Attacked = run.loaded(self)
        return Made(seconds=found.wall_seconds)

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        if kind is ProofRow:
            columns = run.loaded(self).columns
            yield {
                "network": self.network.name, "image_id": list(self.attack.plan.images.ids),
                "lower": columns[LOWER].double().numpy(), "found": columns["l2"].double().numpy(),
                "status": status_names(columns["status"]),
                "nodes": columns[NODES].numpy(),
            }  # fmt: skip

    def load(self, run: Run) -> Attacked:
        """The examples, some of them shorter, with a column of what is proved."""
        images, found = self.attack.plan.images, run.loaded(self.attack)
        network = Exact.of(self.network.model, images.images[:8], UNIT_BOX)

        def part(items: slice) -> Distortions:
            columns = {name: found.columns[name][items] for name in COLUMNS}
            nothing = torch.zeros(len(columns["l2"]), 0, 3)
            return Distortions(**columns, trace=nothing)

        def compute(items: slice, report: Callable[[int], None]) -> Mapping[str, Tensor]:
            goal = Goal(images.labels[items].cpu(), targeted=False)
            pixels, done = images.images[items], part(items)
            proofs = prove(
                network, pixels, goal, done, UNIT_BOX, seconds=self.seconds,
                progress=lambda step: report(step.done),
            )  # fmt: skip
            made = {name: getattr(proofs.distortions, name).clone() for name in COLUMNS}
            return {**made, LOWER: proofs.lower, NODES: proofs.nodes}

        def without(items: slice) -> Mapping[str, Tensor]:
            done = part(items)
            none = torch.zeros(len(done))
            made = {name: getattr(done, name).clone() for name in COLUMNS}
            return {**made, LOWER: none.double(), NODES: none.long()}

        shards = run.in_parts(
            self, compute, len(images), self.shard_size, given_up=without, alike=False,
            each=lambda: self.seconds,
        )  # fmt: skip
        return Attacked(images, shards, found.method)


def parse_seconds(text: str | None, option: str = "--exact") -> float:
    """Seconds an image of "60s", "2m", "90" or "" (the usual); 0 of None.

    >>> parse_seconds("60s"), parse_seconds("2m"), parse_seconds("1.5"), parse_seconds(None)
    (60.0, 120.0, 1.5, 0.0)
    """
    if text is None:
        return 0.0
    number, unit = text.strip().lower(), 1.0
    for suffix, size in (("min", 60.0), ("sec", 1.0), ("s", 1.0), ("m", 60.0), ("h", 3600.0)):
        if number.endswith(suffix):
            number, unit = number[: -len(suffix)], size
            break
    try:
        seconds = float(number) * unit if number else SECONDS
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < float("inf"):
        raise InputError(f"{option} {text}: give the time for each image, such as 60s or 2m")
    return seconds
