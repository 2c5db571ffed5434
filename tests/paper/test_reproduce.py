"""The smoke run's folder against what can be computed from its files without the package."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from intriguing.data.named import DataPair, load_data
from intriguing.errors import InputError
from intriguing.paper.config import SCALES, ReproduceConfig
from intriguing.paper.materials import split_sets
from intriguing.paper.reproduce import reproduce
from intriguing.report.views import Cell
from intriguing.results.parquet import read_columns
from intriguing.results.published import published
from intriguing.results.rows import ImageRow
from intriguing.results.store import list_tensors, read_run, read_tensors
from tests.oracles.numpy_networks import classify
from tests.paper import running
from tests.shown import laid_out, shown

FILES = {
    "FC10(1e-4)": "fc10-1e-4",
    "FC10(1e-2)": "fc10-1e-2",
    "FC10(1)": "fc10-1",
    "FC100-100-10": "fc100-100-10",
    "FC200-200-10": "fc200-200-10",
    "AE400-10": "ae400-10",
}
SPLIT_FILES = {
    "FC100-100-10": "fc100-100-10-p1",
    "FC123-456-10": "fc123-456-10-p1",
    "FC100-100-10'": "fc100-100-10-p2",
}


@pytest.fixture(scope="module")
def data() -> DataPair:
    return load_data("digits")


@pytest.fixture(scope="module")
def cells(smoke: Path) -> dict[tuple[str, str, str], Cell]:
    return {(cell.analysis, cell.row, cell.column): cell for cell in shown(smoke)}


def adversarial(smoke: Path, slug: str) -> np.ndarray:
    shards = sorted((smoke / "shards" / f"examples-{slug}").glob("*.safetensors"))
    return np.concatenate([load_file(shard)["adversarial"] for shard in shards])


def test_every_cell_of_the_paper_is_there(smoke: Path) -> None:
    for name in ("table1", "table2", "table3", "table4"):
        ours = [(c.row, c.column, c.paper) for c in shown(smoke) if c.analysis == name]
        assert ours == [(c.row, c.column, c.value) for c in laid_out(published(name))]


def test_errors_are_those_of_numpy_networks(
    smoke: Path, data: DataPair, cells: dict[tuple[str, str, str], Cell]
) -> None:
    for row, slug in FILES.items():
        for column, images in (("Training error", data.train), ("Test error", data.test)):
            wrong = classify(smoke / "models" / f"{slug}.safetensors", images.images.numpy())
            count = int((wrong != images.labels.numpy()).sum())
            cell = cells["table1", row, column]
            assert (cell.count, cell.total) == (count, len(images))
            assert cell.value == pytest.approx(100 * count / len(images))
            assert cell.low <= cell.value <= cell.high


def test_transfer_is_that_of_numpy_networks(
    smoke: Path, data: DataPair, cells: dict[tuple[str, str, str], Cell]
) -> None:
    labels = data.train.labels.numpy()[:60]
    for row, slug in FILES.items():
        images = adversarial(smoke, slug)
        for column, other in FILES.items():
            predicted = classify(smoke / "models" / f"{other}.safetensors", images)
            assert cells["table2", row, column].count == int((predicted != labels).sum())
        assert cells["table2", row, row].value == 100


def test_amplified_transfer_is_that_of_numpy_networks(
    smoke: Path, data: DataPair, cells: dict[tuple[str, str, str], Cell]
) -> None:
    labels = data.test.labels.numpy()[:60]
    clean = data.test.images.numpy()[:60].reshape(60, -1).astype(np.float64)
    for network_name, slug in SPLIT_FILES.items():
        change = adversarial(smoke, slug).reshape(60, -1) - clean
        size = np.sqrt((change**2).mean(1, keepdims=True))
        amplified = clean + change * np.divide(0.1, size, out=np.zeros_like(size), where=size > 0)
        for column, other in SPLIT_FILES.items():
            predicted = classify(smoke / "models" / f"{other}.safetensors", amplified)
            cell = cells["table4", f"Distorted for {network_name} amplified to stddev=0.1", column]
            assert abs(cell.count - int((predicted != labels).sum())) <= 1  # float32 at a boundary


def test_average_distortions_are_those_of_the_images(
    smoke: Path, cells: dict[tuple[str, str, str], Cell]
) -> None:
    images = read_columns(smoke, ImageRow)
    for label, cell in {
        "FC200-200-10": cells["table1", "FC200-200-10", "Av. min. distortion"],
        "FC100-100-10 (P1)": cells["table3", "FC100-100-10", "Min Av. Distortion"],
        "FC100-100-10' (P2)": cells["table4", "Distorted for FC100-100-10'", "Av. distortion"],
    }.items():
        sizes = images["distortion"][images["network"] == label].astype(np.float64)
        assert len(sizes) == 60
        half = 2.00100 * sizes.std(ddof=1) / np.sqrt(60)  # Student's 97.5 % point, 59 degrees
        assert cell.value == pytest.approx(sizes.mean(), rel=1e-6)
        assert (cell.low, cell.high) == pytest.approx(
            (sizes.mean() - half, sizes.mean() + half), rel=1e-4
        )


def test_noise_has_the_stated_size(cells: dict[tuple[str, str, str], Cell]) -> None:
    for table, row, stddev in (
        ("table2", "Gaussian noise, stddev=0.1", 0.1),
        ("table2", "Gaussian noise, stddev=0.3", 0.3),
        ("table4", "Gaussian noise with stddev=0.06", 0.06),
    ):
        cell = cells[table, row, "Av. distortion"]
        # 60 images of 64 pixels: the mean's relative error is about 1/sqrt(2 · 60 · 64) = 1.1 %.
        assert cell.value == pytest.approx(stddev, rel=0.05)


def test_every_attack_is_a_row(smoke: Path, data: DataPair) -> None:
    images = read_columns(smoke, ImageRow)
    assert len(images["network"]) == 9 * 60
    assert images["image_id"][:60].tolist() == list(data.train.ids[:60])
    assert images["image_id"][-60:].tolist() == list(data.test.ids[:60])
    assert (images["target"] != images["label"]).all()
    assert set(images["status"]) <= {"FOUND", "ALREADY"}
    by_network = images["target"].reshape(9, 60)
    assert len({tuple(targets) for targets in by_network}) == 9


def test_figure_7_shows_what_it_says(smoke: Path, data: DataPair) -> None:
    assert list_tensors(smoke) == ("figure7-a", "figure7-b", "figure7-c", "filters")
    panels = {letter: read_tensors(smoke, f"figure7-{letter}") for letter in "abc"}
    known = data.train.images.numpy()
    originals = panels["c"][0]["original"]
    where = [int(np.flatnonzero((known == x).all((1, 2, 3)))[0]) for x in originals]
    labels = data.train.labels.numpy()[where]
    for letter, slug in (("a", "fc10-1e-4"), ("b", "fc200-200-10")):
        tensors, words = panels[letter]
        weights = smoke / "models" / f"{slug}.safetensors"
        assert np.array_equal(tensors["original"], originals)
        assert (classify(weights, originals) == labels).all()
        assert (classify(weights, tensors["distorted"]) != labels).all()
        assert "accuracy 0 %" in words["title"]
    noisy = panels["c"][0]["distorted"]
    assert noisy.min() == 0
    assert noisy.max() == 1
    assert "(paper 51 %" in panels["c"][1]["caption"]
    filters = read_tensors(smoke, "filters")[0]["filters"]
    weights = load_file(smoke / "models" / "ae400-10.safetensors")["encoder.weight"]
    assert np.array_equal(filters, weights.reshape(400, 8, 8))


def test_the_record_says_what_was_done(smoke: Path, data: DataPair) -> None:
    record = read_run(smoke)
    assert record.status == "complete"
    assert [(d.name, d.sha256) for d in record.data] == [
        (data.train.name, data.train.sha256), (data.test.name, data.test.sha256),
    ]  # fmt: skip
    assert len(record.models) == 9
    assert len({model.sha256 for model in record.models}) == 9
    images = read_columns(smoke, ImageRow)
    attack = next(s for s in record.stages if s.name == "attack AE400-10")
    assert attack.forward_passes == images["forward_passes"][images["network"] == "AE400-10"].sum()
    assert attack.wall_seconds > 0
    remarks = " ".join(record.notes)
    assert all(word in remarks for word in ("not comparable", "√n", "not clipped", "Spearman"))
    assert not list((smoke / "models").glob("*checkpoint*"))


def test_a_finished_run_only_reads(
    smoke: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Asked again, for fewer tables, the folder trains and attacks nothing."""
    folder = tmp_path / "copy"
    shutil.copytree(smoke, folder)

    def never(*args: object, **more: object) -> None:
        raise AssertionError("trained or attacked again")

    monkeypatch.setattr("intriguing.runs.training.train_network", never)
    monkeypatch.setattr("intriguing.scale.attack.minimum_distortion", never)
    before = shown(smoke)
    record = reproduce(replace(running.CONFIG, items=("table1", "table3")), folder)
    assert record.tables == ("table1", "table3")
    assert shown(folder) == [c for c in before if c.analysis in ("table1", "table3")]


def test_a_second_seed_adds_a_spread_and_leaves_the_first(smoke: Path, tmp_path: Path) -> None:
    one = replace(running.CONFIG, items=("table3",))
    reproduce(one, tmp_path)
    first = shown(tmp_path)
    assert first == [cell for cell in shown(smoke) if cell.analysis == "table3"]
    reproduce(replace(one, seeds=2), tmp_path)
    both = shown(tmp_path)
    stripped = [replace(c, seeds=1, seed_low=None, seed_high=None) for c in both]
    assert stripped == first
    assert all(c.seed_low <= c.value <= c.seed_high for c in both)
    assert any(c.seed_low < c.seed_high for c in both)
    assert {m.seed for m in read_run(tmp_path).models} == {0, 1}


def test_a_damaged_network_is_trained_again(smoke: Path, tmp_path: Path) -> None:
    config = replace(running.CONFIG, items=("filters",))
    reproduce(config, tmp_path)
    path = tmp_path / "models" / "ae400-10.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    reproduce(config, tmp_path)
    assert read_run(tmp_path).models[0].sha256 in {m.sha256 for m in read_run(smoke).models}


def test_another_scale_in_the_same_folder_is_refused(smoke: Path) -> None:
    with pytest.raises(InputError, match=r"scale was \"smoke\" and is \"quick\""):
        reproduce(ReproduceConfig(scale="quick", shard_size=20), smoke)


@pytest.mark.parametrize("scale", ["smoke", "quick"])
def test_p1_and_p2_part_the_training_set(scale: str) -> None:
    data = load_data(SCALES[scale].data)
    sets = [split_sets(SCALES[scale], data, seed) for seed in (0, 0, 1)]
    assert sets[0].p1.ids == sets[1].p1.ids != sets[2].p1.ids
    assert len(sets[0].p1) == SCALES[scale].split
    assert sorted(sets[0].p1.ids + sets[0].p2.ids) == sorted(data.train.ids)


def test_networks_of_one_kind_start_apart(smoke: Path) -> None:
    """P1's and P2's FC100-100-10 share no initial weights: else transfer would be too easy."""
    first, second = (
        torch.tensor(load_file(smoke / "models" / f"{slug}.safetensors")["layers.0.weight"])
        for slug in ("fc100-100-10-p1", "fc100-100-10-p2")
    )
    correlation = torch.corrcoef(torch.stack((first.flatten(), second.flatten())))[0, 1]
    assert abs(float(correlation)) < 0.2
