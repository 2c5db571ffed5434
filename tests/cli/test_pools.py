"""intriguing train --pools and --penalty: what they make, and what they refuse."""

import json
from pathlib import Path

import pytest
import torch

from intriguing.cli.main import main
from intriguing.data.named import load_data
from intriguing.models.load import load_model
from intriguing.results.store import read_run


def _train(folder: Path, *options: str) -> int:
    return main(
        ["train", "fc12-10-10", "digits", "--out", str(folder / "net.safetensors"),
         "--results", str(folder / "run"), "--device", "cpu", *options]
    )  # fmt: skip


def test_a_network_is_trained_with_pools_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = (
        "--pools", "input", "1", "--radius", "0.5", "0.2", "--refresh", "0.1", "--penalty", "0.001",
        "--epochs", "20",
    )  # fmt: skip
    assert _train(tmp_path, *options) == 0, capsys.readouterr().err
    run = read_run(tmp_path / "run")
    assert [pool["layer"] for pool in run.config["pools"]] == ["input", "1"]
    assert run.config["pooling"]["refresh"] == 0.1
    assert any("Pool at 1: weight 1, radius 0.2" in note for note in run.notes)
    assert any("Spectral penalty: 0.001" in note for note in run.notes)
    test = load_data("digits").test
    model = load_model(tmp_path / "net.safetensors")
    with torch.no_grad():
        assert (model(test.images).argmax(1) != test.labels).float().mean() < 0.2
    assert json.loads((tmp_path / "run" / "run.json").read_text())["status"] == "complete"
    assert _train(tmp_path, *options) == 0  # done already


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--pools", "7"), "no hidden layer 7"),
        (("--pools", "input", "1", "--radius", "1", "2", "3"), "--radius has 3 values for 2 pools"),
        (("--pools", "input", "--radius", "-1"), "--radius and --weight must be above 0"),
        (("--penalty", "-1"), "--penalty -1.0; give a weight"),
        (("--epochs", "5"), "are for trainings by minibatches"),
        (("--pools", "input", "--pool-search", "pgd"), "unknown search 'pgd'; one of steps"),
        (("--pools", "input", "--refresh", "2"), "give the share of a pool"),
    ],
)
def test_wrong_options_are_refused_before_any_training(
    options: tuple[str, ...], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _train(tmp_path, *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_pools_are_not_for_codes_nor_hardening_beside_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = str(tmp_path / "net.safetensors")
    assert main(["train", "ae20-10", "digits", "--pools", "input", "--out", out]) == 2
    assert "trained on codes" in capsys.readouterr().err
    assert main(["reproduce", "hardening", "table1"]) == 2
    assert "hardening stands alone" in capsys.readouterr().err
    assert main(["reproduce", "--search"]) == 2
    assert "--search is of hardening" in capsys.readouterr().err
