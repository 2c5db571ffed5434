"""The bounds of small networks as the command line tells them, beside numpy's singular values."""

import math

import numpy as np
import pytest

from intriguing.cli import bounding
from intriguing.cli.main import main
from intriguing.errors import InputError
from intriguing.models.load import load_model
from intriguing.results.parquet import read_rows
from intriguing.results.rows import LayerRow
from intriguing.results.store import read_run, read_tensors
from intriguing.runs import bounding as bounds
from tests.cli import workshop

NETWORKS = """
import torch
from torch import nn

def conv():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 3, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(48, 10))

class Odd(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.last = nn.Linear(64, 8), nn.Linear(8, 10)
    def forward(self, x):
        return self.last(torch.erfinv(torch.tanh(self.first(x.flatten(1))) / 2))

class Choosing(nn.Linear):
    def forward(self, x):
        x = x.flatten(1)
        if x.sum() > 1:
            return super().forward(x)
        return super().forward(-x)

def odd():
    return Odd()

def choosing():
    return Choosing(64, 10)

def broken():
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
    network[1].weight.data[3, 3] = float("nan")
    return network
"""


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    workshop.furnish(folder)
    (folder / "nets.py").write_text(NETWORKS)
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    yield folder
    patch.undo()


@pytest.fixture
def undrawn(monkeypatch):
    """No report is drawn: it takes longer than these computations."""
    monkeypatch.setattr("intriguing.cli.running.finish", lambda folder, **more: None)


def test_the_bound_of_a_linear_network_is_its_norm_and_the_table_says_so(room, capsys):
    assert main(["spectrum", "fc10.safetensors", "--out", "one"]) == 0
    weight = load_model("fc10.safetensors").layers[0].weight.detach().double().numpy()
    norms = np.linalg.svd(weight, compute_uv=False)
    rows = {row.kind: row for row in read_rows(room / "one", LayerRow)}
    for kind in ("linear", "network", "product"):
        assert rows[kind].upper >= norms[0]
        assert rows[kind].upper == pytest.approx(norms[0], rel=1e-6)
        assert rows[kind].guaranteed
    assert rows["network"].lower == pytest.approx(norms[0], rel=1e-4)
    assert rows["network"].lower <= rows["network"].upper
    values, words = read_tensors(room / "one", "spectrum-fc10")
    (spectrum,) = values.values()
    np.testing.assert_allclose(spectrum, norms, rtol=1e-6)
    assert words["kind"] == "spectrum"
    shown = capsys.readouterr().out
    assert "64×10" in shown
    assert "the whole network" in shown
    assert "the bound is at most 1.00 times too large" in " ".join(shown.split())
    assert (room / "one/report/figures/bounds.svg").exists()
    assert (room / "one/report/figures/spectrum-fc10.png").exists()
    run = read_run(room / "one")
    assert (run.status, run.config["input"], run.data) == ("complete", "64", ())


def test_data_gives_the_shape_and_lower_bounds(room, undrawn):
    options = ["--data", "digits", "--limit", "5", "--out", "seen"]
    assert main(["spectrum", "nets.py:conv", *options]) == 0
    run = read_run(room / "seen")
    assert run.config["input"] == "1,8,8"
    assert run.data[0].images == 5
    rows = read_rows(room / "seen", LayerRow)
    for row in rows:
        assert not row.lower > row.upper
    network = next(row for row in rows if row.kind == "network")
    assert 0 < network.lower <= network.upper < math.inf
    convolution = next(row for row in rows if row.kind == "convolution")
    assert (convolution.size, convolution.stride) == ("1×3×3×3", "2")


def test_the_same_again_computes_nothing_but_prints(room, monkeypatch, capsys):
    assert main(["spectrum", "fc10.safetensors", "--out", "one"]) == 0
    capsys.readouterr()

    def fail(*args, **more):
        raise AssertionError

    monkeypatch.setattr(bounds, "lipschitz_report", fail)
    assert main(["spectrum", "fc10.safetensors", "--out", "one"]) == 0
    assert "64×10" in capsys.readouterr().out
    with pytest.raises(AssertionError):
        main(["spectrum", "fc10.safetensors", "--out", "one", "--fresh"])


def test_an_unknown_operation_is_infinite_and_named_with_the_way_out(room, capsys):
    assert main(["spectrum", "nets.py:odd", "--input", "64", "--out", "odd"]) == 0
    rows = read_rows(room / "odd", LayerRow)
    network = next(row for row in rows if row.kind == "network")
    assert network.upper == math.inf
    assert not network.guaranteed
    unknown = [row for row in rows if row.kind not in ("network", "product")]
    assert sum(math.isinf(row.upper) for row in unknown) == 1
    assert sum(row.kind == "linear" and math.isfinite(row.upper) for row in unknown) == 2
    shown = " ".join(capsys.readouterr().out.split())
    assert "∞" in shown
    assert "erfinv" in shown
    assert "register_bound" in shown


def test_what_only_passes_on_is_shown_when_asked_for(room, capsys):
    command = ["spectrum", "nets.py:conv", "--input", "1,8,8", "--out", "all"]
    assert main(command) == 0
    folded = capsys.readouterr().out
    assert main([*command, "--all-layers"]) == 0
    whole = capsys.readouterr().out
    assert "not shown: " in folded
    assert "not shown: " not in whole
    assert len(whole.splitlines()) > len(folded.splitlines())


WRONG = [
    (["nope.safetensors"], "no file nope.safetensors"),
    (["fc10"], "intriguing train fc10"),
    (["nets.py:conv"], "nets.py:conv does not say what shape its images have; give it: --input"),
    (["nets.py:conv", "--input", "one"], "--input one is no shape"),
    (["nets.py:conv", "--input", "1,-8,8"], "is no shape"),
    (["nets.py:conv", "--input", "3,8,8"], "does not take an image of shape 3,8,8"),
    (["fc10.safetensors", "--input", "65"], "does not take an image of shape 65"),
    (["nets.py:conv", "--input", "1,8,9", "--data", "digits"], "leave --input out, or --data"),
    (["fc10.safetensors", "--data", "cifar"], "mnist, mnist-5k, digits"),
    (["fc10.safetensors", "--data", "mnist-5k"], "images of the size it was made for"),
    (["fc10.safetensors", "--data", "digits", "--limit", "0"], "1 or more"),
    (["fc10.safetensors", "--domain", "1"], "--domain 1 is no interval"),
    (["fc10.safetensors", "--domain", "1,0"], "empty"),
    (["nets.py:broken", "--input", "64"], "NaN or infinite: 1.weight"),
    (["nets.py:missing", "--input", "64"], "no function 'missing'"),
    (["nets.py:choosing", "--input", "64"], "nets.py:choosing: the network cannot be traced"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_wrong_input_is_refused_with_the_fix_before_any_work(room, capsys, arguments, words):
    assert main(["spectrum", *arguments, "--out", "wrong"]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert words in captured.err
    assert not captured.out
    assert not (room / "wrong").exists()


def test_shapes_and_domains_are_read_as_people_write_them():
    assert bounding.parse_shape("3,224,224") == (3, 224, 224)
    assert bounding.parse_shape("3x32×32") == (3, 32, 32)
    assert bounding.parse_shape("(784)") == (784,)
    assert (bounding.parse_domain("-1,1").lower, bounding.parse_domain("0, 1").upper) == (-1, 1)
    for text in ("", "3,,3", "0,3", "3.5"):
        with pytest.raises(InputError):
            bounding.parse_shape(text)
