"""Stages that take no time, and a run of them that a test can kill at any write."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.keys import APART
from intriguing.results.store import write_tensors
from intriguing.runs.request import Request
from intriguing.runs.run import Run, open_run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.engine import HERE, Engine
from intriguing.scale.shards import run_in_shards
from tests.runs.rows import image_row, row

COMPUTED: list[str] = []
"""Which stages computed, in this process."""


def network(name: str = "net", scale: float = 1.0) -> Network:
    """A linear network of two pixels."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    model[1].weight.data.copy_(scale * torch.tensor([[1.0, 2.0], [3.0, -1.0]]))
    model[1].bias.data.zero_()
    return Network(name, model)


def images(count: int = 5) -> ImageSet:
    """Some of two pixels."""
    x = torch.linspace(0, 1, 2 * count).view(count, 1, 1, 2)
    return ImageSet("toy", x, torch.arange(count) % 2, tuple(map(str, range(count))), ("a", "b"))


@dataclass(frozen=True)
class Sums(Stage):
    """The logits' sum of every image, in shards."""

    name: ClassVar[str] = "sums"
    network: Network
    images: ImageSet
    factor: float = 1.0
    size: int = field(default=2, metadata=APART)

    def compute(self, run: Run) -> Made:
        COMPUTED.append(self.title)
        return Made((row(self.name, self.about, float(run.loaded(self).sum())),), passes=(5, 0))

    def load(self, run: Run) -> Tensor:
        def part(items: slice, report: Any) -> dict[str, Tensor]:
            with torch.no_grad():
                return {"sum": self.factor * self.network.model(self.images.images[items]).sum(1)}

        shards = run_in_shards(
            part, len(self.images), self.size, run.shards(self), self.key, engine=run.engine
        )
        return shards.column("sum")

    def columns(self, run: Run, kind: type) -> Iterator[Mapping[str, Any]]:
        yield from image_row(kind, self.network.name, self.images, run.loaded(self).numpy())


@dataclass(frozen=True)
class Mean(Stage):
    """Goes on with sums; and with another one that stands in no record."""

    name: ClassVar[str] = "mean"
    apart: ClassVar[bool] = True
    network: Network
    sums: Sums
    hidden: "Hidden"

    def compute(self, run: Run) -> Made:
        COMPUTED.append(self.title)
        offset = run.keep(self.hidden).made.passes[0]
        mean = float(run.loaded(self.sums).mean()) + offset
        write_tensors(run.folder, f"mean-{self.about}", {"mean": np.array([mean])}, {"kind": "toy"})
        return Made((row(self.name, self.about, mean),), words=("Done.",), notes=("Noted.",))


@dataclass(frozen=True)
class Hidden(Stage):
    """A number that takes its time."""

    name: ClassVar[str] = "hidden"
    number: int

    def compute(self, run: Run) -> Made:
        COMPUTED.append(self.title)
        return Made(passes=(self.number, 0))


@dataclass(frozen=True)
class Fails(Stage):
    """What it is given is raised."""

    name: ClassVar[str] = "fails"
    apart: ClassVar[bool] = True
    error: str
    network: Network | None = None
    images: ImageSet = field(default_factory=images)

    def compute(self, run: Run) -> Made:
        COMPUTED.append(self.title)
        raise {"value": ValueError, "disk": OSError}[self.error]("no\nsecond line")


def stages(factor: float = 1.0, names: tuple[str, ...] = ("one", "two")) -> list[Stage]:
    """Sums and means of some networks."""
    sums = [Sums(network(name, i + 1.0), images(), factor) for i, name in enumerate(names)]
    return [*sums, *(Mean(one.network, one, Hidden(7)) for one in sums)]


ASKED = Request("attack", {"what": "toy"}, images=(images(),), may_differ=("how",))


def run_toys(folder: Path, factor: float = 1.0, engine: Engine = HERE, **settings: Any) -> Run:
    """A whole run."""
    asked = Request("attack", {"what": "toy"}, images=(images(),), **settings)
    with open_run(folder, asked, engine=engine) as run:
        run.all(stages(factor))
        run.finish()
    return run


def killed_at(folder: Path, write: int) -> bool:
    """A run in a process of its own that is killed at its `write`-th renaming of a file.

    Returns whether it came so far.
    """
    child = os.fork()
    if not child:
        seen = 0

        def watch(event: str, arguments: object) -> None:
            nonlocal seen
            if event == "os.rename":
                seen += 1
                if seen == write:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(watch)
        try:
            torch.set_num_threads(1)
            run_toys(folder)
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)
