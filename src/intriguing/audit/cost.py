"""How long an audit takes: a moment's probe before it starts, and a model of any number of images.

The time of a stage is a·n + b in the number of images n.  b is measured by doing what does not grow
with them; a by doing the stage's real work on few images, on twice as many while that takes less
than a moment, and dividing.
"""

import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import nn

from intriguing.audit import composing, measuring
from intriguing.audit.config import AuditConfig
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.files import read_json, write_whole
from intriguing.measures import Progress
from intriguing.models.asking import Classifier
from intriguing.models.backward import gradient
from intriguing.runs.predicting import first_correct, predict
from intriguing.runs.targeted import TARGET, ostriches
from intriguing.scale.attack import SHARD_SIZE

SHARD_SECONDS = 60.0
"""What an interruption may cost."""
MOMENT = 6.0
"""Seconds that a probe of one stage lasts at least, unless all images are tried before."""
PROBES = 4
CERTIFIED = (4, 24)
"""Images of two probes of certificates: what differs is an image's, the rest is not."""


@dataclass(frozen=True)
class Cost:
    """The time of one stage of one network: `fixed` + `each` · images, in seconds."""

    stage: str
    network: str
    fixed: float
    each: float
    images: int

    @property
    def seconds(self) -> float:
        """The whole."""
        return self.fixed + self.each * self.images


def shard_sizes(subject: Subject) -> dict[str, int]:
    """Images a shard of each network's attack, such that one takes about a minute.

    They are chosen once and kept in the folder, because shards of another size are other shards.
    """
    path = subject.folder / "stages" / "plan.json"
    with suppress(InputError):  # a damaged one is made again
        known = read_json(path, "it is made again")
        fits = isinstance(known, dict) and set(known) == set(subject.networks)
        if fits and all(map(_is_size, known.values())):
            return dict(known)
    sizes = {}
    for name, model in subject.networks.items():
        wanted = SHARD_SECONDS / (pass_seconds(model, subject.images) * subject.config.passes)
        sizes[name] = max(1, min(SHARD_SIZE, 1 << max(int(wanted), 1).bit_length() - 1))
    write_whole(path, json.dumps(sizes))
    return sizes


def _is_size(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= SHARD_SIZE


def pass_seconds(model: nn.Module, images: ImageSet, count: int = 8) -> float:
    """Seconds of one forward and backward pass of one image, in a small batch."""
    asked = Classifier.of(model)
    asked.begin(images.images.shape[1:])
    x = asked.fit(images.images[:count]).requires_grad_()
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        gradient(asked(x).amax(1).sum(), x)
        best = min(best, time.perf_counter() - start)
    return best / len(x)


def quick(subject: Subject) -> dict[str, float]:
    """Seconds of the stages that show images to networks, by the number of passes they may take."""
    config, total = subject.config, len(subject.images)
    few = min(config.attacked or total, total)
    seconds: dict[str, float] = {}
    for name, model in subject.networks.items():
        one = pass_seconds(model, subject.images)
        passes = config.passes + (config.target_passes if config.target is not None else 0)
        units = total if "units" not in config.skip and name == next(iter(subject.networks)) else 0
        forward = total + min(units, config.units_on) * (3 + config.untrained)
        seconds[name] = one * (few * 1.3 * passes + 0.4 * forward)
    return seconds


def measure(
    subject: Subject, images: int, rehearse: Callable[[Subject], float] | None = None
) -> list[Cost]:
    """The cost of an audit of `images` images like these, stage by stage.

    Args:
        subject: Networks and a sample of the images; the more there are, the better.
        images: How many there would be.
        rehearse: Does a small audit and tells what it took besides its stages: the checks before
            them, and the report.
    """
    config = subject.config
    attacked = images if config.attacked is None else min(config.attacked, images)
    costs: list[Cost] = []
    with TemporaryDirectory() as folder:
        for number, (name, model) in enumerate(subject.networks.items()):
            probe = _Probe(subject, name, model, Path(folder) / str(number))
            accuracy = probe.each(probe.accuracy)
            costs.append(Cost("accuracy", name, 0.0, accuracy, images))
            if "attack" not in config.skip:
                costs.append(Cost("attack", name, 0.0, probe.each(probe.attack), attacked))
            if "noise" not in config.skip:
                draws = measuring.DRAWS + len(measuring.MULTIPLES)
                costs.append(Cost("noise", name, 0.0, draws * accuracy, attacked))
            if config.target is not None and "target" not in config.skip:
                costs.append(Cost("target", name, 0.0, probe.each(probe.target), attacked))
            if "spectrum" not in config.skip:
                costs.append(Cost("spectrum", name, probe.bounds("spectrum", 8), 0.0, 0))
            if "certify" not in config.skip:
                few, more = (probe.bounds("certify", count) for count in CERTIFIED)
                each = max(accuracy, (more - few) / (CERTIFIED[1] - CERTIFIED[0]))
                fixed = max(0.0, few - CERTIFIED[0] * each)
                costs.append(Cost("certify", name, fixed, each, attacked))
            if number == 0 and "units" not in config.skip:
                some = min(images, config.units_on)
                costs.append(Cost("units", name, *probe.units(some), some))
            if subject.progress is not None:
                subject.progress(Progress("probing", number + 1, len(subject.networks)))
        if len(subject.networks) > 1 and "transfer" not in config.skip:
            every = sum(cost.each for cost in costs if cost.stage == "accuracy")
            sets = len(subject.networks) * (1 + len(config.amplified)) + 1 + len(config.amplified)
            crossed = min(attacked, composing.CROSSED)
            costs.append(Cost("transfer", "", 0.0, sets * every, crossed))
    if rehearse is not None:
        costs.append(Cost("checks, report", "", rehearse(subject), 0.0, 0))
    return costs


class _Probe:
    """The real work of the stages on few images."""

    def __init__(self, subject: Subject, name: str, model: nn.Module, folder: Path) -> None:
        self.subject, self.name, self.model, self.folder = subject, name, model, folder
        self.count = 0

    def each(self, work: Callable[[ImageSet, Path], None]) -> float:
        """Seconds an image, from the largest probe."""
        images, count, elapsed = self.subject.images, min(PROBES, len(self.subject.images)), 0.0
        while True:
            self.count += 1
            few = images.first(count)
            start = time.perf_counter()
            work(few, self.folder / str(self.count))
            elapsed = time.perf_counter() - start
            if elapsed >= MOMENT or count == len(images):
                return elapsed / count
            count = min(count * (4 if elapsed < MOMENT / 8 else 2), len(images))

    def accuracy(self, images: ImageSet, folder: Path) -> None:
        """Forward passes."""
        predict(self.model, images.images, self.subject.batches[self.name])

    def attack(self, images: ImageSet, folder: Path) -> None:
        """The search, of images that are classified correctly."""
        small = self._small(images, folder)
        measuring.nearest(small, self.name, SHARD_SIZE)

    def target(self, images: ImageSet, folder: Path) -> None:
        """The search for one class, with its files."""
        config = self.subject.config
        goal = TARGET if config.target is None else config.target
        kept = images.subset((images.labels != goal).nonzero()[:, 0])
        ostriches(
            self.model, kept, folder, target=goal, budget=config.target_passes,
            config=config.search(targeted=True), batch_size=config.batch_size,
        )  # fmt: skip

    def bounds(self, stage: str, count: int) -> float:
        """Seconds of a stage that proves something, on so many images."""
        small = self._small(self.subject.images.first(count), self.folder / f"{stage}-{count}")
        start = time.perf_counter()
        try:
            if stage == "spectrum":
                composing.spectrum(small, self.name)
            else:
                composing.certificates(small, self.name)
        except Exception:
            pass  # what fails, fails soon, and is said by the audit itself
        return time.perf_counter() - start

    def units(self, images: int) -> tuple[float, float]:
        """Fixed seconds and seconds an image, from two sizes."""
        points: list[tuple[int, float]] = []
        for count in sorted({min(images, 64), min(images, 192)}):
            some = replace(self.subject.config, units_on=count)
            folder = self.folder / f"units-{count}"
            small = self._small(self.subject.images, folder, some)
            start = time.perf_counter()
            try:
                composing.units(small, self.name)
            except Exception:
                return time.perf_counter() - start, 0.0
            points.append((count, time.perf_counter() - start))
        (low, first), (high, last) = points[0], points[-1]
        if high == low:
            return 0.0, last / high
        each = max((last - first) / (high - low), 0.0)
        return max(first - each * low, 0.0), each

    def _small(self, images: ImageSet, folder: Path, config: AuditConfig | None = None) -> Subject:
        own: Mapping[str, nn.Module] = {self.name: self.model}
        folder.mkdir(parents=True, exist_ok=True)
        subject = replace(
            self.subject, networks=own, images=images, folder=folder, progress=None, kept={},
            config=config or self.subject.config,
        )  # fmt: skip
        right = first_correct([self.model], images, len(images), 0)
        chosen = right if len(right) >= min(PROBES, len(images)) else torch.arange(len(images))
        subject.keep("attacked", chosen)
        return subject
