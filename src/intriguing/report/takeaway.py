"""What a report says first: a few numbers, and sentences."""

from collections.abc import Sequence
from dataclasses import dataclass

from intriguing.results.audit import Tile as Tile


@dataclass(frozen=True)
class Answer:
    """A question of the reader's, the answer in words, and what kind of knowledge that is.

    kind: "measured", "found" (an upper bound of a distance), "proved" (a lower bound, or an upper
    one of a norm), "failed" or "not run".
    """

    question: str
    words: str
    kind: str


@dataclass(frozen=True)
class Findings:
    """What the reader should take away; alarms say that something is wrong with the results."""

    tiles: tuple[Tile, ...]
    sentences: tuple[str, ...]
    alarms: tuple[str, ...] = ()
    answers: tuple[Answer, ...] = ()
    advice: tuple[str, ...] = ()


NOTHING = Findings((), ())


def joined(parts: Sequence[Findings]) -> Findings:
    """All of them, in order."""
    return Findings(
        tuple(tile for part in parts for tile in part.tiles),
        tuple(sentence for part in parts for sentence in part.sentences),
        tuple(alarm for part in parts for alarm in part.alarms),
    )
