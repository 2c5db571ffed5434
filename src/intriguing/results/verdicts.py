"""Verdicts on sentences: what was claimed, how it was read and measured, and what came of it."""

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from intriguing.results.measured import Unit
from intriguing.results.rows import Int32


class Verdict(StrEnum):
    """What became of a claim in one reading."""

    HOLDS = "holds"
    DOES_NOT_HOLD = "does not hold"
    OPEN = "open"


class Source(StrEnum):
    """Whose claim it is."""

    PAPER = "paper"
    READERS = "readers"
    SUCCESSORS = "successors"


class Basis(StrEnum):
    """What a verdict rests on."""

    SEEDS = "seeds"
    """An interval over networks that were trained with different seeds."""
    PROOF = "proof"
    """Mathematics, which a check agrees with; no seeds."""
    COUNTEREXAMPLE = "counter-example"
    """One case where the sentence is wrong, which is made and checked; no seeds."""


@dataclass(frozen=True)
class VerdictRow:
    """One claim in one reading, and its verdict.

    Attributes:
        claim: Its name on the command line.
        section: Where the sentence stands.
        sentence: What is claimed, shortened.
        reading: What that is taken to mean, so that it can fail.
        quantity: What is measured.
        topic: The measurements that it is decided by; several claims share one.
        unit: Of `value`; of a ratio the interval is of its logarithm.
        right_low, right_high: Where the quantity has to be for the reading to be right, fixed
            before anything was measured; infinite where open.
        value, low, high: Mean over the seeds with its 95 % interval; NaN of a proof.
        seeds: How many.
        count, total: Over all seeds, where the quantity is a share.
        across: What the curve of its measurements runs over; empty where there is none.
        change: What would change the verdict.
        sceptic: What somebody who doubts it should know.
    """

    FILE: ClassVar[str] = "verdicts"

    claim: str
    source: Source
    section: str
    sentence: str
    reading: str
    quantity: str
    topic: str
    unit: Unit
    right_low: float
    right_high: float
    value: float
    low: float
    high: float
    seeds: Int32
    count: Int32
    total: Int32
    basis: Basis
    verdict: Verdict
    across: str
    change: str
    sceptic: str
