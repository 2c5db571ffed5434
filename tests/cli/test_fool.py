"""`intriguing fool`: images of nothing, with pictures, and what another network says of them."""

from pathlib import Path

import numpy as np
import pytest
import torch

import intriguing
from intriguing.cli.main import main
from intriguing.models.weights import save_model
from intriguing.report.contents import read_contents
from intriguing.results.measured import Metric, first


def network(path: Path, name: str, seed: int) -> str:
    """One that is sure of itself."""
    torch.manual_seed(seed)
    model = intriguing.build_network(name, (1, 8, 8)).eval()
    with torch.no_grad():
        for weights in model.parameters():
            weights.mul_(8)
    save_model(path, model, name)
    return str(path)


def test_it_is_fooled_to_every_class_and_another_is_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, other = (network(tmp_path / f"{i}.safetensors", "fc10", i) for i in range(2))
    folder = tmp_path / "out"
    words = ["fool", one, other, "--starts", "2", "--out", str(folder), "--confidence", "0.9"]
    assert main(words) == 0
    contents = read_contents(folder)
    about = {"analysis": "fool", "metric": Metric.BECAME}
    noise, flat = (first(contents.measured, setting=s, **about) for s in ("noise", "flat"))
    assert noise is not None
    assert flat is not None
    assert (noise.total, flat.total) == (20, 10)
    assert noise.value == flat.value == 100
    model = intriguing.load_model(one)
    (file,) = contents.of_kind("nonsense")
    images = torch.tensor(file.tensors["images"])
    assert images.shape[0] == 20
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    with torch.no_grad():
        likely = model(images).softmax(1)
    assert likely.argmax(1).tolist() == [*range(10)] * 2
    assert float(likely.amax(1).min()) >= 0.9 - 1e-5
    with torch.no_grad():
        says = intriguing.load_model(other)(images[10:]).argmax(1)
    told = first(contents.measured, analysis="fool", metric=Metric.AGREEMENT, setting="flat")
    assert told is not None
    assert told.count == int((says == torch.arange(10)).sum())
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    assert "reads 20 of 20 images that begin as noise" in page
    assert np.isfinite(file.tensors["images"]).all()
    capsys.readouterr()


def test_what_it_cannot_do_is_said_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = network(tmp_path / "one.safetensors", "fc10", 0)
    few = network(tmp_path / "few.safetensors", "fc4", 0)
    for words, said in (
        ([one, "--confidence", "1"], "inside (0, 1)"),
        ([one, few], "give networks of the same classes"),
        ([one, "--classes", "0"], "give 1 or more"),
        ([one, "--input", "3,3"], "does not take images"),
    ):
        assert main(["fool", *words, "--out", str(tmp_path / "none")]) == 2
        assert said in capsys.readouterr().err
    assert not (tmp_path / "none").exists()
