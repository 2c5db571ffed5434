"""A stage's result on disk: rows and words under its key, with digests of the files it wrote."""

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from intriguing.errors import InputError
from intriguing.files import check_regular, read_json, write_whole
from intriguing.names import file_name
from intriguing.results.gate import FlawRow, GateRow, RulingRow
from intriguing.results.measured import Measurement
from intriguing.results.rows import ClaimRow, CurvePoint, LayerRow, LossRow, Row
from intriguing.results.typed import of_json
from intriguing.results.verdicts import VerdictRow
from intriguing.runs.stage import Made, Stage

SMALL: tuple[type[Row], ...] = (
    Measurement, LayerRow, ClaimRow, CurvePoint, LossRow, VerdictRow, GateRow, FlawRow,
    RulingRow,
)  # fmt: skip
"""Rows that are kept one by one, with their stage."""


@dataclass(frozen=True)
class Kept:
    """A stage on disk: what it depends on, what it made, and the digests of the files it wrote."""

    key: str
    seconds: float
    made: Made
    files: dict[str, str]

    @classmethod
    def of(
        cls, folder: Path, stage: Stage, seconds: float, made: Made, files: Iterable[Path]
    ) -> "Kept":
        """A stage that was done just now; files that were there for a while only do not count."""
        there = [file for file in files if file.exists()]
        return cls(stage.key, seconds, made, _digests(folder, there))

    def write(self, folder: Path, stage: Stage) -> None:
        """Put it into the folder."""
        write_whole(_file(folder, stage), _to_json(self))

    @classmethod
    def read(cls, folder: Path, stage: Stage) -> "Kept | None":
        """What is kept of this very stage, whole and undamaged."""
        try:
            kept = _of_json(read_json(_file(folder, stage), "it is made again"))
        except (ValueError, KeyError, TypeError, OSError):  # of which InputError is one
            return None
        names = [folder / name for name in kept.files]
        return kept if kept.key == stage.key and _digests(folder, names) == kept.files else None


def _file(folder: Path, stage: Stage) -> Path:
    return folder / "stages" / f"{file_name(*stage.identity)}.json"


def _to_json(kept: Kept) -> str:
    """Rows of a kind together under its name; all else as its fields are called."""
    rows: dict[str, list[Any]] = {}
    for row in kept.made.rows:
        rows.setdefault(type(row).FILE, []).append(vars(row))
    content = asdict(replace(kept, made=replace(kept.made, rows=())))
    content["made"]["rows"] = rows
    return json.dumps(content, ensure_ascii=False)


def _of_json(content: Any) -> Kept:
    kinds = {kind.FILE: kind for kind in SMALL}
    rows: tuple[Any, ...] = tuple(
        of_json(kinds[name], row)
        for name, some in content["made"].pop("rows").items() for row in some
    )  # fmt: skip
    kept = of_json(Kept, content)
    return replace(kept, made=replace(kept.made, rows=rows))


def _digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """By their names inside the folder; of shards, which hold their own digests, the size."""
    found = {}
    for file in files:
        name = file.relative_to(folder).as_posix()
        try:
            size = check_regular(file, "it is made again")
            shard = name.startswith("shards/")
            found[name] = str(size) if shard else hashlib.sha256(file.read_bytes()).hexdigest()
        except (InputError, OSError):
            found[name] = "missing"
    return found
