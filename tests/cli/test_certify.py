"""Certificates on the command line: exact on a linear network, never beaten, never lost."""

import csv
import math
import re
import shutil

import numpy as np
import pytest

from intriguing.cli.main import main
from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.models.load import load_model
from intriguing.results.parquet import read_columns
from intriguing.results.rows import CertificateRow, ImageRow
from intriguing.results.store import read_run
from intriguing.runs import certifying
from intriguing.scale import attack
from intriguing.spectral.certificates.certificate import Certifier
from tests.cli import workshop
from tests.shown import shown

COUNT = 60
COMMAND = ["certify", "fc10.safetensors", "digits", "--limit", str(COUNT), "--budget", "80"]


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    folder = tmp_path_factory.mktemp("room")
    workshop.furnish(folder)
    patch = pytest.MonkeyPatch()
    patch.chdir(folder)
    patch.setattr(certifying, "shard_size", lambda device: 180)
    assert main([*COMMAND, "--out", "out"]) == 0
    yield folder
    patch.undo()


@pytest.fixture
def work(monkeypatch):
    """What is computed while the test lasts, one entry a certification or a shard."""
    made = []

    def counted(name, function):
        def call(*args, **more):
            made.append(name)
            return function(*args, **more)

        return call

    monkeypatch.setattr(Certifier, "of", counted("certify", Certifier.of))
    monkeypatch.setattr(attack, "minimum_distortion", counted("attack", minimum_distortion))
    return made


@pytest.fixture
def undrawn(monkeypatch):
    """No report is drawn: it takes longer than these computations."""
    from intriguing.report.takeaway import NOTHING

    monkeypatch.setattr("intriguing.cli.running.finish", lambda folder, **more: NOTHING)


def test_on_a_linear_network_the_certificate_is_the_distance_to_the_boundary(room):
    test = load_data("digits").test.first(COUNT)
    layer = load_model("fc10.safetensors").layers[0]
    weight, bias = (p.detach().double().numpy() for p in (layer.weight, layer.bias))
    flat, labels = test.images.flatten(1).double().numpy(), test.labels.numpy()
    logits = flat @ weight.T + bias
    rows = read_columns(room / "out", CertificateRow)
    assert rows["image_id"].tolist() == list(test.ids)
    np.testing.assert_array_equal(rows["predicted"], logits.argmax(1))
    for i, label in enumerate(labels):
        others = [j for j in range(10) if j != label]
        gaps = np.array([logits[i, label] - logits[i, j] for j in others])
        lengths = np.array([np.linalg.norm(weight[label] - weight[j]) for j in others])
        exact = max((gaps / lengths).min(), 0.0)
        assert rows["certified"][i] <= exact * (1 + 1e-12)
        assert rows["certified"][i] == pytest.approx(exact, rel=1e-3, abs=1e-6)
        assert rows["margin"][i] == pytest.approx(gaps.min(), rel=1e-3, abs=1e-4)
        if gaps.min() > 0:
            assert rows["against"][i] == others[int((gaps / lengths).argmin())]


def test_nothing_is_found_closer_than_certified_and_what_is_wrong_is_at_zero(room):
    rows = read_columns(room / "out", CertificateRow)
    assert (rows["certified"] <= rows["found"]).all()
    wrong = rows["predicted"] != rows["label"]
    assert 0 < wrong.sum() < COUNT / 2
    assert (rows["certified"][wrong] == 0).all()
    assert (rows["found"][wrong] == 0).all()
    assert (rows["certified"][~wrong] > 0).all()
    assert set(rows["status"][wrong]) == {"ALREADY"}
    images = read_columns(room / "out", ImageRow)
    np.testing.assert_allclose(images["l2"], rows["found"], rtol=1e-6)


def test_the_tables_say_what_the_rows_do(room):
    rows = read_columns(room / "out", CertificateRow)
    cells = {(c.analysis, c.row, c.column): c for c in shown(room / "out")}
    right = rows["predicted"] == rows["label"]
    certified, found = rows["certified"][right], rows["found"][right]
    assert cells["certify", "fc10", "Clean accuracy"].value == pytest.approx(100 * right.mean())
    for column, values in (
        ("Median certified", certified),
        ("Median found", found),
        ("Certified/found", certified / found),
    ):
        assert cells["certify", "fc10", column].value == pytest.approx(np.median(values))
    assert cells["certify", "fc10", "Violations"].value == 0
    robust = [cell for cell in cells.values() if cell.analysis == "robust"]
    assert len(robust) >= 4
    for cell in robust:
        epsilon, distortion = (float(word.strip("()")) for word in cell.row.split())
        assert distortion == pytest.approx(epsilon / 8, abs=1e-4)
        values = rows["certified" if cell.column == "Certified" else "found"]
        assert cell.value == pytest.approx(100 * (values > epsilon).mean())


def test_the_report_lists_every_image_and_says_what_the_certificates_rest_on(room, capsys):
    assert main(["report", "out"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "This is proved" in shown
    assert "No example is closer than certified" in shown
    with (room / "out/report/tables/certificates.csv").open() as file:
        assert len(list(csv.DictReader(file))) == COUNT
    for name in ("sandwich", "accuracies"):
        assert (room / f"out/report/figures/{name}.png").exists()
    assert (room / "out/report/tables/robust.tex").exists()


def test_the_same_again_computes_nothing(room, work, undrawn):
    before = (room / "out/rows/certificates.parquet").read_bytes()
    assert main([*COMMAND, "--out", "out"]) == 0
    assert not work
    assert (room / "out/rows/certificates.parquet").read_bytes() == before


def test_an_interrupted_run_goes_on_and_ends_with_the_same_rows(room, work, undrawn, monkeypatch):
    def stop(*args, **more):
        if len(work) == 2:
            raise KeyboardInterrupt
        work.append("attack")
        return minimum_distortion(*args, **more)

    command = [*COMMAND, "--out", "stopped"]
    with monkeypatch.context() as patch:
        patch.setattr(attack, "minimum_distortion", stop)
        assert main(command) == 130
    assert work == ["certify", "attack"]
    assert read_run(room / "stopped").status == "running"
    work.clear()
    assert main(command) == 0
    assert work == ["attack"] * 2
    ours, theirs = (room / name / "rows/certificates.parquet" for name in ("stopped", "out"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_a_damaged_certificate_is_made_again(room, work, undrawn):
    shutil.copytree(room / "out", room / "damaged")
    path = room / "damaged/tensors/certificate-fc10.safetensors"
    path.write_bytes(path.read_bytes()[:-20])
    assert main([*COMMAND, "--out", "damaged"]) == 0
    assert work == ["certify"]
    before, after = (
        read_columns(room / name, CertificateRow)["certified"] for name in ("out", "damaged")
    )
    np.testing.assert_array_equal(after, before)


def test_certificates_alone_first_and_the_attack_later(room, work, undrawn):
    command = [*COMMAND, "--out", "later", "--epsilon", "0.3"]
    assert main([*command, "--no-attack"]) == 0
    assert work == ["certify"]
    rows = read_columns(room / "later", CertificateRow)
    assert np.isnan(rows["found"]).all()
    assert set(rows["status"]) == {"NOT_SEARCHED"}
    columns = {cell.column for cell in shown(room / "later")}
    assert columns == {"Clean accuracy", "Median certified", "Certified"}
    work.clear()
    assert main(command) == 0
    assert work == ["attack"] * 3
    both = read_columns(room / "later", CertificateRow)
    np.testing.assert_array_equal(both["certified"], rows["certified"])
    assert [c.row for c in shown(room / "later") if c.analysis == "robust"] == [
        "0.3 (0.0375)", "0.3 (0.0375)",
    ]  # fmt: skip
    assert main([*command, "--no-attack"]) == 2


def test_a_wrong_certificate_is_shouted_and_the_exit_code_is_1(room, monkeypatch, capsys):
    from dataclasses import replace

    certificates = Certifier.certificates

    def boasting(*args, **more):
        made = certificates(*args, **more)
        return replace(made, radius=made.radius * 1000)

    monkeypatch.setattr(Certifier, "certificates", boasting)
    assert main([*COMMAND, "--out", "boasting"]) == 1
    shown = capsys.readouterr()
    (said,) = [line for line in shown.err.splitlines() if line.startswith("intriguing: ")]
    assert re.search(
        r"UnsoundBound: fc10, image digits/\d+: certified [\d.]+, but .* lies at [\d.]+", said
    )
    assert "This is proved" not in shown.out
    assert not (room / "boasting/report/index.html").exists()


def test_round_epsilons_run_from_little_certified_to_most_found():
    certified, found = np.geomspace(0.01, 0.4, 50), np.geomspace(0.3, 2.5, 50)
    assert certifying.round_epsilons(certified, found) == (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
    unsearched = certifying.round_epsilons(certified, np.full(50, np.nan))
    assert unsearched == (0.02, 0.05, 0.1, 0.2)
    alike = certifying.round_epsilons(np.full(3, 0.3), np.full(3, 0.31))
    assert alike == (0.3,)
    assert certifying.round_epsilons(np.zeros(3), np.full(3, math.inf)) == ()


WRONG = [
    (["nope.safetensors", "digits"], "no file nope.safetensors"),
    (["fc10.safetensors", "cifar"], "mnist, mnist-5k, digits"),
    (["fc10.safetensors", "mnist-5k"], "images of the size it was made for"),
    (["fc10.safetensors", "digits", "--budget", "0"], "allows no pass"),
    (["fc10.safetensors", "digits", "--epsilon", "0.1", "0"], "distances above 0"),
    (["fc10.safetensors", "digits", "--limit", "-1"], "1 or more"),
    (["nan.py:build", "digits"], "NaN or infinite"),
    (["nan.py:choosing", "digits"], "nan.py:choosing: the network cannot be traced"),
]


@pytest.mark.parametrize(("arguments", "words"), WRONG, ids=lambda value: " ".join(value)[:60])
def test_wrong_input_is_refused_with_the_fix_before_any_work(room, work, capsys, arguments, words):
    (room / "nan.py").write_text(
        "from torch import nn\n"
        "def build():\n"
        "    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))\n"
        "    net[1].bias.data[:] = float('nan')\n"
        "    return net\n"
        "class Choosing(nn.Linear):\n"
        "    def forward(self, x):\n"
        "        x = x.flatten(1)\n"
        "        return super().forward(x if x.sum() > 1 else -x)\n"
        "def choosing():\n"
        "    return Choosing(64, 10)\n"
    )
    assert main(["certify", *arguments, "--out", "wrong"]) == 2
    captured = capsys.readouterr()
    # An untrained network's classes may look misnumbered: that is a warning before the error.
    (error,) = [line for line in captured.err.splitlines() if not line.startswith("Warning: ")]
    assert words in error
    assert not captured.out
    assert not (room / "wrong").exists()
    assert not work
