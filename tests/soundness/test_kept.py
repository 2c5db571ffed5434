"""What a training or an analysis kept is read again only where it was made of the same things."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from intriguing.data.named import load_data
from intriguing.models.weights import model_sha256
from intriguing.paper import layers
from intriguing.paper.config import Job
from intriguing.paper.hardening.config import HardeningConfig, trials
from intriguing.paper.hardening.network import certified_radii, train_trial
from intriguing.paper.network import shortened, trained
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.paper.table5 import Subject, measure
from intriguing.results.rows import Metric, where
from intriguing.runs import distinction
from intriguing.runs.provenance import record_model
from intriguing.runs.run import Run
from intriguing.runs.stage import Network
from intriguing.runs.study import Study, prepare


@pytest.fixture(scope="module")
def digits():
    return load_data("digits").train.first(200)


def test_a_network_is_trained_again_where_anything_about_it_changed(digits, tmp_path):
    recipe = shortened(MNIST_NETWORKS[0], 3)
    asked = [
        (recipe, 0, digits), (recipe, 0, digits.first(150)), (recipe, 1, digits),
        (replace(recipe, decay=(1e-2,)), 0, digits), (replace(recipe, gain=1.0), 0, digits),
        (replace(recipe, stop=replace(recipe.stop, max_iterations=5)), 0, digits),
    ]  # fmt: skip
    for number, (one, seed, data) in enumerate(asked):
        found = []
        for folder in ("shared", f"own-{number}"):
            path = tmp_path / folder
            job = Job(replace(one, slug="net"), 0, "train", None)
            if seed:
                job = Job(replace(one, slug=f"net-{seed}"), seed, "train", None)
            model, _ = trained(job, one, data, path, "cpu")
            found.append(model_sha256(model))
        assert found[0] == found[1], number


def test_a_network_of_the_study_is_trained_again_with_other_settings(digits, tmp_path):
    trial = next(iter(trials(HardeningConfig("smoke"))))
    family = trial.family.scaled(2, 1)
    asked = [family, replace(family, decay=(1e-2,) * 3), family.scaled(3, 1)]
    asked.append(replace(family, schedule=replace(family.schedule, rate=0.5)))
    weights = []
    for one in asked:
        made = train_trial(replace(trial, family=one), digits, digits, tmp_path, "cpu")
        weights.append(model_sha256(made.model))
        with torch.no_grad():
            radii = certified_radii(made, digits.first(20), tmp_path)
            right = made.model(digits.images[:20]).argmax(1) == digits.labels[:20]
        assert torch.equal(radii > 0, right)
    assert len(set(weights)) == len(asked)


def test_bounds_are_of_the_network_that_is_asked(tmp_path):
    uppers = []
    for scale, activation in ((1.0, nn.ReLU()), (3.0, nn.ReLU()), (3.0, nn.LeakyReLU(3.0))):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 3), activation, nn.Linear(3, 2)).eval()
        net[0].weight.data.mul_(scale)
        subject = Subject("bounds", "net", net, (4,), record_model("net", net))
        rows = where(measure(subject, tmp_path).rows, metric=Metric.UPPER_BOUND)
        uppers.append(max(row.value for row in rows))
    assert uppers[1] == pytest.approx(3 * uppers[0], rel=0.3)
    assert len(set(uppers)) == 3
    kept = tmp_path / "stages" / "kept.json"
    layers.remember(kept, "one", layers.Layers((), 1.0, 1.0), 0.0)
    assert layers.recall(kept, "one") is not None
    assert layers.recall(kept, "other") is None


def test_claims_are_of_the_features_they_were_measured_in(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.ReLU(), nn.Linear(6, 10)).eval()
    images = load_data("digits").test.first(60)
    study = Study(layers=("2",), k=3, measure="features", rotations=5, untrained=0, paths=0)

    def claim(features: torch.Tensor, folder: Path, name: str = "net") -> object:
        asked = prepare(study, net, images, features)
        folder.mkdir(exist_ok=True)
        named = Network(name, net)
        made = Run(folder).keep(distinction.Claim(named, (named,), images, asked, features)).made
        (row,) = made.rows
        return row

    one, other = (torch.randn(60, 5, generator=torch.Generator().manual_seed(s)) for s in (1, 2))
    first, second = (claim(vectors, tmp_path / "shared") for vectors in (one, other))
    assert first != second == claim(other, tmp_path / "own")
    assert claim(other, tmp_path / "shared", "renamed").network == "renamed"
