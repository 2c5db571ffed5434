"""Every verb that computes many things takes an engine, and leaves the same results."""

import json
from pathlib import Path

import pytest

from intriguing.cli.main import main
from tests.cli.workshop import furnish

ENGINE = ["--engine", "processes", "--workers", "2"]


def rows(folder: Path) -> dict[str, bytes]:
    """The files of rows and of tensors that a report is drawn from."""
    files = [*(folder / "rows").glob("*.parquet"), *(folder / "tensors").glob("*.safetensors")]
    return {path.name: path.read_bytes() for path in files}


def test_an_attack_and_an_audit_by_processes_leave_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    data = ["fc10.safetensors", "digits", "--limit", "60"]
    few = ["--method", "ddn", "--budget", "20", "--out"]
    attack = ["attack", *data, *few]
    data.insert(1, "--data")
    skip = ["--images", "6", "--no-semidefinite", "--skip", "units", "spectrum"]
    audit = ["audit", *data, *skip, *few]
    for name, command in (("attack", attack), ("audit", audit)):
        assert main([*command, f"{name}-here"]) == 0
        assert main([*command, f"{name}-there", *ENGINE]) == 0
        here, there = rows(tmp_path / f"{name}-here"), rows(tmp_path / f"{name}-there")
        assert "images.parquet" in here
        assert set(here) == set(there)
        assert [one for one in here if here[one] != there[one]] == []
    config = json.loads((tmp_path / "attack-there" / "run.json").read_text())["config"]
    assert not any("engine" in name for name in config)  # it decides nothing
    assert main([*attack, "attack-here", *ENGINE]) == 0  # so the folder goes on with another one


@pytest.mark.parametrize(
    "verb",
    ["attack M D", "transfer M N --data D", "compare M D", "certify M D", "units M D",
     "audit M --data D", "reproduce table1", "reproduce hardening", "spectrum M"],
)  # fmt: skip
def test_every_verb_refuses_an_engine_that_cannot_be(
    verb: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*verb.split(), "--engine", "processes", "--workers", "0"]) == 2
    assert capsys.readouterr().err == "intriguing: --workers 0; give 1 or more\n"
