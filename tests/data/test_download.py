import errno
import hashlib
import os
import threading
from pathlib import Path

import pytest

from intriguing.data.download import download
from intriguing.errors import InputError
from intriguing.measures import Progress
from tests.data.mirror import Mirror, serving

BODY = bytes(i * i % 251 for i in range(700_000))
DIGEST = hashlib.sha256(BODY).hexdigest()


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "file.gz"


def fetch(target: Path, *mirrors: Mirror) -> Path:
    return download([m.url + "file.gz" for m in mirrors], target, DIGEST, timeout=5)


def part_of(target: Path) -> Path:
    return target.with_name("file.gz.part")


def test_fetches_checks_and_reports_bytes(target: Path) -> None:
    heard: list[Progress] = []
    with serving({"file.gz": BODY}) as mirror:
        download([mirror.url + "file.gz"], target, DIGEST, heard.append)
    assert target.read_bytes() == BODY
    assert not part_of(target).exists()
    done = [p.done for p in heard]
    assert done == sorted(done)
    assert done[-1] == len(BODY)
    assert {(p.stage, p.total) for p in heard} == {("download file.gz", len(BODY))}


def test_a_file_that_is_there_is_not_asked_for(target: Path) -> None:
    target.parent.mkdir()
    target.write_bytes(b"mine")
    with serving({"file.gz": BODY}) as mirror:
        fetch(target, mirror)
    assert mirror.requests == []
    assert target.read_bytes() == b"mine"


@pytest.mark.parametrize("held", [1, 400_000, len(BODY) - 1])
def test_continues_where_it_stopped(target: Path, held: int) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(BODY[:held])
    with serving({"file.gz": BODY}) as mirror:
        fetch(target, mirror)
    assert mirror.requests == [("file.gz", f"bytes={held}-")]
    assert target.read_bytes() == BODY


def test_a_whole_part_is_taken_as_it_is(target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(BODY)
    with serving({"file.gz": BODY}) as mirror:
        fetch(target, mirror)
    assert mirror.requests == [("file.gz", f"bytes={len(BODY)}-")]
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("stale", [b"not these bytes", b"x" * (len(BODY) + 5)])
def test_a_wrong_part_is_given_up_for_a_fresh_start(target: Path, stale: bytes) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(stale)
    with serving({"file.gz": BODY}) as mirror:
        fetch(target, mirror)
    assert [wanted for _, wanted in mirror.requests] == [f"bytes={len(stale)}-", None]
    assert target.read_bytes() == BODY


def test_a_server_that_ignores_range_is_read_from_the_start(target: Path) -> None:
    target.parent.mkdir()
    part_of(target).write_bytes(BODY[:1000])
    with serving({"file.gz": BODY}, ranges=False) as mirror:
        fetch(target, mirror)
    assert len(mirror.requests) == 1
    assert target.read_bytes() == BODY


def test_a_missing_file_sends_to_the_next_mirror(target: Path) -> None:
    with serving({}) as empty, serving({"file.gz": BODY}) as good:
        fetch(target, empty, good)
    assert len(empty.requests) == 1
    assert target.read_bytes() == BODY


def test_a_corrupted_body_sends_to_the_next_mirror(target: Path) -> None:
    corrupted = BODY[:1000] + b"!" + BODY[1001:]
    with serving({"file.gz": corrupted}) as bad, serving({"file.gz": BODY}) as good:
        fetch(target, bad, good)
    assert good.requests == [("file.gz", None)]
    assert target.read_bytes() == BODY


def test_a_broken_connection_is_continued_on_the_next_mirror(target: Path) -> None:
    with (
        serving({"file.gz": BODY}, breaks_after=300_000) as breaking,
        serving({"file.gz": BODY}) as good,
    ):
        fetch(target, breaking, good)
    assert good.requests == [("file.gz", "bytes=300000-")]
    assert target.read_bytes() == BODY


def test_a_mirror_that_keeps_breaking_is_asked_again_while_bytes_come(target: Path) -> None:
    with serving({"file.gz": BODY}, breaks_after=300_000) as breaking:
        fetch(target, breaking)
    wanted = [wanted for _, wanted in breaking.requests]
    assert wanted == [None, "bytes=300000-", "bytes=600000-"]
    assert target.read_bytes() == BODY


def test_a_body_of_unknown_length_is_checked_all_the_same(target: Path) -> None:
    with serving({"file.gz": BODY}, chunked=True) as mirror:
        fetch(target, mirror)
    assert target.read_bytes() == BODY


def test_when_no_mirror_works_each_one_says_why(target: Path) -> None:
    with (
        serving({}) as empty,
        serving({"file.gz": b"<html>log in first"}) as portal,
        serving({"file.gz": BODY}, ranges=False, breaks_after=10) as stuck,
    ):
        gone = Mirror({}, url="http://127.0.0.1:1/")
        with pytest.raises(InputError) as caught:
            fetch(target, gone, empty, portal, stuck)
    causes = str(caught.value).split("; ")
    assert "refused" in causes[0]
    assert "HTTP 404" in causes[1]
    assert "sent 18 bytes of sha256" in causes[2]
    assert "closed after 10 of 700,000 bytes" in causes[3]
    assert not target.exists()
    assert len(stuck.requests) == 2  # the second round brought nothing new, so it was the last


def test_an_unwritable_folder_is_the_callers_to_mend(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.raises(InputError, match=r"cannot write to .*cache.*XDG_CACHE_HOME"):
        download(["http://127.0.0.1:1/"], tmp_path / "cache" / "file.gz", DIGEST)


def test_a_full_disk_is_not_blamed_on_the_mirrors(
    target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with (
        serving({"file.gz": BODY}) as mirror,
        pytest.raises(InputError, match=r"No space left.*free some space"),
    ):
        fetch(target, mirror)


def test_two_at_once_fetch_once(target: Path) -> None:
    with serving({"file.gz": BODY}) as mirror:
        threads = [threading.Thread(target=fetch, args=(target, mirror)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(mirror.requests) == 1
    assert target.read_bytes() == BODY
