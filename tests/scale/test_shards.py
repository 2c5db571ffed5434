import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.models.weights import read_tensors, write_tensors
from intriguing.scale import finished as module
from intriguing.scale.finished import Shards
from intriguing.scale.shards import run_in_shards


class Squares:
    """Squares of 0, 1, 2 …, remembering which were computed."""

    def __init__(self, stop_at: int | None = None) -> None:
        self.computed: list[int] = []
        self.stop_at = stop_at

    def __call__(self, items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
        if self.stop_at is not None and items.start <= self.stop_at < items.stop:
            raise KeyboardInterrupt
        numbers = torch.arange(items.start, items.stop)
        self.computed += numbers.tolist()
        return {"square": numbers**2, "half": numbers / 2}


def run(folder: Path, compute: Squares, count: int = 10, size: int = 4, **more: str) -> Shards:
    return run_in_shards(compute, count, size, folder, {"power": "2"} | more)


@given(count=st.integers(1, 40), size=st.integers(1, 50))
def test_shards_are_a_partition_in_order(count: int, size: int) -> None:
    slices = Shards(Path(), count, size).slices
    assert [i for s in slices for i in range(count)[s]] == list(range(count))
    assert all(s.stop - s.start == size for s in slices[:-1])


def test_an_interrupted_run_goes_on_where_it_was(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Squares(stop_at=8))
    rest = Squares()
    shards = run(tmp_path, rest)
    assert rest.computed == [8, 9]
    assert shards.column("square").tolist() == [i * i for i in range(10)]
    assert [part["half"].tolist() for part in shards][2] == [4.0, 4.5]


def test_what_was_found_whole_is_not_read_again_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Slow(Squares):
        def __call__(self, items: slice, report: Callable[[int], None]) -> dict[str, Tensor]:
            time.sleep(0.05)
            return super().__call__(items, report)

    shards = run(tmp_path, Slow())
    paths = [shards.path(index) for index in range(3)]
    last = paths[2].stat().st_mtime_ns  # however long this machine took since
    os.utime(tmp_path / "verified", ns=(last, last))
    read: list[Path] = []

    def noted(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
        read.append(path)
        return read_tensors(path)

    monkeypatch.setattr(module, "read_tensors", noted)
    again = Squares()
    run(tmp_path, again)
    assert again.computed == []
    assert read == paths[2:]  # written as the list was
    os.utime(paths[0])
    run(tmp_path, again)
    assert paths[0] in read
    assert again.computed == []
    paths[0].write_bytes(paths[0].read_bytes()[:-1] + b"!")
    run(tmp_path, again)
    assert again.computed == [0, 1, 2, 3]


@pytest.mark.parametrize("damage", ["truncate", "flip", "empty", "rows", "foreign"])
def test_a_damaged_shard_is_computed_again(tmp_path: Path, damage: str) -> None:
    path = run(tmp_path, Squares()).path(1)
    content = bytearray(path.read_bytes())
    if damage == "truncate":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "rows":
        write_tensors(path, {"square": torch.zeros(3)}, {"identity": "x"})
    else:
        path.write_bytes(run(tmp_path / "other", Squares(), power="3").path(1).read_bytes())
    again = Squares()
    shards = run(tmp_path, again)
    assert again.computed == [4, 5, 6, 7]
    assert shards.column("square").tolist() == [i * i for i in range(10)]


def test_shards_of_anything_else_are_not_used(tmp_path: Path) -> None:
    run(tmp_path, Squares())
    other = Squares()
    run(tmp_path, other, model="another")
    assert other.computed == list(range(10))
    fewer = Squares()
    run(tmp_path, fewer, count=8, model="another")
    assert fewer.computed == list(range(8))


def test_temporary_files_of_a_killed_run_are_swept(tmp_path: Path) -> None:
    stale = tmp_path / ".00002.safetensors.abcd1234.writing"
    stale.write_bytes(b"half")
    run(tmp_path, Squares())
    assert not stale.exists()


def test_the_time_of_every_process_counts(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, Squares(stop_at=8))
    before = Shards(tmp_path, 8, 4).wall_seconds
    shards = run(tmp_path, Squares())
    assert shards.wall_seconds > before > 0


def test_progress_counts_what_was_there_already(tmp_path: Path) -> None:
    run(tmp_path, Squares())
    seen: list[Progress] = []
    run_in_shards(Squares(), 10, 4, tmp_path, {"power": "2"}, stage="s", progress=seen.append)
    assert seen == [Progress("s", done, 10) for done in (4, 8, 10)]


def test_an_empty_shard_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="shard of 0 items"):
        run(tmp_path, Squares(), size=0)
