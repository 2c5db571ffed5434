"""`intriguing audit` and `intriguing explain` as they are typed, and what they say of mistakes."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.cli.main import main

NET = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, 4)).eval()
    net.shape = (3, 8, 8)
    return net

def dropout():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 4), nn.Dropout(0.5))
    net.shape = (3, 8, 8)
    net.eval = lambda: net
    return net

def one_class():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).eval()
    net.shape = (3, 8, 8)
    return net
"""
QUICK = ("--images", "3", "--budget", "20", "--skip", "units", "spectrum", "certify")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A network, and gray and coloured pictures of four classes, one of them broken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    random = np.random.default_rng(0)
    for label in range(4):
        for number in range(3):
            shape = (8, 8) if number == 0 else (8, 8, 3)
            pixels = random.integers(0, 256, shape).astype(np.uint8)
            path = tmp_path / "photos" / f"c{label}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(path)
    (tmp_path / "photos" / "c0" / "broken.png").write_bytes(b"no picture")
    return tmp_path


def test_an_audit_of_pictures_says_what_it_left_out_and_what_was_not_run(bench, capsys):
    assert main(["audit", "net.py:build", "--data", "photos", "--out", "out", *QUICK]) == 0
    out = capsys.readouterr().out
    assert "How often is it right?" in out
    assert "[not run]" in out
    page = (bench / "out" / "report" / "index.html").read_text()
    assert "broken.png" in page
    assert "It was left out on request" in page
    assert main(["explain", "out"]) == 0
    image = capsys.readouterr().out.split()[0]
    assert main(["explain", "out", image]) == 0
    told = capsys.readouterr().out
    assert "the nearest example for net:build" in told
    assert "path of c" in told


def test_a_dry_run_writes_nothing_and_scales(bench, capsys, monkeypatch):
    monkeypatch.setattr("intriguing.audit.probe.MOMENT", 0.05)
    command = ["audit", "net.py:build", "--data", "photos", "--out", "out", "--dry-run", *QUICK]
    assert main([*command, "--data-size", "1000000"]) == 0
    out = capsys.readouterr().out
    assert "1,000,000 images" in out
    assert "accuracy" in out
    assert "machine-hours; at best " in out
    assert not (bench / "out").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["net.py:build", "--data", "nowhere/"], "nowhere"),
        (["net.py:build", "net.py:build", "--data", "photos"], "different"),
        (["net.py:build", "--data", "digits"], "pictures in a folder or zip"),
        (["net.py:build", "--data", "photos", "--data-size", "5"], "--dry-run"),
        (["net.py:build", "--data", "photos", "--images", "soon"], "20min"),
        (["net.py:build", "--data", "photos", "--budget", "0"], "allows no pass"),
        (["net.py:build", "--data", "photos", "--passes", "9"], "is called --budget"),
        (["net.py:build", "--data", "photos", "--target-passes=9"], "is called --target-budget"),
        (["net.py:one_class", "--data", "photos"], "one number z decides between two classes"),
        (["net.py:dropout", "--data", "photos"], "training mode"),
        (["evil.pt", "--data", "photos"], "evil.pt"),
        (["squeezenet:evil.pt", "--data", "photos"], "evil.pt"),
    ],
)
def test_wrong_input_is_one_clear_sentence(bench, capsys, words, said):
    torch.save(Evil(), bench / "evil.pt")
    assert main(["audit", *words, "--out", "out"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") < 4
    assert said in message
    assert not (bench / "pwned").exists()
    assert not (bench / "out").exists()


class Evil:
    """What would run a command when it is unpickled."""

    def __reduce__(self):
        return (Path("pwned").touch, ())


def test_an_empty_folder_and_a_folder_of_no_audit(bench, capsys):
    (bench / "empty").mkdir()
    assert main(["audit", "net.py:build", "--data", "empty/"]) == 2
    assert "no pictures" in capsys.readouterr().err
    assert main(["explain", "empty"]) == 2
    assert "no results folder" in capsys.readouterr().err
