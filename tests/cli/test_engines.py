"""Every verb that computes many things takes an engine, and leaves the same results."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from intriguing.cli.main import main
from intriguing.report.takeaway import NOTHING
from intriguing.runs.transfer_table import _Showing
from intriguing.spectral.certificates.certificate import Certifier
from intriguing.units.measured import Tables
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


NETS = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 10)).eval()
"""
CUT = {
    "certify": ["certify", "nets.py:net", "digits", "--limit", "40", "--no-attack"],
    "transfer": ["transfer", "nets.py:net", "fc10.safetensors", "--data", "digits", "--limit", "60",
                 "--method", "deepfool"],
    "units": ["units", "nets.py:net", "digits", "--limit", "80", "--layer", "2", "-k", "4",
              "--rotations", "4", "--untrained", "0", "--paths", "2"],
}  # fmt: skip


def test_what_stages_do_in_parts_is_done_by_workers_and_comes_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    furnish(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    monkeypatch.setattr("intriguing.cli.running.finish", lambda folder, **more: NOTHING)
    for name, command in CUT.items():
        assert main([*command, "--out", f"{name}-here"]) == 0
    certificates = Certifier.certificates

    def one(self: Certifier, images: Tensor, *more: Any, **named: Any) -> Any:
        assert len(images) == 1  # of which the formula is read
        return certificates(self, images, *more, **named)

    def nobody(*_: Any, **__: Any) -> None:
        raise AssertionError("not in this process")

    monkeypatch.setattr(Certifier, "certificates", one)
    for kind, work in ((_Showing, "__call__"), (Tables, "measured")):
        monkeypatch.setattr(kind, work, nobody)
    for name in ("runs.ranking.top_images", "runs.ranking.pieces", "runs.distinction.top_images"):
        monkeypatch.setattr(f"intriguing.{name}", nobody)
    for name, command in CUT.items():
        assert main([*command, "--out", f"{name}-there", *ENGINE]) == 0
        here, there = rows(tmp_path / f"{name}-here"), rows(tmp_path / f"{name}-there")
        assert len(here) > 1
        assert set(here) == set(there)
        assert [one for one in here if here[one] != there[one]] == []


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
