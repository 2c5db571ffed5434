"""What a run may delete and where it may write, in folders that hold somebody else's work."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from intriguing.cli.main import main
from intriguing.errors import InputError
from intriguing.files import write_whole
from intriguing.report.html import draw_report
from intriguing.results.measured import Measurement
from intriguing.results.opening import open_results
from intriguing.results.parquet import write_rows
from intriguing.results.schema import RunRecord
from intriguing.results.store import write_run, write_tensors
from intriguing.training.sharded_checkpoint import save_sharded

PARTS = ("run.json", "rows", "tensors", "models", "shards", "stages", "report")


def finished(folder: Path, *, fresh: bool = False) -> None:
    """A small run: record, rows and a weight file."""
    with open_results(folder, "train", {}, fresh=fresh):
        write_run(folder, RunRecord("train", "", {}))
        write_rows(folder, Measurement, [])
        write_whole(folder / "models" / "fc.safetensors", b"ours")


def listing(folder: Path) -> dict[str, bytes | str]:
    """Every file and link with what it holds, and every folder."""
    return {
        str(path.relative_to(folder)): os.readlink(path) if path.is_symlink()
        else path.read_bytes() if path.is_file() else "a folder"
        for path in folder.rglob("*") if path.name not in (".lock", ".written")
    }  # fmt: skip


@pytest.mark.parametrize("part", PARTS)
@pytest.mark.parametrize("fresh", [False, True])
def test_what_no_run_wrote_is_neither_deleted_nor_written_to(
    tmp_path: Path, part: str, fresh: bool
) -> None:
    theirs = tmp_path / part if part == "run.json" else tmp_path / part / "thesis.tex"
    theirs.parent.mkdir(exist_ok=True)
    theirs.write_text("{}")
    before = listing(tmp_path)
    if part == "run.json" and not fresh:
        return  # reading what it holds is another matter
    with pytest.raises(InputError) as refused:
        finished(tmp_path, fresh=fresh)
    assert "\n" not in str(refused.value)
    assert part in str(refused.value)
    assert listing(tmp_path) == before
    assert not (tmp_path / ".lock").exists()


def test_fresh_deletes_what_a_run_wrote_and_nothing_beside_it(tmp_path: Path) -> None:
    finished(tmp_path)
    theirs = ("models/mine.bin", "report/thesis.tex", "rows/.measurements.parquet.20240101",
              "diary.txt", "stages/.notes.json.20240101", "pictures/cat.png")  # fmt: skip
    for name in theirs:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    with open_results(tmp_path, "attack", {}, fresh=True) as record:
        assert record is None
        left = {name for name, held in listing(tmp_path).items() if held != "a folder"}
        assert left == set(theirs)
    with open_results(tmp_path, "train", {}, fresh=True):
        assert listing(tmp_path)["models/mine.bin"] == b"mine"


def test_folders_that_are_empty_then_go(tmp_path: Path) -> None:
    finished(tmp_path)
    write_whole(tmp_path / "shards" / "fc" / "00000.safetensors", b"")
    with open_results(tmp_path, "train", {}, fresh=True):
        assert listing(tmp_path) == {}


def test_folders_of_versions_without_a_list_go_on_but_are_not_deleted(tmp_path: Path) -> None:
    finished(tmp_path)
    (tmp_path / ".written").unlink()
    before = listing(tmp_path)
    with pytest.raises(InputError, match="nothing was deleted"):
        finished(tmp_path, fresh=True)
    assert listing(tmp_path) == before
    finished(tmp_path)
    with pytest.raises(InputError, match="nothing was deleted"):
        finished(tmp_path, fresh=True)


def test_what_a_killed_run_left_is_known(tmp_path: Path) -> None:
    code = """
import os, pathlib, signal, sys
from intriguing.files import whole_file, write_whole
from intriguing.results.opening import open_results
folder = pathlib.Path(sys.argv[1])
with open_results(folder, "train", {}):
    write_whole(folder / "models" / "a.safetensors", b"1")
    with whole_file(folder / "rows" / "measurements.parquet") as temporary:
        temporary.write_bytes(b"half")
        os.kill(os.getpid(), signal.SIGKILL)
"""
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path)])
    assert killed.returncode == -signal.SIGKILL
    assert len(list((tmp_path / "rows").iterdir())) == 1
    with pytest.raises(InputError, match=r"no run\.json"):
        finished(tmp_path)
    (tmp_path / "models" / "mine").touch()
    with open_results(tmp_path, "train", {}, fresh=True):
        assert set(listing(tmp_path)) == {"models", "models/mine"}


@pytest.mark.parametrize(
    "line",
    ['"../victim"', '"/{victim}"', '"{victim}"', '"rows/../../victim"', '"diary.txt"', "[]", '"ro',
     '"."', '""', '".."', '"models/link/victim"', "\x00", '"\\ud800"'],
)  # fmt: skip
def test_a_strangers_list_leads_nowhere(tmp_path: Path, line: str) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "results"
    victim.write_text("precious")
    finished(folder)
    (folder / "diary.txt").write_text("mine")
    with (folder / ".written").open("a", encoding="utf-8") as file:
        file.write(line.replace("{victim}", str(victim)) + "\n")
    with open_results(folder, "train", {}, fresh=True):
        assert listing(folder) == {"diary.txt": b"mine"}
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("part", [*PARTS[1:], "pictures", "models/deep", "shards/fc"])
def test_no_part_of_a_folder_is_elsewhere(tmp_path: Path, part: str) -> None:
    folder, elsewhere = tmp_path / "results", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "index.html").write_text("theirs")
    finished(folder)
    place = folder / part
    if place.is_dir():
        for file in place.iterdir():
            file.unlink()
        place.rmdir()
    place.parent.mkdir(exist_ok=True)
    place.symlink_to(elsewhere)
    for attempt in (finished, lambda f: finished(f, fresh=True), draw_report):
        with pytest.raises(InputError, match="symbolic link"):
            attempt(folder)
    assert listing(elsewhere) == {"index.html": b"theirs"}
    assert (folder / "run.json").exists()


def test_a_link_in_place_of_a_file_is_replaced_not_followed(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "results"
    victim.write_text("precious")
    finished(folder)
    (folder / "models" / "fc.safetensors").unlink()
    (folder / "models" / "fc.safetensors").symlink_to(victim)
    (folder / "rows" / "measurements.parquet").unlink()
    (folder / "rows" / "measurements.parquet").symlink_to(victim)
    finished(folder)
    assert victim.read_text() == "precious"
    assert (folder / "models" / "fc.safetensors").read_bytes() == b"ours"
    (folder / "models" / "fc.safetensors").unlink()
    (folder / "models" / "fc.safetensors").symlink_to(victim)
    finished(folder, fresh=True)
    assert victim.read_text() == "precious"


def linked(path: Path, victim: Path) -> None:
    path.symlink_to(victim)


def piped(path: Path, victim: Path) -> None:
    os.mkfifo(path)


@pytest.mark.parametrize("name", [".lock", ".written"])
@pytest.mark.parametrize("made", [linked, piped])
def test_what_stands_for_the_lock_and_the_list_keeps_its_content(
    tmp_path: Path, name: str, made: Callable[[Path, Path], None]
) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "results"
    victim.write_text('"models/mine"\n')
    folder.mkdir()
    made(folder / name, victim)
    with pytest.raises(InputError, match="no plain file"):
        finished(folder)
    assert victim.read_text() == '"models/mine"\n'


def test_a_list_that_is_somebody_elses_file_too_is_not_written_to(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "results"
    finished(folder)
    victim.write_bytes((folder / ".written").read_bytes())
    before = victim.read_text()
    (folder / ".written").unlink()
    os.link(victim, folder / ".written")
    finished(folder)
    write_tensors(folder, "new", {}, {})
    with pytest.raises(InputError, match="nothing was deleted"):
        finished(folder, fresh=True)
    assert victim.read_text() == before


def test_weights_saved_into_a_results_folder_are_not_its_own(tmp_path: Path) -> None:
    finished(tmp_path)
    write_whole(tmp_path / "precious.safetensors", b"weights")
    finished(tmp_path, fresh=True)
    assert (tmp_path / "precious.safetensors").read_bytes() == b"weights"


@contextmanager
def here(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def test_a_relative_folder_is_as_good(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    with here(tmp_path / "src"):
        finished(Path("."))
        (Path("models") / "mine").touch()
        finished(Path("../src"), fresh=True)
        with open_results(Path("."), "train", {}, fresh=True):
            assert set(listing(Path("."))) == {"models", "models/mine"}
        with pytest.raises(InputError, match="shell"):
            finished(Path("~") / "results")


def test_a_checkpoint_replaces_only_checkpoints(tmp_path: Path) -> None:
    path = tmp_path / "stage1"
    save_sharded(path, {"weight": torch.ones(2)}, {})
    save_sharded(path, {"weight": torch.ones(2)}, {})
    assert [file.name for file in tmp_path.iterdir()] == ["stage1"]
    (tmp_path / "stage1.old").mkdir()
    (tmp_path / "stage1.old" / "mine").touch()
    with pytest.raises(InputError, match="more than a checkpoint"):
        save_sharded(path, {"weight": torch.ones(2)}, {})
    assert (tmp_path / "stage1.old" / "mine").exists()


def test_checkpoints_of_many_processes_are_listed(tmp_path: Path) -> None:
    with open_results(tmp_path, "train", {}):
        save_sharded(tmp_path / "models" / "a" / "stage1", {"weight": torch.ones(2)}, {})
    (tmp_path / "models" / "a" / "mine").touch()
    with open_results(tmp_path, "train", {}, fresh=True):
        assert set(listing(tmp_path)) == {"models", "models/a", "models/a/mine"}


def test_weights_replace_weights_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    theirs = tmp_path / "precious.safetensors"
    theirs.write_bytes(b"somebody's")
    command = ["train", "fc10", "digits", "--out", str(theirs), "--results", str(tmp_path / "out")]
    assert main([*command, "--fresh"]) == 2
    assert "not replaced" in capsys.readouterr().err
    assert theirs.read_bytes() == b"somebody's"
    assert not (tmp_path / "out").exists()
