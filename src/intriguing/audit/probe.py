"""How long a stage takes: its real work done on few images, by a moment's probe.

The time of a stage is a·n + b in the number of images n.  b is measured by doing what does not grow
with them; a by doing the stage's real work on few images, on twice as many while that takes less
than a moment, and dividing.
"""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.runs.predicting import first_correct, predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Network

MOMENT = 6.0
"""Seconds that a probe of one stage lasts at least, unless all images are tried before."""
FEWEST = 4
"""Images that a probe begins with."""


@dataclass(frozen=True)
class Cost:
    """The time of one stage of one network: `fixed` + `each` · images, in seconds.

    With `sharded`, the images are cut into shards, and several workers take an equal part each.
    """

    stage: str
    network: str
    fixed: float
    each: float
    images: int
    sharded: bool = False

    @property
    def seconds(self) -> float:
        """The whole."""
        return self.by(1)

    def by(self, workers: int) -> float:
        """Seconds where so many workers do what can be done at once.

        >>> Cost("attack", "net", 1.0, 2.0, 10, sharded=True).by(5)
        5.0
        """
        return self.fixed + self.each * self.images / (workers if self.sharded else 1)


class Probe:
    """The real work of stages on few images, in a folder of its own.

    Attributes:
        subject: Networks and a sample of the images; the more there are, the better.
        images: How many images there would be.
        attacked: How many of them would be attacked.
    """

    def __init__(self, subject: Subject, images: int, folder: Path) -> None:
        self.subject, self.images, self._folder = subject, images, folder
        asked = subject.config.images
        self.attacked = images if asked is None else min(asked, images)
        self._forward: dict[str, float] = {}
        self._count = 0

    def forward(self, network: Network) -> float:
        """Seconds of one image through a network."""
        if network.name not in self._forward:
            batch = self.subject.batches[network.name]
            self._forward[network.name] = self.each(
                network, lambda few, run: predict(network.model, few.images.images, batch)
            )
        return self._forward[network.name]

    def each(self, network: Network, work: Callable[[Subject, Run], object]) -> float:
        """Seconds an image, from the largest probe.

        Args:
            network: The only one of the subject that `work` is given.
            work: Is given few images, all of which are attacked, and a run.
        """
        total = len(self.subject.images)
        count = min(FEWEST, total)
        while True:
            few, run = self._small(network, self.subject.images.first(count).read())
            start = time.perf_counter()
            work(few, run)
            elapsed = time.perf_counter() - start
            if elapsed >= MOMENT or count == total:
                return elapsed / count
            count = min(count * (4 if elapsed < MOMENT / 8 else 2), total)

    def seconds(
        self, network: Network, count: int | None, work: Callable[[Subject, Run], object]
    ) -> float:
        """Seconds of work on so many images, None for all; what fails, fails soon."""
        images = self.subject.images
        few, run = self._small(network, images if count is None else images.first(count).read())
        start = time.perf_counter()
        with suppress(Exception):  # the audit itself says so
            work(few, run)
        return time.perf_counter() - start

    def _small(self, network: Network, images: ImageSet) -> tuple[Subject, Run]:
        self._count += 1
        folder = self._folder / str(self._count)
        folder.mkdir()
        right = first_correct([network.model], images, len(images), 0)
        if len(right) < min(FEWEST, len(images)):
            right = torch.arange(len(images))
        few = replace(self.subject, networks=(network,), images=images, shards={}, right=right)
        return few, Run(folder)
