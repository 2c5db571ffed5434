"""Results folders that are damaged, or somebody else's: one line says what to do, or they heal."""

import copy
import hashlib
import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.numpy import save_file
from torch import nn

from intriguing import AuditConfig, load_data, run_audit
from intriguing.audit.explaining import attacked_ids, explain
from intriguing.audit.run import Audit
from intriguing.cli.main import main
from intriguing.errors import InputError
from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report

CONFIG = AuditConfig(
    images=4, budget=20, units_on=60, rotations=39, untrained=0, semidefinite=False,
    target=3, target_budget=10, skip=("units", "transfer"),
)  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, [], {}, "x", -1, float("inf"), float("nan"), True, [None], {"a": [1]}, 2**70, "\ud800",
    "[/a]", [[]],
)  # fmt: skip
TEXTS = ("", "x", "[]", "{}", "null", '["a"]', "[1]", "1e999", "nan", "[[]]", "[" * 100_000)


def audit(folder: Path) -> Audit:
    """A small audit of one network."""
    digits = load_data("digits")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.ReLU(), nn.Linear(12, 10))
    optimiser = torch.optim.Adam(network.parameters(), 0.01)
    for rows in torch.randint(0, len(digits.train), (60, 100)):
        said = network(digits.train.images[rows])
        loss = nn.functional.cross_entropy(said, digits.train.labels[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    specs = {"specs": ["net.py:build"]}
    images = digits.test.first(60)
    return run_audit({"net": network.eval()}, images, folder, CONFIG, settings=specs)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    return audit(tmp_path_factory.mktemp("audit") / "results")


def places(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Of everything in a piece of JSON."""
    yield path
    items = content.items() if isinstance(content, dict) else ()
    for key, value in (*items, *(enumerate(content[:2]) if isinstance(content, list) else ())):
        yield from places(value, (*path, key))


def put(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """The same with another value in a place; without the place where the value is `put`."""
    if not path:
        return value
    made = copy.deepcopy(content)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    if value is put:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return made


def change_json(path: Path, rng: random.Random) -> None:
    content = json.loads(path.read_text())
    place = rng.choice(list(places(content)))
    value = rng.choice((*VALUES, *((put,) * 4 if place else ())))
    path.write_text(json.dumps(put(content, place, value)))


def change_rows(path: Path, rng: random.Random) -> None:
    table = pq.read_table(path)
    place = rng.randrange(table.num_columns)
    rows, field = table.num_rows, table.schema.field(place)
    columns = {
        "other text": lambda: pa.array(["x"] * rows),
        "empty": lambda: pa.array([None] * rows, field.type),
        "no number": lambda: pa.array([float("nan")] * rows),
        "large": lambda: pa.array([2**40] * rows),
        "lists": lambda: pa.array([[1]] * rows),
        "below": lambda: pa.array([-5] * rows, pa.int32()),
    }
    kind = rng.choice((*columns, "absent"))
    if kind == "absent":
        table = table.drop_columns([field.name])
    else:
        table = table.set_column(place, field.name, columns[kind]())
    pq.write_table(table, path)


def change_tensors(path: Path, rng: random.Random) -> None:
    with safe_open(path, "numpy") as file:
        tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
        words = file.metadata()
    key, word = rng.choice(sorted(tensors)), rng.choice(sorted(words))
    other: tuple[Callable[[], object], ...] = (
        lambda: words.update({word: rng.choice(TEXTS)}),
        lambda: words.pop(word),
        lambda: tensors.pop(key),
        lambda: tensors.update({key: np.zeros(0)}),
        lambda: tensors.update({key: np.full(tensors[key].shape, np.nan)}),
        lambda: tensors.update({key: np.zeros((2, 3, 4), np.int8)}),
    )
    rng.choice(other)()
    save_file(tensors, path, words)


def change_bytes(path: Path, rng: random.Random) -> None:
    content = bytearray(path.read_bytes())
    if rng.random() < 0.3:
        path.write_bytes(bytes(content[: rng.randrange(len(content))]))
        return
    for _ in range(5):
        content[rng.randrange(len(content))] = rng.randrange(256)
    path.write_bytes(bytes(content))


CHANGES = {".json": change_json, ".parquet": change_rows, ".safetensors": change_tensors}


def files_of(folder: Path) -> list[Path]:
    inside = (folder / "run.json", *(p for part in ("rows", "stages", "tensors")
              for p in sorted((folder / part).iterdir())))  # fmt: skip
    return [path for path in inside if path.is_file()]


def test_any_damage_of_a_folder_is_read_or_said_in_one_line(
    finished: Audit, tmp_path: Path
) -> None:
    rng, said, read = random.Random(0), 0, 0
    for number in range(220):
        folder = tmp_path / str(number)
        shutil.copytree(
            finished.folder, folder, ignore=shutil.ignore_patterns("report", "shards", "pictures")
        )
        main_two = [folder / "run.json", folder / "stages" / "audit.json"]
        path = rng.choice((*files_of(folder), *main_two * 4))
        change = CHANGES[path.suffix] if rng.random() < 0.85 else change_bytes
        change(path, rng)
        for look in (
            lambda folder=folder: findings(read_contents(folder)),
            lambda folder=folder: explain(folder, attacked_ids(folder)[0], path=False),
            lambda folder=folder: draw_report(folder) if int(folder.name) % 44 == 7 else None,
        ):
            try:
                look()
                read += 1
            except InputError as error:
                assert "\n" not in str(error)  # noqa: PT017
                said += 1
        shutil.rmtree(folder)
    assert said > 100
    assert read > 100


FOREIGN: dict[str, Callable[[Path], object]] = {
    "nothing": lambda folder: (folder / "run.json").unlink(),
    "a list": lambda folder: (folder / "run.json").write_text("[]"),
    "no text": lambda folder: (folder / "run.json").write_bytes(b"\xff\xfe{"),
    "deep": lambda folder: (folder / "run.json").write_text("[" * 100_000),
    "a long number": lambda folder: (folder / "run.json").write_text("9" * 100_000),
    "a later version": lambda folder: edit(folder, schema_version=99, versions=[]),
    "a version that is a list": lambda folder: edit(folder, schema_version=[1]),
    "a version that is true": lambda folder: edit(folder, schema_version=True),
    "an unknown kind": lambda folder: edit(folder, kind="mining"),
    "another kind": lambda folder: edit(folder, kind="reproduce"),
    "an unknown entry": lambda folder: edit(folder, virus=1),
    "seeds in words": lambda folder: edit(folder, seeds="0"),
    "networks in words": lambda folder: edit(folder, models=["net"]),
    "a pipe": lambda folder: ((folder / "run.json").unlink(), os.mkfifo(folder / "run.json")),
    "a folder": lambda folder: ((folder / "run.json").unlink(), (folder / "run.json").mkdir()),
    "rows that are a pipe": lambda folder: os.mkfifo(folder / "rows" / "curves.parquet"),
    "rows that are text": lambda folder: (folder / "rows/measurements.parquet").write_text("no"),
    "rows of another file": lambda folder: shutil.copy(
        folder / "rows" / "layers.parquet", folder / "rows" / "measurements.parquet"
    ),
    "an unknown unit": lambda folder: units(folder / "rows" / "measurements.parquet"),
    "rows without end": lambda folder: endless(folder / "rows" / "claims.parquet"),
    "stages that are a pipe": lambda folder: (
        (folder / "stages" / "audit.json").unlink(), os.mkfifo(folder / "stages" / "audit.json"),
    ),
    "tensors that are a pipe": lambda folder: os.mkfifo(folder / "tensors" / "a.safetensors"),
    "tensors of text": lambda folder: (folder / "tensors" / "a.safetensors").write_text("no"),
}  # fmt: skip


def edit(folder: Path, **more: Any) -> None:
    content = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(content | more))


def units(path: Path) -> None:
    table = pq.read_table(path)
    column = pa.array(["parsec"] * len(table))
    place = table.column_names.index("unit")
    pq.write_table(table.set_column(place, "unit", column), path)


def endless(path: Path) -> None:
    """A billion rows in some kilobytes; a tenth of that here, which takes as little."""
    part = pa.table({"network": pa.array(["a"] * 1_000_000).dictionary_encode()})
    with pq.ParquetWriter(path, part.schema) as writer:
        for _ in range(25):
            writer.write_table(part)


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_results_folder_is_one_line_and_what_to_do(
    finished: Audit, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / "results"
    shutil.copytree(finished.folder, folder)
    FOREIGN[name](folder)
    explained = main(["explain", str(folder)])
    capsys.readouterr()
    code = main(["report", str(folder)])
    said = capsys.readouterr().err
    if name == "another kind":  # what it holds is drawn as what it says that it is
        assert (code, explained) == (0, 2)
        return
    assert code == 2
    assert explained in (0, 2)
    assert said.count("\n") == 1
    assert "another" in said or "run.json" in said


def test_a_foreign_folder_executes_nothing(
    finished: Audit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """explain loads the audited networks again; which they are is not the folder's to say."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(finished.folder, tmp_path / "results")
    (tmp_path / "net.py").write_text(
        "open('canary', 'w')\nfrom torch import nn\n"
        "def build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
    )
    for specs in (["net.py:build"], ["./net.py:build"], ["results/../net.py:build"]):
        edit(tmp_path / "results", config=finished_config(finished) | {"specs": specs})
        assert main(["explain", "results", attacked_ids(finished.folder)[0]]) == 0
        assert "would be executed" in " ".join(capsys.readouterr().out.split())
        assert not (tmp_path / "canary").exists()
    for damaged in ("net.py:build", [7], {"a": 1}, None):
        edit(tmp_path / "results", config=finished_config(finished) | {"specs": damaged})
        assert main(["explain", "results", attacked_ids(finished.folder)[0]]) == 2
    edit(tmp_path / "results", config=finished_config(finished))
    image = attacked_ids(finished.folder)[0]
    assert main(["explain", "results", image, "--network", "net.py:build"]) == 2
    assert "its weights have changed" in capsys.readouterr().err
    assert (tmp_path / "canary").exists()  # the user named it


def finished_config(finished: Audit) -> dict[str, Any]:
    config: dict[str, Any] = json.loads((finished.folder / "run.json").read_text())["config"]
    return config


def digests(folder: Path) -> dict[str, str]:
    """Of every file; of tensors without their words on time, which come in any order."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        content = path.read_bytes()
        if path.suffix == ".safetensors":
            with safe_open(path, "numpy") as file:
                words = file.metadata() or {}
                words.pop("wall_seconds", None)
                content = json.dumps(words, sort_keys=True).encode()
                for key in sorted(file.keys()):
                    content += key.encode() + file.get_tensor(key).tobytes()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(content).hexdigest()
    return found


def test_what_is_missing_or_damaged_in_an_audit_is_made_again(
    finished: Audit, tmp_path: Path
) -> None:
    before = digests(finished.folder)
    timed = ("run.json", "report/", "stages/", "shards/")  # hold times
    kept = ("run.json", ".written", ".lock")
    for seed in range(2):
        folder, rng = tmp_path / str(seed), random.Random(seed)
        shutil.copytree(finished.folder, folder)
        for name in sorted(before.keys() - set(kept)):
            path, chance = folder / name, rng.random()
            if chance < 0.35:
                path.unlink()
            elif chance < 0.55 and not name.startswith("shards/"):
                path.write_bytes(b"x" + path.read_bytes()[1:])
            elif chance < 0.55:
                path.write_bytes(path.read_bytes()[:-1])
        assert audit(folder).sentences == finished.sentences
        after = digests(folder)
        assert after.keys() == before.keys()
        exact = {name for name in before if not name.startswith(timed)} - {".written"}
        assert {name for name in exact if after[name] != before[name]} == set()
        lists = [(one / ".written").read_text().split("\n") for one in (folder, finished.folder)]
        assert set(lists[0]) == set(lists[1])  # what is made again is named again
        explain(folder, attacked_ids(folder)[0], path=False)
