"""Do examples made for one network fool the others?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from intriguing.audit.probe import Cost, Probe
from intriguing.audit.stage import AuditStage, LeftOut
from intriguing.audit.subject import Subject
from intriguing.report.numbers import percent, points_more
from intriguing.results.audit import Finding, Tile
from intriguing.results.measured import Condition, Measurement, Metric, first, where
from intriguing.runs.examples import Examples
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network
from intriguing.runs.transfer_table import Transfer as Crossed

CROSSED = 2000
"""Images that are shown to other networks at most."""


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
            yield Cost(cls.name, "", 0.0, sets * every, min(probe.attacked, CROSSED))

    def compute(self, run: Run) -> Made:
        """Errors of every network on every set; nothing where no example was found."""
        few = [run.loaded(one).first(CROSSED).sizes.double() for one in self.attacks]
        means = [float(found.mean()) for found in few if len(found)]
        if not means:
            return Made(
                words=("No example was found, so there is none to show to other networks.",)
            )
        sizes = tuple(
            float(f"{multiple * max(means):.2g}")
            for multiple in self.amplified if multiple * max(means) < 1
        )  # fmt: skip
        images = self.attacks[0].plan.images.first(CROSSED)
        made = Crossed(
            self.networks, self.attacks, images, sizes, self.seed, CROSSED
        ).compute(run)  # fmt: skip
        return replace(made, finding=_finding(made.measured))


def _finding(measured: Sequence[Measurement]) -> Finding:
    """What networks make of examples that are not for them, beside noise as long as these.

    Each share stands beside that of the same images unchanged, which is no transfer.
    """
    errors = where(measured, analysis="transfer", metric=Metric.ERROR)
    net = where(measured, analysis="transfer-net", made_for="", network="")
    others = where(errors, condition=Condition.ADVERSARIAL, own=False)
    as_long = where(errors, condition=Condition.NOISE, reference=Condition.ADVERSARIAL)
    noise = _rate(as_long)
    shared = percent(sum(row.count for row in others), sum(row.total for row in others))
    beyond = _beyond(net, Condition.ADVERSARIAL)
    said = (
        f"As they are, {shared} of the examples are misclassified by a network they were not made "
        f"for (over {len(others)} pairs; {beyond}), and {noise} of images "
        f"with noise of the same size ({_beyond(net, Condition.NOISE, as_long[0].size)})"
    )
    for size in dict.fromkeys(row.size for row in where(errors, condition=Condition.AMPLIFIED)):
        longer = where(errors, condition=Condition.AMPLIFIED, size=size, own=False)
        equal = where(errors, condition=Condition.NOISE, size=size)
        if longer and equal:
            said += (
                f"; amplified to distortion {size:g}, {_rate(longer)} "
                f"({_beyond(net, Condition.AMPLIFIED, size)}) against {_rate(equal)} under noise "
                f"of that size ({_beyond(net, Condition.NOISE, size)})"
            )
    tile = Tile(shared, "of examples fool another network", f"noise: {noise}")
    return Finding(said, tile=tile)


def _beyond(
    net: Sequence[Measurement], condition: Condition, size: float | None = None
) -> str:  # fmt: skip
    """How many of the same images are misread without any change, and the difference."""
    rows = where(net, condition=condition, size=size)
    clean = first(rows, metric=Metric.ERROR, images="clean")
    more = first(rows, metric=Metric.ERROR_DIFFERENCE)
    if clean is None or more is None:
        return "shown to no other network"
    return f"unchanged {clean.value:.1f} %, so {points_more(more)}"


def _rate(rows: Sequence[Measurement]) -> str:
    """The share of all of them together."""
    count, total = sum(row.count for row in rows), sum(row.total for row in rows)
    return f"{100 * count / total:.1f} %" if total else "none"
