"""Do examples made for one network fool the others?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import torch

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage, LeftOut
from intriguing.audit.subject import Subject, drawn
from intriguing.report.numbers import points_more
from intriguing.results.audit import Finding, Tile
from intriguing.results.measured import Condition, Measurement, Metric, first, where
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from intriguing.runs.transfer_table import Transfer as Crossed

CROSSED = 2000
"""Images that are shown to other networks at most, drawn where there are more."""


@dataclass(frozen=True)
class Transfer(AuditStage):
    """Examples of each network shown to all: as they are, made equally long, and beside noise.

    Attributes:
        networks: That are shown them.
        attacks: Of those networks for which the attack was done.
        amplified: Sizes, as multiples of the largest mean distortion.
        seed: Draws the noise.
    """

    name: ClassVar[str] = "transfer"
    question: ClassVar[str] = "Do examples made for one network fool the others?"
    attacked: ClassVar[bool] = True
    networks: tuple[Network, ...]
    attacks: tuple[Examples, ...]
    amplified: tuple[float, ...]
    seed: int

    @classmethod
    def of(cls, subject: Subject, run: Run) -> Iterator["Transfer | LeftOut"]:
        """One for all networks."""
        if len(subject.networks) < 2:
            why = "Transfer needs two networks or more; give another one to compare with."
            yield LeftOut("", why)
            return
        attacks = tuple(
            subject.examples(one) for one in subject.networks if run.was_done("attack", one.name)
        )
        if attacks:
            yield cls(subject.networks, attacks, subject.config.amplified, subject.config.seed)

    @classmethod
    def costs(cls, probe: Probe) -> Iterator[Cost]:
        """Forward passes of every network on every set of images."""
        networks, sizes = probe.subject.networks, 1 + len(probe.subject.config.amplified)
        if len(networks) > 1:
            every = sum(map(probe.forward, networks))
            sets = len(networks) * sizes + sizes + 1  # and the images themselves
            yield Cost(cls.name, "", 0.0, sets * every, min(probe.attacked, CROSSED), True)

    def compute(self, run: Run) -> Made:
        """Errors of every network on every set; nothing where no example was found."""
        attacked = self.attacks[0].plan.images
        rows = drawn(torch.arange(len(attacked)), CROSSED, self.seed)
        some = [(one.distortion[rows], one.success[rows]) for one in map(run.loaded, self.attacks)]
        means = [float(sizes[found].double().mean()) for sizes, found in some if found.any()]
        if not means:
            return Made(
                words=("No example was found, so there is none to show to other networks.",)
            )
        sizes = tuple(
            float(f"{multiple * max(means):.2g}")
            for multiple in self.amplified if multiple * max(means) < 1
        )  # fmt: skip
        made = Crossed(
            self.networks, self.attacks, attacked.subset(rows), sizes, self.seed
        ).compute(run)  # fmt: skip
        return replace(made, finding=_finding(made.measured))


def _finding(measured: Sequence[Measurement]) -> Finding:
    """What networks make of examples that are not for them, beside noise as long as these.

    First what the change does, then the shares misclassified with it and without.
    """
    as_long = where(measured, analysis="transfer", reference=Condition.ADVERSARIAL)[0].size
    plain, equal = _net(measured, Condition.ADVERSARIAL), _net(measured, Condition.NOISE, as_long)
    said = (
        f"As they are, examples shown to networks that they were not made for {plain.words}, "
        f"noise of the same size {equal.words}"
    )
    amplified = where(measured, analysis="transfer", condition=Condition.AMPLIFIED)
    for size in dict.fromkeys(row.size for row in amplified):
        longer, equal_noise = (
            _net(measured, condition, size) for condition in (Condition.AMPLIFIED, Condition.NOISE)
        )
        said += f"; amplified to distortion {size:g} they {longer.words}, noise {equal_noise.words}"
    tile = Tile(
        plain.more, "of other networks' answers are wrong because of the examples",
        f"misclassified in all: {plain.raw}; noise: {equal.more}",
    )  # fmt: skip
    return Finding(said, tile=tile)


@dataclass(frozen=True)
class _Net:
    """What a change does beyond what is misread without it, as words.

    Attributes:
        more: By how many percentage points.
        raw: The share misread with the change.
        words: Both, with the interval and the share misread without.
    """

    more: str
    raw: str
    words: str


def _net(
    measured: Sequence[Measurement], condition: Condition, size: float | None = None
) -> _Net:  # fmt: skip
    """Over all pairs of a network and a change that was not made for it."""
    about = {"analysis": "transfer-net", "made_for": "", "network": "", "condition": condition}
    rows = where(measured, size=size, **about)
    raw, clean = (first(rows, metric=Metric.ERROR, images=which) for which in ("", "clean"))
    more = first(rows, metric=Metric.ERROR_DIFFERENCE)
    if raw is None or clean is None or more is None:
        return _Net("–", "–", "were shown to none")
    words = (
        f"make {points_more(more)} more errors ({raw.value:.1f} %, against {clean.value:.1f} % of "
        "the same images unchanged)"
    )
    return _Net(f"{more.value:+.1f} points".replace("-", "−"), f"{raw.value:.1f} %", words)
