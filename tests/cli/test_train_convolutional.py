"""A convolutional network from the command line: trained by minibatches, saved, attacked."""

import pytest

from intriguing.cli.main import main
from intriguing.data.named import load_data
from intriguing.models.families.convolutional import ConvolutionalFamily
from intriguing.models.load import load_model
from intriguing.models.schedule import Schedule
from intriguing.results.store import list_tensors, read_run, read_tensors
from tests.shown import shown

COMMAND = ["train", "conv4-6-20-10", "digits"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    short = Schedule(12, rate=0.1)
    monkeypatch.setattr(ConvolutionalFamily, "schedule", lambda self, images: short)
    return tmp_path


def test_it_is_trained_saved_and_attacked(folder, capsys):
    assert main(COMMAND) == 0
    assert "12 epochs done" in capsys.readouterr().out
    model, test = load_model("conv4-6-20-10.safetensors"), load_data("digits").test
    wrong = (model(test.images).argmax(1) != test.labels).double().mean()
    assert wrong < 0.1
    results = folder / "results/train-conv4-6-20-10-digits-seed0"
    cells = {cell.column: cell for cell in shown(results)}
    assert cells["Test error"].value == pytest.approx(100 * float(wrong))
    run = read_run(results)
    assert run.config["decay"] == [1e-4] * 4
    assert "12 epochs in batches of 100, nesterov" in run.notes[1]
    assert list_tensors(results) == ("filters",)
    assert read_tensors(results, "filters")[0]["filters"].shape == (4, 3, 3)

    before = (folder / "conv4-6-20-10.safetensors").read_bytes()
    assert main(COMMAND) == 0
    assert (folder / "conv4-6-20-10.safetensors").read_bytes() == before
    attack = ["attack", "conv4-6-20-10.safetensors", "digits", "--limit", "4", "--out", "attack"]
    assert main(attack) == 0
    assert read_run(folder / "attack").models[0].architecture == "conv4-6-20-10"


def test_lambdas_are_one_for_each_layer(folder, capsys):
    assert main([*COMMAND, "--decay", "1e-3", "1e-4"]) == 2
    assert "give one for all or 4" in capsys.readouterr().err
    assert main(["attack", "conv4-6-20-10", "digits"]) == 2
    assert "intriguing train conv4-6-20-10" in capsys.readouterr().err
