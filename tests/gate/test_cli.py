"""`intriguing gate` from the command line: exit codes, baselines that are folders, engines."""

from pathlib import Path

import pytest
import torch

from intriguing.cli.main import main
from intriguing.results.gate import GateRow, RulingRow
from intriguing.results.parquet import read_rows

NETWORK = """
import torch
from torch import nn

def build(scale=1.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    model[1].weight.data = torch.randn(10, 64, generator=generator)
    model[1].bias.data = torch.zeros(10)
    return model.eval()

def other():
    return build(seed=1)

def rounded():
    class Rounded(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = build()
        def forward(self, x):
            return self.net(x + (torch.round(16 * x) / 16 - x).detach())
    return Rounded().eval()
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures of no classes, so that a network's own are the true ones."""
    from intriguing.data.png import write_png

    folder = tmp_path_factory.mktemp("cli")
    (folder / "net.py").write_text(NETWORK)
    pictures = torch.rand(40, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    for number, picture in enumerate(pictures):
        write_png(folder / "pictures" / f"{number:02d}.png", picture)
    return folder


def gate(place: Path, *words: str, name: str = "build") -> tuple[int, Path]:
    """The exit code, and the results folder."""
    out = place / "-".join(("out", name, *words)).replace("/", "_")
    call = ["gate", f"{place / 'net.py'}:{name}", f"folder:{place / 'pictures'}", *words]
    more = ["--input", "1,8,8", "--sample", "2", "--sample-budget", "20", "--out", str(out)]
    try:
        return main([*call, *more]), out
    except SystemExit as ended:
        return int(ended.code or 0), out


def test_the_exit_code_is_the_verdict(place: Path, capsys: pytest.CaptureFixture[str]):
    assert gate(place, "--at-least", "0.0001")[0] == 0
    assert gate(place, "--at-least", "0.5")[0] == 1
    code, out = gate(place, "--at-least", "0.0001", name="rounded")
    assert code == 3
    assert read_rows(out, RulingRow)[0].refused
    assert "no pass is given" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "ask one thing"),
        (("--no-worse-than", "5%"), "belong together"),
        (("--against", "x.safetensors", "--no-worse-than", "five"), "give a share such as 5%"),
        (("--against", ".", "--no-worse-than", "5%"), "without run.json"),
    ],
)
def test_wrong_input_is_one_line(
    place: Path, words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
):
    assert gate(place, *words)[0] == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_the_results_of_an_attack_are_a_baseline(place: Path, capsys: pytest.CaptureFixture[str]):
    data, earlier = f"folder:{place / 'pictures'}", str(place / "attack")
    words = ["--budget", "40", "--input", "1,8,8", "--out", earlier]
    attack = ["attack", f"{place / 'net.py'}:build", data, *words]
    assert main([*attack, "--targets", "untargeted"]) == 0
    against = ("--against", earlier, "--no-worse-than", "5%")
    code, out = gate(place, *against)
    assert code == 0
    known = dict(zip(*_lengths(Path(earlier)), strict=True))
    for row in read_rows(out, GateRow):
        assert row.baseline == pytest.approx(known[row.image_id])
        assert row.near == "not near"
    assert read_rows(out, RulingRow)[0].budget == 40  # searched as the baseline was
    assert gate(place, *against, "--limit", "20")[0] == 2
    assert "of other images" in capsys.readouterr().err
    assert main([*attack, "--targets", "random", "--fresh"]) == 0
    assert gate(place, *against, "--seed", "1")[0] == 2
    assert "any wrong class" in capsys.readouterr().err


def test_the_results_of_an_audit_are_a_baseline(place: Path, capsys: pytest.CaptureFixture[str]):
    data, earlier = f"folder:{place / 'pictures'}", place / "audit"
    words = ["--images", "12", "--budget", "30", "--input", "1,8,8", "--out", str(earlier)]
    skip = ["--skip", "preflight", "noise", "transfer", "certify", "spectrum", "units"]
    network = f"{place / 'net.py'}:build"
    assert main(["audit", network, "--data", data, *words, *skip]) == 0
    against = ("--against", str(earlier), "--no-worse-than", "5%")
    code, out = gate(place, *against)
    assert code == 0
    known = dict(zip(*_lengths(earlier), strict=True))
    rows = read_rows(out, GateRow)
    assert {row.image_id for row in rows} <= set(known)
    assert all(row.baseline == pytest.approx(known[row.image_id]) for row in rows)
    assert "Compared on the 12 images" in (out / "run.json").read_text()
    assert read_rows(out, RulingRow)[0].budget == 30
    assert main(["audit", network, f"{network[:-5]}other", "--data", data, *words[:-1],
                 str(place / "two"), *skip]) == 0  # fmt: skip
    assert gate(place, "--against", str(place / "two"), "--no-worse-than", "5%")[0] == 2
    assert "an audit of 2 networks" in capsys.readouterr().err


def test_the_first_searches_of_a_gate_are_a_baseline(place: Path):
    _, earlier = gate(place, "--at-least", "0.01")
    code, out = gate(place, "--against", str(earlier), "--no-worse-than", "5%")
    assert code == 0
    known = {row.image_id: row.first for row in read_rows(earlier, GateRow)}
    for row in read_rows(out, GateRow):
        assert row.baseline == pytest.approx(known[row.image_id])
    assert read_rows(out, RulingRow)[0].budget == 10


def _lengths(folder: Path) -> tuple[list[str], list[float]]:
    from intriguing.results.parquet import read_columns
    from intriguing.results.rows import ImageRow

    columns = read_columns(folder, ImageRow, ["image_id", "l2"])
    return columns["image_id"].tolist(), columns["l2"].tolist()


def test_the_verdict_is_the_same_whoever_computes(place: Path):
    asked = ("--at-least", "0.06", "--seed", "3")
    here = gate(place, *asked)
    there = gate(place, *asked, "--engine", "processes", "--workers", "2")
    assert here[0] == there[0]
    assert str(read_rows(here[1], RulingRow)) == str(read_rows(there[1], RulingRow))
    rows = [str(read_rows(out, GateRow)) for _, out in (here, there)]
    assert rows[0] == rows[1]
