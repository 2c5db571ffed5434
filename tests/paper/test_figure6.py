"""Figure 6 from nothing on a tiny made-up data set, and what its numbers rest on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from intriguing.cli.main import main
from intriguing.data.dataset import ImageSet
from intriguing.data.named import DataPair
from intriguing.errors import InputError
from intriguing.models.families.quocnet import CONFIGS
from intriguing.models.load import load_model
from intriguing.paper import figure6 as module
from intriguing.paper.figure6 import Figure6Config, halves, one_against_rest
from intriguing.paper.reproduce import reproduce
from intriguing.report.html import draw_report
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ClaimRow, TopRow
from intriguing.results.store import read_run, read_tensors
from tests.shown import shown


def stripes(count: int, seed: int) -> ImageSet:
    """Three classes; "automobile" has horizontal stripes, which everything can tell."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 3
    images = 0.5 + 0.1 * torch.randn(count, 3, 32, 32, generator=generator)
    wave = 0.2 * torch.sin(torch.arange(32) * 1.2)
    images[labels == 1] += wave.view(-1, 1)
    images[labels == 2] += wave.view(1, -1)
    return ImageSet(
        f"stripes{seed}", images.clamp(0, 1), labels, tuple(f"s/{seed}/{i}" for i in range(count)),
        ("dog", "automobile", "ship"),
    )  # fmt: skip


def test_one_class_against_as_many_others() -> None:
    part = one_against_rest(stripes(90, 0), "automobile", seed=0)
    assert part.labels.bincount().tolist() == [30, 30]
    whole = stripes(90, 0)
    for place in range(len(part)):
        original = whole.ids.index(part.ids[place])
        assert int(part.labels[place]) == int(whole.labels[original] == 1)
    with pytest.raises(InputError, match="dog, automobile, ship"):
        one_against_rest(whole, "car", seed=0)
    first, second = halves(whole, 0)
    assert not set(first.ids) & set(second.ids)
    assert len(first) == len(second) == 45


def test_seeds_that_it_would_not_run_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reproduce", "figure6", "--seeds", "5"]) == 2
    assert "no --seeds" in capsys.readouterr().err


def test_from_nothing_to_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = DataPair("stripes", stripes(240, 0), stripes(90, 1))
    monkeypatch.setattr(module, "load_data", lambda name, progress=None: pair)
    tiny = CONFIGS["quocnet-tiny"]  # half as many units: rotations of them are most of the work
    narrow = replace(tiny, stages=tuple(replace(stage, maps=4) for stage in tiny.stages))
    monkeypatch.setitem(CONFIGS, "quocnet-tiny", narrow)
    config = Figure6Config(scale="smoke", budget=20)
    reproduce(config, tmp_path, command="test")
    run = read_run(tmp_path)
    assert run.status == "complete"
    assert [model.name for model in run.models] == ["QuocNet A", "QuocNet B"]
    cells = {(c.analysis, c.row, c.column): c for c in shown(tmp_path)}
    assert {row for _, row, column in cells if column == "Accuracy"} == {
        "QuocNet A", "QuocNet B", "untrained features", "raw pixels"
    }  # fmt: skip
    model = load_model(tmp_path / "models" / "quocnet-tiny-a.safetensors")
    tensors, metadata = read_tensors(tmp_path, "figure6-quocnet-a")
    assert metadata["kind"] == "figure6"
    with torch.no_grad():
        known = model(torch.from_numpy(tensors["original"])).argmax(1)
        lost = model(torch.from_numpy(tensors["distorted"])).argmax(1)
    assert bool((known == 1).all())
    assert bool((lost == 0).all())
    fooled = cells["figure6", "QuocNet A", "Known cars fooled"]
    assert (fooled.value, fooled.count) == (100.0, fooled.total)
    own = cells["figure6-transfer", "QuocNet A", "QuocNet A"]
    assert own.count == own.total == fooled.total
    more = cells["figure6", "QuocNet A", "Above raw pixels"]
    known = [cells["figure6", name, "Accuracy"].value for name in ("QuocNet A", "raw pixels")]
    assert more.value == pytest.approx(known[0] - known[1])
    (claim,) = read_rows(tmp_path, ClaimRow)
    assert (claim.layer, claim.networks) == ("features", 2)
    assert set(read_columns(tmp_path, TopRow)["basis"]) == {"natural", "random"}
    reproduce(config, tmp_path, command="test")  # nothing is left to do
    page = draw_report(tmp_path).read_text()
    assert "blind spots" in page
    assert f"every one of the {fooled.total} cars" in page
    for name in ("figure6-quocnet-a", "filters-quocnet-b"):
        assert (tmp_path / "report" / "figures" / f"{name}.png").stat().st_size > 5000
