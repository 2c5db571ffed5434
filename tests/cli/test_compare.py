"""Methods side by side on small digits: true numbers, no work done twice, no trace of a kill."""

import csv
import random
import shutil
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

from intriguing.cli.main import main
from intriguing.cli.options import Method
from intriguing.data.named import load_data
from intriguing.distortion.minimum import METHODS, minimum_distortion
from intriguing.distortion.targets import choose_targets
from intriguing.models.load import load_model
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import CurvePoint, ImageRow, LossRow
from intriguing.results.store import read_run
from intriguing.runs import comparing
from intriguing.scale import attack
from tests.cli import workshop
from tests.cli.workshop import COMMAND
from tests.shown import shown


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    workshop.furnish(folder)
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setattr(comparing, "shard_size", lambda device: 10)
    assert main(COMMAND) == 0
    yield folder
    patch.undo()


@pytest.fixture
def calls(monkeypatch):
    """The methods that are run while the test lasts, one entry a shard."""
    made = []

    def counted(*args, **more):
        made.append(args[4].method)
        return minimum_distortion(*args, **more)

    monkeypatch.setattr(attack, "minimum_distortion", counted)
    return made


@pytest.fixture
def undrawn(monkeypatch):
    """No report is drawn: it takes longer than these computations."""
    monkeypatch.setattr("intriguing.cli.running.finish", lambda folder, **more: None)


def out(option: str, *more: str) -> list[str]:
    """The command with another folder, and further options after it."""
    words = [option if word == "out" else word for word in COMMAND]
    return [*words[: words.index("--methods")], *more]


def by_method(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    images = read_columns(folder, ImageRow)
    return {
        method: {name: column[images["method"] == method] for name, column in images.items()}
        for method in dict.fromkeys(images["method"])
    }


def test_the_names_in_the_help_are_the_methods():
    assert set(Method.__args__) == set(METHODS)


def test_every_method_gets_the_same_images_and_goals(room):
    data = load_data("digits").test.first(40)
    targets = choose_targets(data.labels, 10, torch.Generator().manual_seed(0))
    rows = by_method(room / "out")
    assert tuple(rows) == workshop.METHODS
    model = load_model("fc10.safetensors")
    for method, columns in rows.items():
        assert columns["image_id"].tolist() == list(data.ids)
        assert columns["target"].tolist() == targets.tolist()
        budget = None if method == "paper" else 60
        if method == "noise":
            continue  # its draws are those of a shard
        alone = minimum_distortion(model, data.images, data.labels, targets, method, budget=budget)
        expected = alone.l2.masked_fill(~alone.success, torch.nan)
        np.testing.assert_allclose(columns["l2"], expected, rtol=1e-4)


def test_the_tables_say_what_the_rows_do(room):
    rows = by_method(room / "out")
    cells = {(c.analysis, c.row, c.column): c for c in shown(room / "out")}
    lengths = {m: np.where(c["success"], c["l2"], np.inf) for m, c in rows.items()}
    shortest = np.min(list(lengths.values()), axis=0)
    for method, l2 in lengths.items():
        assert cells["compare", method, "Found"].count == np.isfinite(l2).sum()
        near = np.isfinite(l2) & (l2 <= 1.001 * shortest)
        assert cells["compare", method, "Shortest"].count == near.sum()
        mean = cells["compare", method, "Mean L2"]
        assert mean.value == pytest.approx(l2[np.isfinite(l2)].mean(), rel=1e-6)
        spent = rows[method]["forward_passes"] + rows[method]["backward_passes"]
        assert cells["compare", method, "Passes"].value == pytest.approx(spent.mean() / 2)
        if np.isfinite(np.median(l2)):
            median = cells["compare", method, "Median L2"]
            assert median.value == pytest.approx(np.median(l2), rel=1e-6)
            assert median.low <= median.value <= median.high
        else:
            assert ("compare", method, "Median L2") not in cells
    best = max(lengths, key=lambda m: cells["compare", m, "Shortest"].count)
    for method in set(lengths) - {best}:
        pair = cells["paired", f"{method} beside {best}", "Mean difference of L2"]
        both = np.isfinite(lengths[method]) & np.isfinite(lengths[best])
        assert pair.count == both.sum()
        assert pair.value == pytest.approx((lengths[method] - lengths[best])[both].mean(), rel=1e-4)


def test_every_image_lost_is_listed_with_both_lengths(room):
    rows = by_method(room / "out")
    lengths = {m: np.where(c["success"], c["l2"], np.inf) for m, c in rows.items()}
    shortest = np.min(list(lengths.values()), axis=0)
    expected = {
        (method, image)
        for method, l2 in lengths.items()
        for image, ours, least in zip(rows[method]["image_id"], l2, shortest, strict=True)
        if ours > 1.001 * least
    }
    losses = read_rows(room / "out", LossRow)
    assert {(loss.method, loss.image_id) for loss in losses} == expected
    assert len(losses) == len(expected) > 40
    for loss in losses:
        image = rows[loss.method]["image_id"].tolist().index(loss.image_id)
        assert loss.l2 == pytest.approx(lengths[loss.method][image], rel=1e-6)
        assert loss.shorter_l2 == pytest.approx(lengths[loss.shorter][image], rel=1e-6)
    for method in lengths:
        with (room / f"out/report/tables/lost-by-{method}.csv").open() as file:
            assert len(list(csv.DictReader(file))) == sum(key[0] == method for key in expected)


def test_curves_end_where_the_table_does(room):
    cells = {(c.row, c.column): c for c in shown(room / "out") if c.analysis == "compare"}
    last = {point.method: point for point in read_rows(room / "out", CurvePoint)}
    for method in workshop.METHODS:
        assert last[method].found == cells[method, "Found"].count
        assert last[method].within == cells[method, "Shortest"].count


def test_another_method_later_is_all_that_is_computed(room, calls, undrawn):
    command = out("grows", "--methods", "ddn", "noise")
    assert main(command) == 0
    before = by_method(room / "grows")["ddn"]
    calls.clear()
    assert main([*command, "pdgd"]) == 0
    assert calls == ["pdgd"] * 4
    after = by_method(room / "grows")
    assert tuple(after) == ("ddn", "noise", "pdgd")
    np.testing.assert_array_equal(after["ddn"]["l2"], before["l2"])


def test_untargeted_the_paper_tries_every_class_and_the_report_says_so(room, undrawn):
    few = [word if word != "40" else "6" for word in out("any", "--methods", "paper", "ddn")]
    assert main([*few, "--targets", "untargeted"]) == 0
    data, model = load_data("digits").test.first(6), load_model("fc10.safetensors")
    nearest = minimum_distortion(model, data.images, data.labels, "all", "paper")
    rows = by_method(room / "any")
    np.testing.assert_allclose(rows["paper"]["l2"], nearest.l2, rtol=1e-4)
    notes = " ".join(read_run(room / "any").notes)
    assert "tried every wrong class" in notes
    assert "Any wrong class counts" in notes


WRONG = [
    (["--methods", "ddn", "pdgd", "ddn"], "names ddn more than once"),
    (["--methods", "ddn"], "two or more"),
    (["--methods", "ddn", "pdgd", "--budget", "0"], "allows no pass"),
    (["--methods", "ddn", "pdgd", "--targets", "near"], "untargeted"),
    (["--methods", "ddn", "pdgd", "--targets", "10"], "classes 0 … 9"),
    (["--methods", "ddn", "pdgd", "--levels", "1"], "levels=1"),
    (["--methods", "ddn", "pdgd", "--limit", "0"], "1 or more"),
]


@pytest.mark.parametrize(("options", "words"), WRONG, ids=str)
def test_wrong_input_is_refused_with_the_fix_before_any_work(room, capsys, calls, options, words):
    assert main(["compare", "fc10.safetensors", "digits", "--out", "wrong", *options]) == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out
    assert not (room / "wrong").exists()
    assert not calls


def test_an_unknown_method_is_answered_with_the_known_ones(room, capsys):
    with pytest.raises(SystemExit) as end:
        main(["compare", "fc10.safetensors", "digits", "--methods", "ddn", "pgd"])
    assert end.value.code == 2
    assert "pdgd" in capsys.readouterr().err


def test_kills_leave_no_trace(room, tmp_path, calls, undrawn, monkeypatch):
    shutil.copy(room / "fc10.safetensors", tmp_path)
    chance = random.Random()
    for _ in range(2):
        process, steps = workshop.start(tmp_path)
        with suppress(EOFError):
            for _ in range(chance.randrange(1, 14)):
                steps.recv()
        time.sleep(chance.uniform(0, 0.03))
        process.kill()
        process.join()

    monkeypatch.chdir(tmp_path)
    done = list((tmp_path / "out/shards").rglob("0*.safetensors"))
    assert main(COMMAND) == 0
    assert len(calls) == 16 - len(done)
    for rows in ("images.parquet", "curves.parquet", "losses.parquet"):
        ours, theirs = (folder / "out/rows" / rows for folder in (tmp_path, room))
        assert ours.read_bytes() == theirs.read_bytes()
    timed = [[c for c in shown(f / "out") if c.unit != "ms"] for f in (tmp_path, room)]
    assert timed[0] == timed[1]
