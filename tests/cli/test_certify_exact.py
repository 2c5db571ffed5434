"""`intriguing certify --exact`: radii that end within a percent of an example."""

import numpy as np
import pytest

from intriguing.cli.main import main
from intriguing.results.parquet import read_columns
from intriguing.results.rows import CertificateRow, ProofRow

NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10))
    return net.eval()

def pools():
    return nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16, 10)).eval()
"""
COMMAND = ["certify", "net.py:build", "digits", "--limit", "24", "--no-semidefinite"]


@pytest.fixture
def room(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(NETWORK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_certified_and_found_are_the_same_to_a_percent(room, capsys):
    assert main([*COMMAND, "--exact", "10s", "--out", "out"]) == 0
    columns = read_columns(room / "out", CertificateRow)
    right = columns["label"] == columns["predicted"]
    assert right.any()
    ratio = columns["certified"][right] / columns["found"][right]
    assert ((ratio > 0.9899) & (ratio < 1)).all()
    assert set(np.array(columns["status"])[right]) == {"OPTIMAL"}
    proofs = read_columns(room / "out", ProofRow)
    assert list(proofs["image_id"]) == list(columns["image_id"])
    assert (proofs["nodes"][right] >= 9).all()  # one for each class, at least
    assert (proofs["nodes"][~right] == 0).all()
    assert (proofs["lower"][right] >= columns["certified"][right]).all()
    said = " ".join(capsys.readouterr().out.split())
    assert "Exact to 1 %" in said
    assert "branch and bound" in said
    assert "branch and bound" in (room / "out" / "report" / "index.html").read_text()
    shards = sorted((room / "out").glob("shards/*prove*/*.safetensors"))
    assert len(shards) == 6
    kept = {path: path.read_bytes() for path in shards}
    shards[0].unlink()
    assert main([*COMMAND, "--exact", "10s", "--out", "out"]) == 0
    assert all(path.read_bytes() == kept[path] for path in shards[1:])
    assert shards[0].exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["net.py:pools", "digits", "--exact", "5s"], "no chain of small layers"),
        (["net.py:build", "digits", "--exact", "soon"], "such as 60s or 2m"),
        (["net.py:build", "digits", "--exact", "5s", "--no-attack"], "leave out --no-attack"),
        (["net.py:build", "digits", "--seconds", "0"], "--seconds 0: give the time"),
        (["net.py:build", "digits", "--seconds", "5s", "--no-local"], "leave out --no-local"),
    ],
)
def test_what_cannot_be_done_is_said_before_any_work(room, capsys, words, said):
    assert main(["certify", *words, "--limit", "2", "--out", "out"]) == 2
    assert said in " ".join(capsys.readouterr().err.split())
    assert not (room / "out").exists()


def test_seconds_around_an_image_make_radii_larger(room):
    plain = ["certify", "net.py:build", "digits", "--limit", "24", "--no-attack"]
    radii = []
    for number, more in enumerate(([], ["--seconds", "9s"])):
        assert main([*plain, *more, "--out", f"seconds{number}"]) == 0
        radii.append(read_columns(room / f"seconds{number}", CertificateRow)["certified"])
    assert (radii[1] >= radii[0]).all()
    assert (radii[1] > 1.01 * radii[0]).any()
