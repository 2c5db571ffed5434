"""`intriguing layers` and `intriguing units` as people use them: nets of their own, digits."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.cli.main import main
from intriguing.data.named import load_data
from intriguing.models.load import load_model
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ClaimRow, CoherenceRow, TopRow
from intriguing.results.store import read_run, read_tensors
from tests.shown import shown

NETWORKS = """
import torch
from torch import nn

def conv():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(20, 10)).eval()

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(64))
        self.last = nn.Linear(64, 10)
    def forward(self, x):
        return self.last(torch.relu(x.flatten(1) * self.scale))

def odd():
    return Odd().eval()
"""
QUICK = ["--rotations", "4", "--untrained", "2", "--paths", "2", "--limit", "120"]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    (folder / "nets.py").write_text(NETWORKS)
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


@pytest.fixture(scope="module")
def studied(room):
    main(["units", "nets.py:conv", "digits", "--layer", "1", "4", "-k", "4", *QUICK, "--out", "a",
          "--basis", "natural", "random"])  # fmt: skip
    return room / "a"


def problem(capsys, *words: str) -> str:
    capsys.readouterr()
    assert main(["units", *words]) == 2
    return capsys.readouterr().err


def test_rows_are_those_of_a_pass_held_in_memory(studied):
    images = load_data("digits").test.first(120)
    network = load_model("nets.py:conv")
    with torch.no_grad():
        phi = network[:5](images.images).amax((2, 3))  # units of layer 4, largest over positions
    tops = read_columns(studied, TopRow)
    mine = (tops["layer"] == "4") & (tops["basis"] == "natural") & (tops["sign"] == "positive")
    for unit in range(5):
        order = sorted(range(120), key=lambda i: (-float(phi[i, unit]), images.ids[i]))[:4]
        rows = mine & (tops["direction"] == unit)
        assert tops["image_id"][rows].tolist() == [images.ids[i] for i in order]
        assert tops["value"][rows] == pytest.approx(phi[order, unit].numpy(), abs=1e-5)


def test_crops_are_where_the_network_sees(studied):
    tops = read_columns(studied, TopRow)
    first = tops["layer"] == "1"
    high, wide = tops["bottom"] - tops["top"], tops["right"] - tops["left"]
    assert ((high[first] <= 3) & (wide[first] <= 3) & (high[first] >= 2)).all()


def test_a_folder_holds_verdicts_path_and_both_pages(studied, capsys):
    claims = read_rows(studied, ClaimRow)
    assert [claim.layer for claim in claims] == ["1", "4"]
    assert {claim.units for claim in claims} == {6, 5}
    path = [cell for cell in shown(studied) if cell.analysis == "path"]
    assert [(c.row, c.column) for c in path[:6]] == [("1", f"α = {a}") for a in
            ("0", "0.2", "0.4", "0.6", "0.8", "1")]  # fmt: skip
    assert path[0].low is None
    assert path[5].low is not None
    report = (studied / "report" / "index.html").read_text(encoding="utf-8")
    for claim in claims:
        assert claim.sentence.split(".")[0] in report
    assert (studied / "report" / "units.html").is_file()
    assert (studied / "report" / "figures" / "4-natural.svg").is_file()
    assert (studied / "report" / "figures" / "4-natural.png").is_file()
    assert set(read_columns(studied, CoherenceRow)["measure"]) == {
        "purity",
        "entropy",
        "pixels",
        "own",
    }


def test_rotations_too_few_to_find_anything_are_told(studied):
    # Of 4 rotations p is at least 2/5; of two layers Holm's first step doubles it.
    assert any("p-value that they allow is 0.8" in note for note in read_run(studied).notes)


def test_the_path_starts_where_the_natural_basis_is(studied):
    rows, cells = read_columns(studied, CoherenceRow), shown(studied)
    for layer in ("1", "4"):
        mine = (rows["layer"] == layer) & (rows["basis"] == "natural") & rows["responds"]
        mine &= rows["measure"] == "purity"
        start = next(
            c.value for c in cells if (c.analysis, c.row, c.column) == ("path", layer, "α = 0")
        )
        assert start == pytest.approx(rows["value"][mine].mean())


def test_a_stopped_test_is_not_done_twice(studied, room, monkeypatch):
    from intriguing.runs import distinction

    record = json.loads((studied / "run.json").read_text(encoding="utf-8"))
    (studied / "run.json").write_text(json.dumps(record | {"status": "running"}))
    (kept,) = (studied / "stages").glob("claim-*.json")
    before = kept.read_bytes()
    claims = read_rows(studied, ClaimRow)
    monkeypatch.setattr(distinction, "Comparison", None)  # would fail if it were called
    main(["units", "nets.py:conv", "digits", "--layer", "1", "4", "-k", "4", *QUICK, "--out", "a",
          "--basis", "natural", "random"])  # fmt: skip
    assert read_rows(studied, ClaimRow) == claims
    assert kept.read_bytes() == before
    assert read_run(studied).status == "complete"


def test_a_basis_of_ones_own_and_fewer_directions(room):
    rng = np.random.default_rng(0)
    np.save("mine.npy", rng.normal(size=(5, 3)))
    main(["units", "nets.py:conv", "digits", "--layer", "4", "--basis", "natural", "mine.npy",
          "pca", "--directions", "2", "--no-claim", "--limit", "60", "--out", "own"])  # fmt: skip
    tops = read_columns(room / "own", TopRow)
    shown = {str(b): len(set(tops["direction"][tops["basis"] == b])) for b in set(tops["basis"])}
    assert shown == {"natural": 2, "mine": 2, "pca": 2}
    assert not read_rows(room / "own", ClaimRow)


def test_a_basis_is_what_its_file_holds_not_what_it_is_called(room):
    found = []
    for seed, out in ((1, "shared"), (2, "shared"), (2, "afresh")):
        np.save("mine.npy", np.random.default_rng(seed).normal(size=(5, 3)))
        main(["units", "nets.py:conv", "digits", "--layer", "4", "--basis", "mine.npy",
              "--no-claim", "--limit", "60", "--out", out])  # fmt: skip
        found.append(read_columns(room / out, TopRow)["value"])
    assert not np.array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[1], found[2])


def test_dictionaries_stand_beside_units_and_their_control(room):
    main(["units", "nets.py:conv", "digits", "--layer", "4", "--basis", "natural", "sae",
          "sae-frozen", "--dictionaries", "2", "-k", "4", *QUICK, "--paths", "0",
          "--out", "learned"])  # fmt: skip
    parts = list((room / "learned" / "shards").glob("dictionaries*/*.safetensors"))
    assert len(parts) == 2  # a worker could have learned each
    tops = read_columns(room / "learned", TopRow)
    assert set(tops["basis"]) == {"natural", "sae", "sae-frozen"}
    assert 1 < len(set(tops["direction"][tops["basis"] == "sae"])) <= 10  # of five units
    cells = shown(room / "learned")
    leads = {c.reference: c for c in cells if c.analysis == "dictionary-leads"}
    assert leads.keys() == {"natural", "random", "sae-frozen"}
    assert all(c.low < c.value < c.high for c in leads.values())
    learned = {(c.method, c.metric): c.value for c in cells if c.analysis == "dictionaries"}
    assert leads["natural"].value == pytest.approx(
        learned["sae", "coherence"] - learned["natural", "coherence"]
    )
    assert learned["sae", "explained"] > learned["sae-frozen", "explained"]
    page = (room / "learned" / "report" / "index.html").read_text(encoding="utf-8")
    assert "more coherent than its control with a frozen decoder" in page


def test_pictures_of_ones_own_in_grey(room):
    rng = np.random.default_rng(1)
    for kind in ("a", "b"):
        (room / "grey" / kind).mkdir(parents=True)
        for i in range(6):
            pixels = rng.integers(0, 255, (9, 9), dtype=np.uint8)
            Image.fromarray(pixels).save(room / "grey" / kind / f"{i}.png")
    main(["units", "nets.py:conv", "grey", "--layer", "4", "--input", "1,8,8", "-k", "3",
          "--rotations", "3", "--untrained", "0", "--paths", "0", "--out", "grey-out"])  # fmt: skip
    images = read_tensors(room / "grey-out", "pictures")[0]["images"]
    assert images.shape[1:] == (1, 8, 8)
    assert read_rows(room / "grey-out", ClaimRow)[0].measure == "purity"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["nets.py:conv", "digits", "--layer", "relu9"], "intriguing layers.*0, 1, 2"),
        (["nets.py:conv", "digits", "--basis", "ica"], "natural, random, gaussian, pca, kmeans"),
        (["nets.py:conv", "digits", "--basis", "none.npy"], "none.npy"),
        (["nets.py:conv", "digits", "-k", "1"], "give 2"),
        (["nets.py:conv", "digits", "--limit", "5"], "k=9 of 5 images"),
        (["nets.py:conv", "digits", "--measure", "features"], "--other"),
        (["nets.py:odd", "digits"], "scale|reset_parameters.*--untrained 0"),
        (["nets.py:conv", "digits", "--directions", "0"], "give 1 or more"),
        (["nets.py:conv", "digits", "--delta", "0"], "delta"),
        (["nets.py:conv", "digits", "--rotations", "1"], "rotations"),
        (["nets.py:conv", "digits", "--basis", "sae", "--limit", "17"], "give 18 images"),
        (["nets.py:conv", "digits", "--basis", "sae", "--dictionaries", "1"], "--no-claim"),
        (["nets.py:conv", "digits", "--basis", "sae", "--dictionary", "2"], "give 3 or more"),
    ],
)
def test_what_does_not_fit_is_said_before_any_work(room, capsys, words, told):
    assert re.search(told, problem(capsys, *words, "--out", "never"))
    assert not (room / "never").exists()


def test_a_matrix_of_another_size_names_both(room, capsys):
    np.save("wrong.npy", np.ones((7, 3)))
    words = problem(capsys, "nets.py:conv", "digits", "--layer", "4", "--basis", "wrong.npy")
    assert "wrong.npy" in words
    assert "7" in words
    assert "5" in words


def test_layers_are_listed_with_shapes_and_what_they_see(room, capsys):
    main(["layers", "nets.py:conv", "--input", "1,8,8"])
    lines = capsys.readouterr().out.splitlines()
    third = next(line for line in lines if line.split()[:2] == ["4", "ReLU"])
    assert third.split()[2:] == ["5×2×2", "5", "7×7"]
