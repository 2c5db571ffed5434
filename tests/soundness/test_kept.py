"""What a training or an analysis kept is read again only where it was made of the same things."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from intriguing.data.named import load_data
from intriguing.hardening.hardened import Hardened
from intriguing.models.schedule import Schedule
from intriguing.models.weights import model_sha256
from intriguing.paper.hardening.config import HardeningConfig, trials
from intriguing.paper.hardening.judging import Certified
from intriguing.paper.materials import shortened
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.paper.table5 import Table5
from intriguing.results.measured import Metric, where
from intriguing.runs import distinction
from intriguing.runs.run import Run
from intriguing.runs.stage import Network
from intriguing.runs.study import Study, prepare
from intriguing.runs.training import Training


@pytest.fixture(scope="module")
def digits():
    return load_data("digits").train.first(200)


def test_a_network_is_trained_again_where_anything_about_it_changed(digits, tmp_path):
    recipe, plain = shortened(MNIST_NETWORKS[0], 3), Hardened()
    scheduled = replace(recipe, schedule=Schedule(2, rate=0.1))
    asked = [
        Training("net", 0, one, images, seed, hardened=hardened)
        for one, seed, images, hardened in (
            (recipe, 0, digits, plain), (recipe, 0, digits.first(150), plain),
            (recipe, 1, digits, plain), (replace(recipe, decay=(1e-2,)), 0, digits, plain),
            (replace(recipe, stop=replace(recipe.stop, max_iterations=5)), 0, digits, plain),
            (scheduled, 0, digits, plain), (scheduled, 0, digits, Hardened(penalty=0.1)),
        )
    ]  # fmt: skip
    weights = []
    for number, training in enumerate(asked):
        found = []
        for folder in ("shared", f"own-{number}"):
            run = Run(tmp_path / folder)
            (record,) = run.keep(training).made.models
            found.append(model_sha256(run.model(training)))
            assert record.sha256 == found[-1]
        assert found[0] == found[1], number
        weights.append(found[0])
    assert len(set(weights)) == len(asked)


def test_a_network_of_the_study_is_certified_again_with_other_settings(digits, tmp_path):
    trial = next(iter(trials(HardeningConfig("smoke"))))
    family = trial.regime.scaled(2, 1)
    asked = [family, replace(family, decay=(1e-2,) * 3), family.scaled(3, 1)]
    asked.append(replace(family, schedule=replace(family.schedule, rate=0.5)))
    weights = []
    for one in asked:
        run, few = Run(tmp_path), digits.first(20)
        training = Training(one.name, 0, one.recipe, digits, 0, hardened=one.hardened)
        certified = Certified(training, few)
        run.keep(certified)
        model = run.model(training)
        weights.append(model_sha256(model))
        with torch.no_grad():
            right = model(few.images).argmax(1) == few.labels
        assert torch.equal(run.loaded(certified) > 0, right)
    assert len(set(weights)) == len(asked)


def test_bounds_are_of_the_network_that_is_asked(tmp_path):
    uppers = []
    for scale, activation in ((1.0, nn.ReLU()), (3.0, nn.ReLU()), (3.0, nn.LeakyReLU(3.0))):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(4, 3), activation, nn.Linear(3, 2)).eval()
        net[0].weight.data.mul_(scale)
        stage = Table5(Network("net", net), (4,), "net", papers=False)
        rows = where(Run(tmp_path).keep(stage).made.rows, metric=Metric.UPPER_BOUND)
        uppers.append(max(row.value for row in rows))
    assert uppers[1] == pytest.approx(3 * uppers[0], rel=0.3)
    assert len(set(uppers)) == 3


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
