"""The committed distances that are proved: no row contradicts another or its example."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from intriguing import certify, load_model
from intriguing.models.weights import model_sha256
from intriguing.results.parquet import read_rows

ROOT = Path(__file__).parents[1]
SCRIPT = ROOT / "benchmarks" / "exact_distances.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("exact_distances", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rows(script):
    return read_rows(script.OUT, script.Distance)


def test_no_row_contradicts_another(script, rows):
    assert rows
    assert script.contradictions(rows) == []


def test_contradictions_are_noticed(script, rows):
    row = next(row for row in rows if row.optimal and row.target < 0)
    wrong = [
        replace(row, lower=row.upper * 1.001),
        replace(row, lower=row.upper * 0.98),
        replace(row, fmn=row.lower * 0.999),
        replace(row, cw=row.upper * 0.9999),
    ]
    for one in wrong:
        assert script.contradictions([one])
    aimed = replace(row, target=(row.label + 1) % 10, lower=0.0, upper=row.lower * 0.99)
    assert any("any class" in said for said in script.contradictions([row, aimed]))


def test_examples_are_what_rows_say(script, rows):
    """The network is asked again, of every example that is kept."""
    kept = {(row.network, f"{row.image_id} {row.target}"): row for row in rows}
    seen = 0
    for file in sorted(script.OUT.glob("*-examples.safetensors")):
        name = file.name.removesuffix("-examples.safetensors")
        model = load_model(script.OUT / f"{name}.safetensors")
        tensors = load_file(file)
        for about in sorted({key.rsplit(" ", 1)[0] for key in tensors}):
            row = kept[name, about]
            assert row.weights == model_sha256(model)
            image, example = tensors[f"{about} image"] / 255, tensors[f"{about} example"]
            said = model(torch.stack([image, example])).argmax(1).tolist()
            assert said[0] == row.label
            assert said[1] != row.label if row.target < 0 else said[1] == row.target
            assert float(example.min()) >= 0
            assert float(example.max()) <= 1
            length = float((example.double() - image.double()).norm())
            assert length == pytest.approx(row.upper, rel=1e-5)
            seen += 1
    assert seen >= 16


def test_certificates_are_below_the_shortest(script, rows):
    """Radii that know nothing of any proof, of images that are kept."""
    shortest = {(row.network, row.image_id): row for row in rows if row.target < 0}
    for file in sorted(script.OUT.glob("*-examples.safetensors")):
        name = file.name.removesuffix("-examples.safetensors")
        images = {
            k.split(" ")[0]: v / 255 for k, v in load_file(file).items() if k.endswith("-1 image")
        }
        known = [shortest[name, image_id] for image_id in images]
        model = load_model(script.OUT / f"{name}.safetensors")
        labels = torch.tensor([row.label for row in known])
        radius = certify(
            model, torch.stack(list(images.values())), labels, semidefinite=False
        ).radius
        upper = torch.tensor([row.upper for row in known])
        assert (radius <= upper).all()
        assert (radius > 0.02 * upper).all()
