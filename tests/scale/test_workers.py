"""Jobs in several processes: all done, failures told, nothing left running."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.scale.workers import finished_jobs


def _write(job: tuple[Path, int], progress: ProgressCallback) -> None:
    folder, number = job
    for step in range(3):
        progress(Progress("writing", step, 3))
    (folder / str(number)).write_text(str(os.getpid()))
    if number == 100:
        raise InputError("a hundred is too many")
    if number == 200:
        os._exit(3)
    if number == 300:
        while True:
            progress(Progress("waiting", 0, 1))
            time.sleep(0.2)


def test_every_job_is_done_once_by_at_most_so_many_processes(tmp_path: Path) -> None:
    seen: list[Progress] = []
    jobs = [(tmp_path, number) for number in range(7)]
    order = list(finished_jobs(_write, jobs, 2, stage="all", progress=seen.append))
    assert sorted(order) == list(range(7))
    numbers = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(numbers) == {str(number) for number in range(7)}
    assert os.getpid() not in map(int, numbers.values())
    assert len(set(numbers.values())) <= 2
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].done == seen[-1].total
    assert seen[-1].detail == "7 of 7 done"


def test_what_a_job_raises_is_raised_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="too many"):
        list(finished_jobs(_write, [(tmp_path, 100)], 1, stage="all"))


def test_a_process_that_dies_is_told_of(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="status 3"):
        list(finished_jobs(_write, [(tmp_path, 200)], 1, stage="all"))


def test_processes_end_with_a_caller_that_is_killed(tmp_path: Path) -> None:
    script = (
        "from pathlib import Path; from tests.scale import test_workers as w\n"
        "if __name__ == '__main__':\n"
        f"    list(w.finished_jobs(w._write, [(Path({str(tmp_path)!r}), 300)], 1, stage='all'))\n"
    )
    (tmp_path / "caller.py").write_text(script)
    where = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    caller = subprocess.Popen([sys.executable, str(tmp_path / "caller.py")], env=where)
    said = tmp_path / "300"
    _wait(lambda: said.exists() and bool(said.read_text()))
    process = int(said.read_text())
    caller.kill()
    caller.wait()
    _wait(lambda: not _alive(process))  # at once, not at its next report


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def _wait(until: Callable[[], bool], seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def test_processes_end_with_the_caller(tmp_path: Path) -> None:
    def stop(step: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(finished_jobs(_write, [(tmp_path, 300)], 1, stage="all", progress=stop))
    process = int((tmp_path / "300").read_text())
    assert not _alive(process)
