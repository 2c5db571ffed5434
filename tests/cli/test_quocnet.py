"""QuocNets on the command line: trained once, and wrong input refused before any image is read."""

from pathlib import Path

import pytest
import torch

from intriguing.cli import quocnet
from intriguing.cli.main import main
from intriguing.cli.quocnet import source
from intriguing.data.named import DataPair
from intriguing.data.png import write_png
from intriguing.data.sources import load_images
from intriguing.errors import InputError
from intriguing.models.families.quocnet import CONFIGS
from intriguing.models.load import load_model
from intriguing.results.store import read_run
from tests.paper.test_figure6 import stripes
from tests.shown import shown


def test_a_quocnet_is_trained_once_and_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = DataPair("stripes", stripes(120, 0), stripes(60, 1))
    monkeypatch.setattr(quocnet, "load_data", lambda name, progress=None: pair)
    out, results = tmp_path / "net.safetensors", tmp_path / "results"
    command = ["train", "quocnet-tiny", "cifar10", "--steps", "2", "--out", str(out)]
    command += ["--results", str(results)]
    assert main(command) == 0
    said, weights = capsys.readouterr().out, out.read_bytes()
    assert "2, 2, 2 steps" in said
    (error,) = shown(results)
    assert f"{100 - error.value:.1f} % [" in said
    assert error.total == 40
    model = load_model(out)
    assert model(pair.test.images[:2]).shape == (2, 2)
    (record,) = read_run(results).models
    assert record.training["decay"] in (0.1, 0.5, 2.0)
    assert not list((results / "models").glob("*checkpoint*/*"))
    with monkeypatch.context() as patch:
        patch.setattr("intriguing.runs.quocnet.train_unsupervised", None)  # nothing is left to do
        assert main(command) == 0
    assert main([*command, "--fresh"]) == 0
    assert out.read_bytes() == weights


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["reproduce", "figure6", "--network", "nowhere.safetensors"], "there is no file nowhere"),
        (["train", "quocnet-tiny", "cifar10", "--steps", "0"], "at least 1"),
        (["train", "quocnet-tiny", "cifar10", "--rate", "0"], "must be above 0"),
    ],
)
def test_wrong_input(
    command: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    assert main(command) == 2
    assert said in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_patches_of_other_pictures_are_cut_anew(tmp_path):
    made = {}
    for name, grey in (("dark", 0.1), ("light", 0.9)):
        for place in range(2):
            write_png(tmp_path / name / f"{place}.png", torch.full((3, 40, 40), grey))
        made[name] = source(str(tmp_path / name), CONFIGS["quocnet-tiny"], tmp_path, 0, 0)
    assert made["light"].pixels.min() > made["dark"].pixels.max()
    again = source(str(tmp_path / "dark"), CONFIGS["quocnet-tiny"], tmp_path, 0, 0)
    assert again.pixels.max() == made["dark"].pixels.max()
    assert len(list(tmp_path.glob("*.npy"))) == 2


def test_a_folder_that_is_not_there_is_not_called_one_of_pictures():
    with pytest.raises(InputError, match="there is no folder or zip nowhere"):
        load_images("nowhere/", None)
