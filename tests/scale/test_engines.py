"""Jobs by several processes and by Ray: the same answers, failures told, nothing left running."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import nn

import intriguing as it
from intriguing.errors import InputError, UnsoundBound
from intriguing.memory import free_memory
from intriguing.scale.attack import COLUMNS
from intriguing.scale.failure import Failure
from intriguing.scale.jobs import Ended, ended_jobs
from tests.scale.jobs import TOUCHING, Grows, Sweeps, Touchy, Writes

with_ray = pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed")
ENGINES = ("processes", pytest.param("ray", marks=with_ray))


@pytest.fixture(scope="module", autouse=True)
def session() -> Iterator[None]:
    """Ray, where it was begun, ends with this file."""
    yield
    if ray := sys.modules.get("ray"):
        ray.shutdown()


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10)).eval()


def files(folder: Path) -> dict[str, bytes]:
    """Tensors of the shards, by the files' names."""
    found = {}
    for path in sorted(folder.rglob("*.safetensors")):
        content = path.read_bytes()
        found[path.name] = content[8 + int.from_bytes(content[:8], "little") :]
    return found


@pytest.mark.parametrize("thought", [None, 0.05])
def test_among_jobs_that_are_alike_one_that_hangs_is_stopped_unasked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, thought: float | None
) -> None:
    monkeypatch.setattr("intriguing.scale.jobs.LEAST_MINUTES", 0.02)
    jobs = ["hang"] if thought else ["fine-1", "fine-2", "fine-3", "hang"]
    how = it.Engine("processes", 1)
    ended = list(
        ended_jobs(Writes(tmp_path), jobs, how, alike=True, seconds=[thought] if thought else [])
    )
    kinds = [one.failure and one.failure.kind for one in ended]
    assert kinds == [*[None] * (len(jobs) - 1), "time"]


def test_before_any_shard_is_done_a_pass_tells_how_long_one_may_take(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thought: list[float] = []

    def ended(*_: object, seconds: list[float], **__: object) -> list[Ended]:
        thought.append(seconds[0])
        return []

    monkeypatch.setattr("intriguing.scale.shards.ended_jobs", ended)
    images = it.load_data("digits").test.first(40)
    how = {"method": "ddn", "engine": it.Engine("processes", 2)}
    for place, (size, budget) in enumerate([(10, 20), (40, 20), (10, 2000)]):
        more = {"shard_size": size, "budget": budget}
        it.attack_in_shards(network(), images, "untargeted", tmp_path / str(place), **how, **more)
    few, larger, longer = thought
    assert 0 < few < larger < longer < 60


@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_writes_the_same_shards(tmp_path: Path, engine: str) -> None:
    images = it.load_data("digits").test.first(50)
    how = {"shard_size": 12, "method": "ddn", "budget": 20}
    it.attack_in_shards(network(), images, "untargeted", tmp_path / "here", **how)
    seen: list[it.Progress] = []
    how |= {"engine": it.Engine(engine, workers=2), "progress": seen.append}
    made = it.attack_in_shards(network(), images, "untargeted", tmp_path / engine, **how)
    assert len(files(tmp_path / "here")) == 5
    assert files(tmp_path / "here") == files(tmp_path / engine)
    assert not made.distortion.isnan().any()
    assert [step.done for step in seen] == sorted(step.done for step in seen)
    assert seen[-1].done == seen[-1].total == 50


@pytest.mark.parametrize("engine", ENGINES)
def test_what_goes_wrong_with_a_job_is_told_of_it_alone(tmp_path: Path, engine: str) -> None:
    jobs = ["fine-1", "hang", "wrong", "odd", "poison", "frail", "fine-2"]
    how = it.Engine(engine, workers=2, job_minutes=2 / 60)
    ends = list(ended_jobs(Writes(tmp_path), jobs, how, deaths=2))
    ended = {jobs[end.index]: end.failure for end in ends}
    assert set(ended) == set(jobs)
    assert {job for job, failure in ended.items() if failure is None} == {
        "fine-1", "fine-2", "frail"
    }  # fmt: skip
    assert ended["wrong"] == Failure("input", "that is wrong")
    assert ended["odd"] == Failure("failed", "LookupError: that is odd")
    assert ended["hang"] == Failure("time", "it took longer than 0.0333333 minutes")
    assert ended["poison"] is not None
    assert ended["poison"].kind == "died"
    work = Writes(tmp_path)
    assert len(work.processes("poison")) == 2
    assert len(work.processes("frail")) == 2
    assert {len(work.processes(job)) for job in ("fine-1", "fine-2", "wrong", "odd")} == {1}
    assert os.getpid() not in {one for job in jobs for one in work.processes(job)}
    gone = [one for job in ("hang", "poison") for one in work.processes(job)]
    _wait(lambda: not any(map(_alive, gone)))


@pytest.mark.parametrize(
    ("what", "engine"),
    [
        (["raise"], it.Engine()),
        (["die", "hang"], it.Engine("processes", 2, job_minutes=3 / 60)),
    ],
)
def test_a_poisonous_image_is_given_up_alone(
    tmp_path: Path, what: list[str], engine: it.Engine
) -> None:
    good = it.load_data("digits").test.first(18)
    pixels, poison = good.images.clone(), [10, 16][: len(what)]
    for place, word in zip(poison, what, strict=True):
        pixels[place] = TOUCHING[word]
    images = replace(good, images=pixels)
    how = {"shard_size": 5, "method": "ddn", "budget": 10}
    model = Touchy()
    made = it.attack_in_shards(model, images, "untargeted", tmp_path / "a", engine=engine, **how)
    fine = it.attack_in_shards(model.inner, good, "untargeted", tmp_path / "b", **how)
    others = torch.ones(18, dtype=torch.bool).index_fill_(0, torch.tensor(poison), False)
    assert (made.status[poison] == it.Status.GIVEN_UP).all()
    assert not made.success[poison].any()
    assert made.distortion[poison].isinf().all()
    assert made.shards.column("adversarial")[poison].isnan().all()
    for name in COLUMNS:
        ours, theirs = made.shards.column(name), fine.shards.column(name)
        assert ours.dtype == theirs.dtype, name
        assert torch.equal(ours[others].nan_to_num(), theirs[others].nan_to_num()), name
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        path.name for path in (tmp_path / "b").iterdir()
    }


def test_a_network_that_fails_for_every_image_ends_the_run(tmp_path: Path) -> None:
    images = it.load_data("digits").test.first(14)

    class Late(Touchy):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.requires_grad:
                raise ArithmeticError("no gradients here")
            return super().forward(x)

    with pytest.raises(InputError, match="no gradients here"):
        it.attack_in_shards(Late(), images, "untargeted", tmp_path, shard_size=5, method="ddn")


def test_two_workers_on_the_same_files_do_no_harm(tmp_path: Path) -> None:
    stale = tmp_path / ".00000.safetensors.abcd1234.writing"
    stale.write_bytes(b"half of what another worker writes")
    list(ended_jobs(Sweeps(tmp_path), ["same", "same"], it.Engine("processes", 2)))
    assert stale.exists()
    assert (tmp_path / "00000.safetensors").exists()


def test_a_failure_is_raised_as_what_it_was() -> None:
    for error in (InputError("a"), UnsoundBound("b"), OSError("c")):
        assert type(Failure.of(error).error()) is type(error)
        assert str(Failure.of(error).error()) == str(error)


def test_a_network_of_a_users_own_file_travels(tmp_path: Path) -> None:
    (tmp_path / "beside.py").write_text("def twice(x): return 2 * x\n")
    (tmp_path / "net.py").write_text(
        "import torch\nfrom beside import twice\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n        super().__init__()\n"
        "        self.inner = torch.nn.Linear(64, 10)\n"
        "    def forward(self, x): return twice(self.inner(x.flatten(1)))\n"
        "def build():\n    torch.manual_seed(0)\n    return Net()\n"
    )
    model = it.load_model(f"{tmp_path}/net.py:build")
    images = it.load_data("digits").test.first(8)
    how = {"shard_size": 4, "method": "ddn", "budget": 10}
    here = it.attack_in_shards(model, images, "untargeted", tmp_path / "a", **how)
    there = it.attack_in_shards(
        model, images, "untargeted", tmp_path / "b", engine=it.Engine("processes", 1), **how
    )
    assert torch.equal(here.distortion, there.distortion)


CALLER = """
import sys
from pathlib import Path
from intriguing import Engine
from intriguing.scale.jobs import ended_jobs
from tests.scale.jobs import Writes
if __name__ == "__main__":
    list(ended_jobs(Writes(Path(sys.argv[1])), ["hang"], Engine("processes", 1)))
"""


def test_processes_end_with_the_caller(tmp_path: Path) -> None:
    (tmp_path / "caller.py").write_text(CALLER)
    paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
    where = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
    callers = {}
    for how in (signal.SIGINT, signal.SIGKILL):
        (folder := tmp_path / how.name).mkdir()
        command = [sys.executable, str(tmp_path / "caller.py"), str(folder)]
        # Ctrl-C is ignored by what a shell has put into the background, and by all that it starts.
        callers[how] = subprocess.Popen(
            command, env=where, stderr=subprocess.DEVNULL,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )  # fmt: skip
    for how, caller in callers.items():
        said = tmp_path / how.name / "hang"
        _wait(lambda said=said: said.exists() and bool(said.read_text()))
        (process,) = Writes(said.parent).processes("hang")
        caller.send_signal(how)
        caller.wait(10)
        _wait(lambda process=process: not _alive(process), 10)


def test_workers_take_the_machine_s_memory_alike(tmp_path: Path) -> None:
    free = free_memory()
    jobs = ["weighs-1", "weighs-2"]
    assert all(
        e.failure is None for e in ended_jobs(Writes(tmp_path), jobs, it.Engine("processes", 2))
    )
    for job in jobs:
        assert int((tmp_path / job).read_text().split()[-1]) < 0.75 * free


def test_workers_outlast_the_work_and_take_the_next(tmp_path: Path) -> None:
    """Also where a worker died while it had none, and where relative paths mean another folder."""
    engine, seen = it.Engine("processes", 1), []
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
        with contextlib.chdir(tmp_path / name):
            assert [end.failure for end in ended_jobs(Writes(Path()), ["fine"], engine)] == [None]
        seen += Writes(tmp_path / name).processes("fine")
        if name == "two":
            os.kill(seen[-1], signal.SIGKILL)
            _wait(lambda process=seen[-1]: not _alive(process))
    assert seen[0] == seen[1] != seen[2]


def test_a_worker_keeps_its_work_however_much_memory_it_keeps(tmp_path: Path) -> None:
    jobs = ["one", "two", "three"]
    ended = list(ended_jobs(Grows(tmp_path), jobs, it.Engine("processes", 1)))
    assert [one.failure for one in ended] == [None] * 3
    assert len({(tmp_path / job).read_text() for job in jobs}) == 1


def test_a_worker_that_is_not_the_same_gets_no_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intriguing.scale.fingerprint.__version__", "0.0.7")
    with pytest.raises(InputError, match=r"has intriguing .*, not 0\.0\.7.*install the same"):
        list(ended_jobs(Writes(tmp_path), ["fine"], it.Engine("processes", 1)))
    assert not (tmp_path / "fine").exists()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"engine": "processes", "workers": 0}, "--workers 0"),
        ({"workers": 2}, "--engine processes"),
        ({"engine": "processes", "ray_address": "auto"}, "--ray-address"),
        ({"engine": "processes", "job_minutes": 0}, "--job-minutes"),
    ],
)
def test_an_engine_that_cannot_be_is_refused(given: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        it.Engine(**given)


def test_without_ray_its_engine_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match=r"pip install 'intriguing\[ray\]'"):
        it.Engine("ray")


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
