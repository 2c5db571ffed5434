import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from intriguing.errors import InputError
from intriguing.files import whole_file, write_whole
from intriguing.written import delete_stale


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    write_whole(path, "old")

    def interrupted(temporary: Path) -> None:
        temporary.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), whole_file(path) as temporary:
        interrupted(temporary)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_said_with_its_fix(tmp_path: Path) -> None:
    path = tmp_path / "run.json"
    with pytest.raises(InputError, match="free some space"), whole_file(path):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_the_file_is_as_readable_as_any_other(tmp_path: Path) -> None:
    (tmp_path / "plain").touch()
    write_whole(tmp_path / "run.json", b"")
    assert (tmp_path / "run.json").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_killed_writer_leaves_a_whole_file_and_sweepable_rest(tmp_path: Path) -> None:
    code = """
import pathlib, sys
from intriguing.files import write_whole
letter = 0
while True:
    letter = (letter + 1) % 26
    write_whole(pathlib.Path(sys.argv[1]) / "run.json", chr(97 + letter) * 1_000_000)
"""
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)])
        while not (tmp_path / "run.json").exists():
            time.sleep(0.01)
        time.sleep(0.05)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        content = (tmp_path / "run.json").read_text()
        assert len(content) == 1_000_000
        assert len(set(content)) == 1
        delete_stale([tmp_path / "run.json"])
        assert [p.name for p in tmp_path.iterdir()] == ["run.json"]
        (tmp_path / "run.json").unlink()
