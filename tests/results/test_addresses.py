"""Results folders in object stores: in fsspec's of this process, and in S3 by its real client."""

import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import pytest

from intriguing.addresses import Address, as_folder
from intriguing.cli.main import main
from intriguing.files import whole_file, write_whole
from intriguing.results.parquet import read_rows
from intriguing.results.rows import ImageRow
from tests.cli.workshop import furnish

SECRET = "a-secret-key-of-nobody"
ATTACK = ["attack", "fc10.safetensors", "digits", "--limit", "30", "--method", "ddn", "--budget",
          "12", "--out"]  # fmt: skip
AUDIT = ["audit", "fc10.safetensors", "--data", "digits", "--limit", "60", "--images", "8",
         "--no-semidefinite", "--skip", "units", "--method", "ddn", "--budget", "20",
         "--out"]  # fmt: skip


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    return tmp_path


def objects(folder: Path) -> dict[str, bytes]:
    """All that lies in a folder, by its names there."""
    found, todo = {}, [folder]
    while todo:
        for path in todo.pop().iterdir():
            if path.is_dir():
                todo.append(path)
            else:
                found[path.relative_to(folder).as_posix()] = path.read_bytes()
    return found


def measured(found: dict[str, bytes]) -> dict[str, bytes]:
    """Rows and tensors, which are the same wherever they lie."""
    return {name: one for name, one in found.items() if name.startswith(("rows/", "tensors/"))}


def test_a_run_at_an_address_is_the_run_on_a_disk(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = as_folder("memory://bucket/run")
    somebodys = there / "report" / "theirs.html"
    assert main([*ATTACK, "here"]) == 0
    assert main([*ATTACK, str(there)]) == 0
    ours, theirs = objects(room / "here"), objects(there)
    assert measured(ours) == measured(theirs)
    # A store has no times by which a shard could be known again, so nobody lists them there.
    assert {name for name in ours if name[0] != "." and Path(name).name != "verified"} == {
        name for name in theirs if name[0] != "."
    }
    assert {path.name for path in room.iterdir()} == {"here", "fc10.safetensors"}
    assert repr(read_rows(there, ImageRow)) == repr(read_rows(room / "here", ImageRow))
    capsys.readouterr()
    (there / "report" / "index.html").unlink()
    assert main(["report", str(there)]) == 0
    assert f"{there}/report/index.html" in capsys.readouterr().out
    assert objects(there)["report/index.html"] == theirs["report/index.html"]
    before = objects(there)
    assert main([*ATTACK, str(there)]) == 0  # goes on: what is done is kept
    assert {n for n, one in objects(there).items() if one != before[n]} <= {"run.json"}
    other = [word if word != "12" else "13" for word in ATTACK]
    assert main([*other, str(there)]) == 2
    assert "budget was 12 and is 13" in capsys.readouterr().err
    scratch = room / "theirs"
    scratch.write_text("mine")
    somebodys.put(scratch)
    assert main([*other, str(there), "--fresh"]) == 0
    assert somebodys.read_text() == "mine"
    assert measured(objects(there)) != measured(ours)


def test_what_is_damaged_at_an_address_is_made_again(room: Path) -> None:
    there = as_folder("memory://bucket/damaged")
    assert main([*ATTACK, str(there)]) == 0
    before = measured(objects(there))
    (shard,) = (there / "shards" / "examples-fc10").iterdir()
    whole = shard.read_bytes()
    write_whole(shard, whole[:-9])
    for path in (there / "stages").iterdir():
        path.unlink()
    assert main([*ATTACK, str(there)]) == 0
    assert len(shard.read_bytes()) == len(whole)
    assert measured(objects(there)) == before


@pytest.mark.parametrize(
    ("address", "said"),
    [
        (f"s3://key:{SECRET}@bucket/run", "taken from the environment"),
        (f"s3://bucket/run?secret_key={SECRET}", "taken from the environment"),
        ("s3://", "names no bucket"),
        ("s3://bucket/../other", "leads nowhere"),
        ("nowhere://bucket/run", "of no store that is known here"),
    ],
)
def test_an_address_that_cannot_be_is_refused(
    room: Path, capsys: pytest.CaptureFixture[str], address: str, said: str
) -> None:
    for command in ([*ATTACK, address], ["report", address]):
        assert main(command) == 2
        error = capsys.readouterr().err
        assert said in error
        assert error.count("\n") == 1
        assert SECRET not in error
    assert {path.name for path in room.iterdir()} == {"fc10.safetensors"}


def test_what_is_no_address_is_a_path() -> None:
    for name in ("results/run", "a:b/run", "/tmp/s3:/x", "."):
        assert as_folder(name) == Path(name)
        assert not isinstance(as_folder(name), Address)
    assert as_folder("file:///tmp/run") == Path("/tmp/run")


def test_a_store_that_does_not_answer_ends_the_run_in_a_line(
    room: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from intriguing import addresses

    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "nobody")
    monkeypatch.setattr(addresses, "_TRIES", 1)
    assert main([*ATTACK, "s3://bucket/run"]) in (1, 2)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "s3://bucket/run" in last
    assert "the credentials in the environment" in last
    assert SECRET not in last


@pytest.fixture
def bucket() -> Iterator[tuple[str, dict[str, str]]]:
    """A bucket of a server that speaks S3, and the environment that leads there."""
    pytest.importorskip("moto", reason="the server is moto's")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-p", str(port)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(command, **quiet)
    leads = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_DEFAULT_REGION": "us-east-1",
    }  # fmt: skip
    try:
        _wait(lambda: socket.socket().connect_ex(("127.0.0.1", port)) == 0)
        import boto3

        own = boto3.session.Session("nobody", SECRET, region_name="us-east-1")
        own.client("s3", endpoint_url=leads["AWS_ENDPOINT_URL"]).create_bucket(Bucket="audits")
        yield "s3://audits/run", leads
    finally:
        server.kill()
        server.wait()


@pytest.mark.skipif(find_spec("moto") is None, reason="the server is moto's")
def test_an_audit_in_s3_is_killed_and_goes_on(
    room: Path, bucket: tuple[str, dict[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, leads = bucket
    for name, value in leads.items():
        monkeypatch.setenv(name, value)
    there = as_folder(address)
    run = [sys.executable, "-m", "intriguing", *AUDIT, address]
    first = subprocess.Popen(run, stderr=subprocess.PIPE)
    _wait(lambda: (there / "stages" / "attack-fc10.json").exists())
    first.send_signal(signal.SIGKILL)
    _, said = first.communicate()
    kept = (there / "stages" / "attack-fc10.json").read_bytes()
    assert first.returncode == -signal.SIGKILL
    assert not (there / "report" / "index.html").exists()
    again = subprocess.run(run, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr.decode()
    assert main([*AUDIT, "here"]) == 0
    ours, theirs = objects(room / "here"), objects(there)
    assert theirs["stages/attack-fc10.json"] == kept  # and was not computed twice
    assert measured(ours) == measured(theirs)
    assert "report/index.html" in theirs
    assert main(["report", address]) == 0
    assert main(["explain", address]) == 0
    everything = b"".join((*theirs.values(), *map(str.encode, theirs), said, again.stderr))
    assert SECRET.encode() not in everything + again.stdout
    assert {path.name for path in room.iterdir()} == {"here", "fc10.safetensors"}


def test_an_object_is_put_whole_or_not_at_all(tmp_path: Path) -> None:
    path = as_folder("memory://bucket/whole") / "rows" / "x"
    write_whole(path, b"the first")
    with suppress(KeyboardInterrupt), whole_file(path) as temporary:
        temporary.write_bytes(b"half of the se")
        raise KeyboardInterrupt
    assert path.read_bytes() == b"the first"
    assert [one.name for one in path.parent.iterdir()] == ["x"]


def _wait(until: Callable[[], bool], seconds: float = 120.0) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)
