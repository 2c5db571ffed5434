import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from intriguing.errors import InputError
from intriguing.files import write_whole
from intriguing.results.opening import open_results
from intriguing.results.schema import RunRecord
from intriguing.results.store import write_run

CONFIG = {"scale": "quick", "seeds": 1, "tables": ["table1"], "decay": (1e-4, 1e-2)}


def started(folder: Path) -> None:
    with open_results(folder, "reproduce", CONFIG) as record:
        assert record is None
        write_run(folder, RunRecord(kind="reproduce", command="", config=dict(CONFIG)))


def test_a_new_folder_is_made_and_the_same_run_goes_on(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    started(folder)
    with open_results(folder, "reproduce", CONFIG) as record:
        assert record is not None
        assert record.config["scale"] == "quick"


def test_another_run_is_told_what_differs(tmp_path: Path) -> None:
    started(tmp_path)
    with (
        pytest.raises(InputError, match=r'scale was "quick" and is "paper"\. .* --out, or --fresh'),
        open_results(tmp_path, "reproduce", {**CONFIG, "scale": "paper"}),
    ):
        pass
    with (
        pytest.raises(InputError, match="written by `intriguing reproduce`"),
        open_results(tmp_path, "attack", CONFIG),
    ):
        pass


def test_what_may_differ_does_not_matter(tmp_path: Path) -> None:
    started(tmp_path)
    other = {**CONFIG, "tables": ["table2"]}
    with open_results(tmp_path, "reproduce", other, may_differ=("tables",)) as record:
        assert record is not None


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with (
            pytest.raises(InputError, match="choose another --out"),
            open_results(out, "train", {}),
        ):
            pass


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_that_takes_no_file_is_noticed_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(descriptor: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", refuse)
    fix = "free some space" if number == errno.ENOSPC else "choose another --out"
    with pytest.raises(InputError, match=fix), open_results(tmp_path, "train", {}):
        pass


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not bind root")
def test_a_read_only_folder_is_noticed_at_once(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with (
        pytest.raises(InputError, match="choose another --out"),
        open_results(tmp_path, "train", {}),
    ):
        pass


def test_space_already_used_by_the_run_counts(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    with (
        pytest.raises(InputError, match=r"GB more .* free some space"),
        open_results(tmp_path, "train", {}, required_bytes=2 * free),
    ):
        pass
    shard = tmp_path / "shards" / "00000.safetensors"
    with open_results(tmp_path, "train", {}):
        write_run(tmp_path, RunRecord("train", "", {}))
        write_whole(shard, b"")
    os.truncate(shard, 2 * free)  # sparse: takes a size, not the disk
    with open_results(tmp_path, "train", {}, required_bytes=2 * free + 1000):
        pass


def test_only_one_process_writes(tmp_path: Path) -> None:
    code = (
        "import sys, pathlib; from intriguing.results.opening import open_results\n"
        "with open_results(pathlib.Path(sys.argv[1]), 'train', {}): pass"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with open_results(tmp_path, "train", {}):
        second = subprocess.run(command, capture_output=True, text=True)
    assert "another process is writing" in second.stderr
    assert subprocess.run(command).returncode == 0


def test_a_line_that_was_cut_short_hides_no_other_file(tmp_path: Path) -> None:
    started(tmp_path)
    with (tmp_path / ".written").open("a") as file:
        file.write('"rows/cut')
    for name in ("a", "b"):
        write_whole(tmp_path / "rows" / name, name)
    with open_results(tmp_path, "reproduce", CONFIG, fresh=True):
        assert not (tmp_path / "rows").exists()


def test_temporary_files_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    started(tmp_path)
    shard = tmp_path / "shards" / "00001.safetensors"
    write_whole(shard, b"")
    stale = shard.with_name(".00001.safetensors.a_b1c2d3.writing")
    kept = [
        shard.with_name(name) for name in (".00002.safetensors.a_b1c2d3.writing", ".x.json.bak")
    ]
    for path in (stale, *kept):
        path.touch()
    with open_results(tmp_path, "reproduce", CONFIG):
        assert not stale.exists()
        assert all(path.exists() for path in kept)
