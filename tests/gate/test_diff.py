"""Two results folders side by side, through the command line."""

import json
import re
import shutil
from pathlib import Path

import pytest

from intriguing.cli import main as cli
from intriguing.distortion.search import Search
from intriguing.runs.attacking import plan
from intriguing.runs.examples import Examples, Summary
from intriguing.runs.request import Request, Work
from intriguing.runs.run import run_all
from intriguing.runs.stage import Network
from tests.gate.nets import Plane, images_at, spread


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same images attacked on a plane, and on one that is nearer by .05."""
    folder, images = tmp_path_factory.mktemp("runs"), images_at(spread(40))
    made = {}
    for name, shift in (("before", 0.0), ("after", 0.05)):
        network = Network(name, Plane(shift))
        found = Examples(network, plan(network.model, images, "untargeted", 0), Search(budget=20))
        asked = Request("attack", {"shift": shift}, networks=(network,), images=(images,))
        made[name] = folder / name
        run_all(Work(asked, [found, Summary(network, found)]), made[name])
    return made


def diff(before: Path, after: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert cli.main(["diff", str(before), str(after), "--out", str(out)]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_images_are_compared_one_by_one(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = diff(runs["before"], runs["after"], tmp_path, capsys)
    assert "before → after: the nearest example of the median image is" in said
    assert "nearer for 40, farther for 0" in said
    ratio = float(re.search(r"ratio ([\d.]+)", said)[1])
    middle = spread(40)[19:21]
    true = float((middle - 0.05).sum() / middle.sum())
    assert ratio == pytest.approx(true, abs=0.01)
    text = (tmp_path / "diff.md").read_text()
    assert "| attack |" in text
    assert "median distortion" in (tmp_path / "index.html").read_text()


def test_nothing_changed_between_a_run_and_itself(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    said = diff(runs["before"], runs["before"], tmp_path, capsys)
    assert "nearer for 0, farther for 0" in said
    assert "no change that these images show" in said
    assert " 0 changed by more than" in said


def test_runs_of_other_images_say_so(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    other = tmp_path / "other"
    shutil.copytree(runs["before"], other)
    record = json.loads((other / "run.json").read_text())
    record["data"][0]["sha256"] = "0" * 64
    (other / "run.json").write_text(json.dumps(record))
    assert "different sets of images" in diff(runs["before"], other, tmp_path / "out", capsys)


def test_what_is_no_results_folder_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["diff", str(tmp_path), str(tmp_path)]) == 2
    assert "no results folder" in capsys.readouterr().err
