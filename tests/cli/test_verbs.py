"""Every verb that computes, end to end on small digits, and what each says of wrong input."""

import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.cli.main import main
from intriguing.data.named import load_data
from intriguing.models.load import load_model
from intriguing.results.parquet import read_columns
from intriguing.results.rows import ImageRow
from intriguing.results.store import read_run, read_tensors
from tests.shown import shown

ATTACK = ["attack", "fc10.safetensors", "digits", "--method", "paper"]


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """A folder with two trained networks, and the working folder of the tests."""
    folder = tmp_path_factory.mktemp("workshop")
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    assert main(["train", "fc10", "digits", "--decay", "1e-3"]) == 0
    assert main(["train", "fc12-10", "digits", "--out", "two.safetensors"]) == 0
    yield folder
    patch.undo()


def test_train_saves_a_network_whose_error_is_the_tables(workshop):
    model = load_model("fc10.safetensors")
    test = load_data("digits").test
    wrong = (model(test.images).argmax(1) != test.labels).double().mean()
    cells = {cell.column: cell for cell in shown(workshop / "results/train-fc10-digits-seed0")}
    assert cells["Test error"].value == pytest.approx(100 * float(wrong))
    assert not list((workshop / "results").rglob("*checkpoint*"))


def test_train_again_changes_nothing(workshop):
    before = (workshop / "fc10.safetensors").read_bytes()
    assert main(["train", "fc10", "digits", "--decay", "1e-3"]) == 0
    assert (workshop / "fc10.safetensors").read_bytes() == before


def test_attack_finds_images_that_fool_and_leaves_a_report(workshop, capsys):
    assert main([*ATTACK, "--limit", "12", "--out", "one"]) == 0
    printed = capsys.readouterr().out
    assert "one/report/index.html" in printed
    assert "FOUND" in printed
    run = read_run(workshop / "one")
    assert run.status == "complete"
    assert run.command == "intriguing " + " ".join([*ATTACK, "--limit", "12", "--out", "one"])
    images = read_columns(workshop / "one", ImageRow)
    assert images["success"].all()
    assert (images["label"] != images["target"]).all()
    mean = next(c for c in shown(workshop / "one") if c.column == "Mean distortion")
    assert mean.value == pytest.approx(images["distortion"].mean(), rel=1e-6)
    tensors, words = read_tensors(workshop / "one", "gallery-fc10")
    said = load_model("fc10.safetensors")(torch.from_numpy(tensors["distorted"])).argmax(1)
    assert said.tolist() == images["target"][:8].tolist()
    assert words["kind"] == "gallery"


def test_the_same_attack_again_computes_nothing_and_says_the_same(workshop):
    command = [*ATTACK, "--limit", "6", "--out", "again"]
    assert main(command) == 0
    shard = next((workshop / "again/shards").rglob("*.safetensors"))
    written, rows = shard.stat().st_mtime_ns, read_columns(workshop / "again", ImageRow)
    assert main(command) == 0
    assert shard.stat().st_mtime_ns == written
    for name, column in read_columns(workshop / "again", ImageRow).items():
        np.testing.assert_array_equal(column, rows[name])


def test_saved_pictures_still_fool_when_read_back(workshop):
    options = ["--limit", "5", "--levels", "256", "--save-images", "--out", "png"]
    assert main([*ATTACK, *options]) == 0
    model = load_model("fc10.safetensors")
    pictures = sorted((workshop / "png/pictures").glob("*.png"))
    assert len(pictures) == 5
    for path in pictures:
        pixels = torch.from_numpy(np.asarray(Image.open(path)).copy()).float() / 255
        assert int(model(pixels[None, None]).argmax()) == int(path.stem.rpartition("-")[2])


def test_all_targets_keep_the_nearest_of_the_single_ones(workshop, monkeypatch):
    # No report is drawn: eleven take longer than these searches.
    monkeypatch.setattr("intriguing.cli.running.finish", lambda folder, **more: None)
    base = [*ATTACK, "--limit", "4"]
    assert main([*base, "--targets", "all", "--out", "all"]) == 0
    nearest = read_columns(workshop / "all", ImageRow)
    singles = np.full((10, 4), np.inf)
    ids = list(nearest["image_id"])
    for target in range(10):
        assert main([*base, "--targets", str(target), "--out", f"to{target}"]) == 0
        images = read_columns(workshop / f"to{target}", ImageRow)
        for name, size in zip(images["image_id"], images["distortion"], strict=True):
            singles[target, ids.index(name)] = size
    np.testing.assert_allclose(nearest["distortion"], singles.min(0), rtol=1e-4)
    assert (nearest["target"] == singles.argmin(0)).all()


def test_the_default_is_closest_and_on_a_linear_network_it_proves_its_answers(workshop, capsys):
    command = ["attack", "fc10.safetensors", "digits", "--limit", "8", "--targets", "untargeted"]
    assert main([*command, "--out", "near"]) == 0
    shown = capsys.readouterr().out
    assert "it is proved that no adversarial example is closer" in " ".join(shown.split())
    near = read_columns(workshop / "near", ImageRow)
    assert set(near["method"]) == {"closest"}
    assert set(near["status"]) <= {"OPTIMAL", "ALREADY"}
    assert (near["gap"][near["status"] == "OPTIMAL"] < 1e-3).all()
    assert main([*ATTACK, "--limit", "8", "--targets", "all", "--out", "all8"]) == 0
    by_class = read_columns(workshop / "all8", ImageRow)
    assert (near["l2"] <= 1.0001 * by_class["l2"]).all()
    assert near["l2"].sum() > 0.9 * by_class["l2"].sum()


def test_runner_up_is_the_likeliest_wrong_class(workshop):
    options = ["--limit", "6", "--targets", "runner-up", "--out", "runner"]
    assert main([*ATTACK, *options]) == 0
    images = read_columns(workshop / "runner", ImageRow)
    model, test = load_model("fc10.safetensors"), load_data("digits").test
    for row in range(6):
        ranking = model(test.images[row : row + 1]).argsort(descending=True)[0].tolist()
        ranking.remove(int(test.labels[row]))
        assert images["target"][row] == ranking[0]


def test_transfer_fills_the_matrix_and_keeps_amplified_rows_at_their_size(workshop):
    models = ["fc10.safetensors", "two.safetensors"]
    options = ["--data", "digits", "--limit", "10", "--amplify", "0.2", "--out", "cross"]
    assert main(["transfer", *models, *options]) == 0
    cells = [c for c in shown(workshop / "cross") if c.analysis == "transfer"]
    assert len(cells) == 6 * 2
    own = [c for c in cells if c.row.startswith(f"Distorted for {c.column} (")]
    assert [c.value for c in own] == [100.0, 100.0]
    assert {c.row for c in cells if "noise" in c.row} >= {"Gaussian noise with stddev=0.2"}
    assert (workshop / "cross/report/index.html").exists()


WRONG = [
    (["attack", "nope.safetensors", "digits"], "no file nope.safetensors"),
    (["attack", "fc10", "digits"], "intriguing train fc10"),
    (["attack", "cut.safetensors", "digits"], "cut.safetensors"),
    (["attack", "fc10.safetensors", "cifar"], "mnist, mnist-5k, digits"),
    (["attack", "fc10.safetensors", "mnist-5k"], "images of the size it was made for"),
    (["attack", "fc10.safetensors", "digits", "--targets", "12"], "classes 0 … 9"),
    (["attack", "fc10.safetensors", "digits", "--targets", "near"], "random, runner-up, untarg"),
    (["attack", "fc10.safetensors", "digits", "--limit", "0"], "1 or more"),
    ([*ATTACK, "--budget", "9"], "no budget"),
    ([*ATTACK, "--targets", "untargeted"], "--targets all"),
    (["attack", "fc10.safetensors", "digits", "--budget", "0"], "allows no pass"),
    (["attack", "fc10.safetensors", "digits", "--save-images"], "--levels 256"),
    (["attack", "odd.py:softmax", "digits"], "probabilities"),
    (["attack", "odd.py:missing", "digits"], "no function 'missing'"),
    (["attack", "fc10.safetensors", "digits", "--out", "fc10.safetensors/x"], "--out"),
    (["transfer", "fc10.safetensors", "--data", "digits"], "two or more"),
    (["transfer", "fc10.safetensors", "two.safetensors", "--data", "digits", "--amplify", "0"],
     "above 0"),
    (["train", "fcx", "digits"], "unknown network 'fcx'"),
    (["train", "fc10", "cifar"], "mnist, mnist-5k, digits"),
    (["train", "fc10", "digits", "--decay", "1", "2", "3"], "give one for all or 1"),
    (["train", "fc10", "digits", "--decay", "-1"], "0 or more"),
    (["train", "fc10", "digits", "--out", "weights.pt"], ".safetensors"),
    (["report", "."], "no run.json"),
    (["reproduce", "table9"], "figure7, filters, figure6, hardening"),
    (["reproduce", "table1", "figure6"], "figure6 stands alone"),
    (["reproduce", "table1", "--search"], "--search is of hardening"),
    (["reproduce", "figure6", "--dry-run"], "--dry-run says what it costs"),
    (["attack", "fc10.safetensors", "digits", "--budget", "20min"], "passes an image"),
    (["audit", "fc10.safetensors", "--data", "digits", "--budget=2h"], "is --images 2h"),
]  # fmt: skip


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_wrong_input_is_refused_with_the_fix_before_any_work(workshop, capsys, arguments, words):
    whole = (workshop / "fc10.safetensors").read_bytes()
    (workshop / "cut.safetensors").write_bytes(whole[: len(whole) // 2])
    (workshop / "odd.py").write_text(
        "from torch import nn\n"
        "def softmax():\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.Softmax(1))\n"
    )
    before = set(workshop.rglob("run.json"))
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert not captured.out
    assert set(workshop.rglob("run.json")) == before


def test_another_run_in_the_folder_is_never_mixed_with_this_one(workshop, capsys):
    command = [*ATTACK, "--out", "mixed", "--limit"]
    assert main([*command, "3"]) == 0
    assert main([*command, "4"]) == 2
    assert "limit was 3 and is 4" in capsys.readouterr().err
    assert main([*command, "4", "--fresh"]) == 0
    assert len(read_columns(workshop / "mixed", ImageRow)["label"]) == 4


def test_doctor_says_where_it_looked_and_changes_nothing(workshop, capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("INTRIGUING_DATA", str(tmp_path / "mine"))
    monkeypatch.setattr("intriguing.data.mnist.cache_folder", lambda: tmp_path / "cache" / "mnist")
    before = sorted(workshop.rglob("*"))
    assert main(["doctor"]) == 0
    shown = capsys.readouterr().out
    assert str(tmp_path / "mine" / "mnist") in shown
    assert str(tmp_path / "cache" / "mnist") in shown
    assert "INTRIGUING_DATA" in shown
    assert "torch" in shown
    assert sorted(workshop.rglob("*")) == before


def test_a_users_own_network_is_attacked_by_its_file(workshop):
    (workshop / "mine.py").write_text(
        "import torch\nfrom torch import nn\n"
        "def build():\n"
        "    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).double()\n"
    )
    assert main(["attack", "mine.py:build", *ATTACK[2:], "--limit", "3", "--out", "own"]) == 0
    assert read_run(workshop / "own").models[0].name == "mine:build"


def test_a_dry_run_names_the_networks_and_a_time_and_writes_nothing(workshop, capsys):
    before = sorted(workshop.rglob("*"))
    assert main(["reproduce", "table4", "--scale", "smoke", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "FC123-456-10" in shown
    assert "FC10(1)" not in shown
    assert "about" in shown
    assert sorted(workshop.rglob("*")) == before
