"""What an audit says of its stages: stages/audit.json, readable without torch."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from intriguing.addresses import present
from intriguing.errors import InputError
from intriguing.files import read_json, write_whole
from intriguing.results.damage import REMEDY
from intriguing.results.typed import of_json

StageStatus: TypeAlias = Literal["done", "failed", "not run"]
FILE = Path("stages") / "audit.json"


@dataclass(frozen=True)
class Warned:
    """What looks wrong with a network, as a warning in plain words.

    Attributes:
        what: The flaw, such as "zero gradients".
        seen: What was measured, with its numbers.
        follows: What it means for the results, and what to do.
    """

    what: str
    seen: str
    follows: str

    def __str__(self) -> str:
        return f"{self.what}: {self.seen}; {self.follows}."


@dataclass(frozen=True)
class Tile:
    """One number worth remembering, what it is, and what to compare it with."""

    value: str
    label: str
    beside: str = ""


Knowledge: TypeAlias = Literal["measured", "found", "proved", "not proved", "bounds"]
"""What kind of knowledge an answer is: what was found is an upper bound of a distance, and what is
proved a lower one, or an upper one of a norm."""


@dataclass(frozen=True)
class Finding:
    """The answer to a stage's question, about one network or about all of them together.

    Attributes:
        words: A sentence without a full stop, that begins with the network's name.
        kind: What kind of knowledge it is.
        closing: A sentence that is said once for all networks.
        tile: Its number; the page shows that of the first network.
    """

    words: str
    kind: Knowledge = "measured"
    closing: str = ""
    tile: Tile | None = None


@dataclass(frozen=True)
class StageRecord:
    """One stage of an audit for one network, or for all of them together.

    Attributes:
        stage: Its key, such as "attack".
        network: Its name; empty where the stage is about all networks.
        status: Whether it was done; "failed" and "not run" say why in `words`.
        words: Sentences in plain language.
        wall_seconds: Over all interruptions, as far as they are known.
        warnings: What looks wrong with the network.
        question: That it answers, in the reader's words; empty where it answers none.
        finding: The answer; None where there is none.
    """

    stage: str
    network: str
    status: StageStatus
    words: tuple[str, ...] = ()
    wall_seconds: float = 0.0
    warnings: tuple[Warned, ...] = ()
    question: str = ""
    finding: Finding | None = None


def write_audit(folder: Path, records: Sequence[StageRecord]) -> None:
    """Write stages/audit.json."""
    content = [asdict(record) for record in records]
    write_whole(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_audit(folder: Path) -> tuple[StageRecord, ...]:
    """Read stages/audit.json; empty where there is none.

    Raises:
        InputError: If it is damaged.
    """
    if not present(folder / FILE):
        return ()
    content = read_json(folder / FILE, f"delete it; {REMEDY}")
    try:
        if not isinstance(content, list):
            raise ValueError(f"it is {content!r:.60}, not list")
        return tuple(of_json(StageRecord, one, f"[{i}]") for i, one in enumerate(content))
    except ValueError as error:
        raise InputError(f"{folder / FILE} is damaged: {error}; delete it; {REMEDY}") from error
