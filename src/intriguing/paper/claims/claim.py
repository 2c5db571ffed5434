"""A claim in one reading, as data: everything about it but the measuring."""

from dataclasses import dataclass, field

from intriguing.keys import APART
from intriguing.paper.claims.deciding import (
    Estimate,
    Region,
    decide,
    of_means,
    of_ratios,
    of_shares,
)
from intriguing.results.measured import Measurement, Unit
from intriguing.results.verdicts import Basis, Source, Verdict, VerdictRow


@dataclass(frozen=True)
class Claim:
    """What is said, what it is taken to mean, and what would settle it.

    Attributes:
        name: On the command line and in rows.
        source: Whose it is.
        section: Where it stands.
        sentence: What is said, shortened.
        reading: What that is taken to mean, so that it can fail.
        quantity: What is measured of every seed.
        unit: "%" is a share of images, of which the topic gives counts; "ratio" is judged by its
            logarithm; all others are means.
        right: Where the quantity has to be for the reading to be right.
        change: What would change the verdict.
        sceptic: What somebody who doubts it should know.
        across: What the curve of its measurements runs over, where there is one.
        basis: PROOF and COUNTEREXAMPLE need no seeds; the topic's check says whether they stand.
    """

    name: str
    source: Source
    section: str = field(metadata=APART)
    sentence: str = field(metadata=APART)
    reading: str = field(metadata=APART)
    quantity: str = field(metadata=APART)
    unit: Unit
    right: Region
    change: str = field(metadata=APART)
    sceptic: str = field(metadata=APART)
    basis: Basis = Basis.SEEDS
    across: str = field(default="", metadata=APART)

    def judged(self, topic: str, effects: list[Measurement]) -> VerdictRow:
        """The verdict, from the effect of every seed in the order of the seeds."""
        found, verdict = self._decided(effects)
        return VerdictRow(
            self.name, self.source, self.section, self.sentence, self.reading, self.quantity,
            topic, self.unit, self.right.low, self.right.high, found.value, found.low, found.high,
            found.seeds, found.count, found.total, self.basis, verdict, self.across, self.change,
            self.sceptic,
        )  # fmt: skip

    def _decided(self, effects: list[Measurement]) -> tuple[Estimate, Verdict]:
        if self.basis is not Basis.SEEDS:
            # A check gives 1 where it confirms what was derived, and anything else where not.
            confirmed = all(row.count == row.total > 0 for row in effects)
            settled = Verdict.HOLDS if self.basis is Basis.PROOF else Verdict.DOES_NOT_HOLD
            value = effects[0].value
            return (
                Estimate(value, value, value, 0, effects[0].count, effects[0].total),
                settled if confirmed else Verdict.OPEN,
            )
        if self.unit == "%":
            found = of_shares([row.count for row in effects], [row.total for row in effects])
        else:
            values = [row.value for row in effects]
            found = of_ratios(values) if self.unit == "ratio" else of_means(values)
        return found, decide(found, self.right)


def more_than(margin: float) -> Region:
    """The quantity is above the margin."""
    return Region(low=margin)


def less_than(margin: float) -> Region:
    """The quantity is below the margin."""
    return Region(high=margin)


def within(margin: float) -> Region:
    """The quantity is 0 up to ± the margin: two things are equal."""
    return Region(-margin, margin)


def as_large(factor: float) -> Region:
    """A ratio is 1 up to the factor, either way."""
    return Region(1 / factor, factor)
