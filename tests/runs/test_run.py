"""A run is kept stage by stage, and nothing in its folder tells of interruptions or damage."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from intriguing.errors import InputError, JobFailed, UnsoundBound
from intriguing.results.audit import read_audit
from intriguing.results.store import read_run
from intriguing.runs.request import Request
from intriguing.runs.run import Run, open_run
from intriguing.runs.spreading import spread
from intriguing.runs.stage import Made, Stage
from intriguing.scale.engine import Engine
from tests.runs import toy


@pytest.fixture(autouse=True)
def _none_computed() -> Iterator[None]:
    toy.COMPUTED.clear()
    yield
    toy.COMPUTED.clear()


@pytest.fixture
def whole(tmp_path: Path) -> Path:
    toy.run_toys(tmp_path / "whole")
    toy.COMPUTED.clear()
    return tmp_path / "whole"


def content(folder: Path) -> dict[str, object]:
    """Every file, times apart."""
    found: dict[str, object] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = path.relative_to(folder).as_posix()
        if path.suffix == ".json":
            found[name] = timeless(json.loads(path.read_text()))
        elif name.startswith("shards/"):
            found[name] = path.stat().st_size // 64  # it holds how long it took
        else:
            found[name] = path.read_bytes() if name != ".written" else sorted({*path.open()})
    return found


def timeless(value: object) -> object:
    if isinstance(value, dict):
        return {
            key: timeless(one) for key, one in value.items()
            if "seconds" not in key and not str(key).startswith("shards/")
        }  # fmt: skip
    return [timeless(one) for one in value] if isinstance(value, list) else value


def test_a_run_killed_at_any_write_ends_like_one_that_was_not(whole: Path, tmp_path: Path) -> None:
    expected, write = content(whole), 1
    while toy.killed_at(tmp_path / str(write), write):
        folder = tmp_path / str(write)
        toy.killed_at(folder, 3)  # and once more, early
        toy.run_toys(folder)
        assert content(folder) == expected, write
        shutil.rmtree(folder)
        write += 1
    assert write > 20


def test_what_is_done_is_not_done_again(whole: Path) -> None:
    before = content(whole)
    toy.run_toys(whole)
    assert toy.COMPUTED == []
    assert content(whole) == before


def test_what_is_asked_otherwise_is_made_again_and_nothing_else(
    whole: Path, tmp_path: Path
) -> None:
    toy.run_toys(whole, factor=2.0)
    assert sorted(toy.COMPUTED) == ["mean one", "mean two", "sums one", "sums two"]  # not hidden
    toy.run_toys(tmp_path / "afresh", factor=2.0)
    assert content(whole) == content(tmp_path / "afresh")


def test_whatever_file_is_missing_or_changed_is_made_again(whole: Path) -> None:
    expected = content(whole)
    names = [n for n in expected if n not in (".written", ".lock", "run.json")]
    assert {name.partition("/")[0] for name in names} == {"rows", "shards", "stages", "tensors"}
    for name in names:
        (whole / name).unlink()
        toy.run_toys(whole)
        assert content(whole) == expected, name
        (whole / name).write_bytes((whole / name).read_bytes()[:-1])
        toy.run_toys(whole)
        assert content(whole) == expected, name


def test_another_stage_s_result_in_its_place_is_not_read(whole: Path) -> None:
    """The same file name, another key: what a folder kept of other networks."""
    expected = content(whole)
    kept = whole / "stages" / "sums-one.json"
    other = json.loads((whole / "stages" / "sums-two.json").read_text())
    kept.write_text(json.dumps(other))
    toy.run_toys(whole)
    assert toy.COMPUTED == ["sums one"]
    assert content(whole) == expected


def test_a_failure_is_raised_or_noted_and_the_rest_goes_on(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="no"),
        open_run(tmp_path / "verb", toy.ASKED) as run,
    ):
        run.do(toy.Fails("value"))
    with open_run(tmp_path / "audit", replace(toy.ASKED, goes_on=True)) as run:
        run.all([toy.Fails("value"), *toy.stages()])
        run.leave_out(toy.Hidden, "one", "Nobody asked.")
        assert not run.was_done("fails", "")
        assert run.was_done("mean", "one")
        run.finish()
    states = [(r.stage, r.network, r.status, r.words) for r in read_audit(tmp_path / "audit")]
    assert states[0] == ("fails", "", "failed", ("ValueError: no",))
    assert states[-1] == ("hidden", "one", "not run", ("Nobody asked.",))
    assert [status for _, _, status, _ in states[1:-1]] == ["done"] * 4
    assert "fails" not in [stage.name for stage in read_run(tmp_path / "audit").stages]


def test_a_full_disk_and_a_refuted_bound_end_every_run(tmp_path: Path) -> None:
    class Refuted(toy.Fails):
        def compute(self, run: Run) -> Made:
            raise UnsoundBound("an example lies at 1, within 2")

    stopping: list[tuple[Stage, type[Exception]]] = [(toy.Fails("disk"), OSError)]
    from dataclasses import dataclass

    stopping.append((dataclass(frozen=True)(Refuted)("value"), UnsoundBound))
    for stage, error in stopping:
        with (
            pytest.raises(error),
            open_run(tmp_path / error.__name__, replace(toy.ASKED, goes_on=True)) as run,
        ):
            run.do(stage)
        assert read_run(tmp_path / error.__name__).status == "running"


def test_the_record_says_what_was_done(whole: Path) -> None:
    record = read_run(whole)
    assert record.status == "complete"
    assert [stage.name for stage in record.stages] == [
        "sums one", "sums two", "mean one", "mean two",
    ]  # fmt: skip
    assert record.stages[0].forward_passes == 5
    assert record.notes == ("Noted.", "Noted.")


def test_rows_of_a_stage_that_is_no_longer_asked_for_go(whole: Path) -> None:
    with open_run(whole, toy.ASKED) as run:
        run.all(toy.stages()[2:])  # the means alone, which have no rows an image
        run.finish()
    assert not toy.COMPUTED
    rows = content(whole)
    toy.run_toys(whole)
    assert rows["rows/images.parquet"] != content(whole)["rows/images.parquet"]


def test_stages_done_by_other_processes_are_found_done(tmp_path: Path, whole: Path) -> None:
    expected = content(whole)
    asked = Request("attack", {"what": "toy"}, images=(toy.images(),))
    with open_run(tmp_path / "spread", asked) as run:
        spread(run, toy.stages(), Engine("processes", 2), "all of them")
        assert toy.COMPUTED == []
        run.all(toy.stages())
        run.finish()
    assert toy.COMPUTED == []
    assert content(tmp_path / "spread") == expected


def test_a_folder_of_other_settings_is_refused(whole: Path) -> None:
    with (
        pytest.raises(InputError, match="what was"),
        open_run(whole, Request("attack", {"what": "else"})),
    ):
        pass


def test_several_processes_leave_the_same_folder(whole: Path, tmp_path: Path) -> None:
    toy.run_toys(tmp_path / "two", engine=Engine("processes", 2))
    assert content(tmp_path / "two") == content(whole)
    computed = toy.COMPUTED.copy()
    assert "mean one" not in computed  # it was computed elsewhere
    toy.run_toys(tmp_path / "two")
    assert computed == toy.COMPUTED


def test_what_fails_elsewhere_is_told_and_not_tried_again_here(tmp_path: Path) -> None:
    failing = [toy.Fails("value", toy.network(name)) for name in ("one", "two")]
    asked = Request("audit", {}, goes_on=True)
    with open_run(tmp_path / "goes on", asked, engine=Engine("processes", 2)) as run:
        done = run.all([*failing, toy.Hidden(3)])
    assert [one.record.status for one in done] == ["failed", "failed", "done"]
    assert done[0].record.words == ("ValueError: no",)
    assert toy.COMPUTED == ["hidden"]
    with (
        open_run(tmp_path / "ends", Request("attack", {}), engine=Engine("processes", 2)) as run,
        pytest.raises(JobFailed, match="ValueError: no"),
    ):
        run.all(failing)
