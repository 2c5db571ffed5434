"""A stage of an audit done once: what it made is kept, and failing is one of its outcomes."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from intriguing import __version__
from intriguing.errors import InputError, UnsoundBound
from intriguing.files import check_regular, read_json, watch_written, write_whole
from intriguing.keys import derive_key
from intriguing.names import file_name
from intriguing.results.audit import StageRecord
from intriguing.results.rows import LayerRow, Measurement
from intriguing.results.typed import of_json


@dataclass(frozen=True)
class Made:
    """What a stage made for one network, or for all together.

    Attributes:
        words: Sentences for the report.
        facts: Numbers for its first screen.
        rows: What it measured.
        layers: Rows of layers.
        passes: Images forward and backward, where they were counted.
        seconds: Of work done by earlier processes, where that is known.
    """

    words: tuple[str, ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)
    rows: tuple[Measurement, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    passes: tuple[int, int] = (0, 0)
    seconds: float | None = None


@dataclass(frozen=True)
class Finished:
    """A stage that ended, well or not."""

    record: StageRecord
    made: Made


def finish_stage(
    folder: Path, stage: str, network: str, given: object, make: Callable[[], Made]
) -> Finished:
    """Make a stage, or read what an earlier call made of the same things.

    A stage of which a file is missing or changed is made again.

    Whatever a network does to an analysis becomes a record that says so; only an interruption, a
    disk that cannot be written and a bound that is refuted end the audit.

    Args:
        folder: The results folder.
        stage, network: Which one; the network is empty for a stage about all.
        given: Everything that `make` is given, for `derive_key`.
        make: Does the work.
    """
    parts = (stage, network) if network else (stage,)
    path = folder / "stages" / f"{file_name(*parts)}.json"
    key = derive_key(stage, network, given, __version__)
    if (known := _recall(folder, path, key)) is not None:
        made, seconds = known
        return Finished(_record(stage, network, made, seconds), made)
    start = time.perf_counter()
    try:
        with watch_written() as files:
            made = make()
    except Exception as error:
        if isinstance(error, UnsoundBound) or _of_the_disk(error):
            raise
        seconds = time.perf_counter() - start
        words = (_said(error),)
        return Finished(StageRecord(stage, network, "failed", words, {}, seconds), Made(words))
    seconds = time.perf_counter() - start if made.seconds is None else made.seconds
    content = {
        "key": key, "seconds": seconds, "made": asdict(made),
        "files": _digests(folder, files),
    }  # fmt: skip
    write_whole(path, json.dumps(content, ensure_ascii=False))
    return Finished(_record(stage, network, made, seconds), made)


def left_out(stage: str, network: str, why: str) -> Finished:
    """A stage that is not run."""
    return Finished(StageRecord(stage, network, "not run", (why,)), Made((why,)))


def _record(stage: str, network: str, made: Made, seconds: float) -> StageRecord:
    return StageRecord(stage, network, "done", made.words, made.facts, seconds)


def _said(error: Exception) -> str:
    """An error as one sentence; what is not an InputError keeps its type's name."""
    lines = str(error).strip().splitlines()
    text = lines[0] if lines else ""
    if isinstance(error, InputError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _of_the_disk(error: BaseException) -> bool:
    return isinstance(error, OSError) or isinstance(error.__cause__, OSError)


def _recall(folder: Path, path: Path, key: str) -> tuple[Made, float] | None:
    try:
        kept = of_json(_Kept, read_json(path, "it is made again"))
    except (ValueError, OSError):  # of which InputError is one
        return None
    names = [folder / name for name in kept.files]
    whole = kept.key == key and _digests(folder, names) == kept.files
    return (kept.made, kept.seconds) if whole else None


@dataclass(frozen=True)
class _Kept:
    """A stage on disk: what it depends on, what it made, and the digests of the files it wrote."""

    key: str
    seconds: float
    made: Made
    files: dict[str, str]


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
