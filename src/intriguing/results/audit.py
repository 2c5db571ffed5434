"""What an audit says of its stages: stages/audit.json, readable without torch."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from intriguing.files import write_whole

StageStatus: TypeAlias = Literal["done", "failed", "not run"]
FILE = Path("stages") / "audit.json"


@dataclass(frozen=True)
class StageRecord:
    """One stage of an audit for one network, or for all of them together.

    Attributes:
        stage: Its key, such as "attack".
        network: Its name; empty where the stage is about all networks.
        status: Whether it was done; "failed" and "not run" say why in `words`.
        words: Sentences in plain language.
        facts: Numbers that the report's first screen needs, JSON-able.
        wall_seconds: Over all interruptions, as far as they are known.
    """

    stage: str
    network: str
    status: StageStatus
    words: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    wall_seconds: float = 0.0


def write_audit(folder: Path, records: Sequence[StageRecord]) -> None:
    """Write stages/audit.json."""
    content = [asdict(record) for record in records]
    write_whole(folder / FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_audit(folder: Path) -> tuple[StageRecord, ...]:
    """Read stages/audit.json; empty where there is none, or it is damaged."""
    try:
        content = json.loads((folder / FILE).read_text(encoding="utf-8"))
        return tuple(
            StageRecord(**{**record, "words": tuple(record["words"])}) for record in content
        )
    except (OSError, ValueError, TypeError, KeyError):
        return ()
