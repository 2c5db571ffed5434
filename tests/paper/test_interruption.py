"""Killed at any moment, the same command goes on, and nothing in the results tells of it."""

import random
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from intriguing.measures import Progress
from intriguing.paper.reproduce import reproduce
from intriguing.results.schema import RunRecord
from intriguing.results.store import list_tensors, read_run, read_tensors
from tests.paper import running

KILLS = 5


def test_five_kills_leave_no_trace(smoke: Path, tmp_path: Path) -> None:
    chance = random.Random()
    seen = []
    for _ in range(KILLS):
        process, steps = running.start(tmp_path / "results")
        last: object = "started"
        with suppress(EOFError):
            for _ in range(chance.randrange(1, 200)):
                last = steps.recv()
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.join()
        seen.append((last, process.exitcode))
    reproduce(running.CONFIG, tmp_path / "results", command=running.COMMAND)
    print("killed after", seen)
    assert_same(tmp_path / "results", smoke)


@pytest.mark.parametrize("stage", ["train FC10(1)", "attack FC123-456-10 (P1)"])
def test_ctrl_c_leaves_no_trace(smoke: Path, tmp_path: Path, stage: str) -> None:
    def stop(step: Progress) -> None:
        if step.stage == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        reproduce(running.CONFIG, tmp_path, command=running.COMMAND, progress=stop)
    assert read_run(tmp_path).status == "running"
    reproduce(running.CONFIG, tmp_path, command=running.COMMAND)
    assert_same(tmp_path, smoke)


def assert_same(folder: Path, other: Path) -> None:
    for rows in ("measurements.parquet", "images.parquet"):
        assert (folder / "rows" / rows).read_bytes() == (other / "rows" / rows).read_bytes()
    assert list_tensors(folder) == list_tensors(other)
    for name in list_tensors(folder):
        (tensors, words), (others, other_words) = (read_tensors(f, name) for f in (folder, other))
        assert words == other_words
        assert tensors.keys() == others.keys()
        assert all(np.array_equal(tensors[key], others[key]) for key in tensors)
    assert without_times(read_run(folder)) == without_times(read_run(other))
    files = {path.relative_to(folder) for path in folder.rglob("*") if path.is_file()}
    assert files == {path.relative_to(other) for path in other.rglob("*") if path.is_file()}


def without_times(record: RunRecord) -> RunRecord:
    models = []
    for model in record.models:
        report = dict(model.training)
        for half in (report, report["pretraining"] or {}):
            half.pop("wall_seconds", None)
        models.append(replace(model, training=report))
    stages = tuple(replace(stage, wall_seconds=0.0) for stage in record.stages)
    return replace(record, models=tuple(models), stages=stages)
