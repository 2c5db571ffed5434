"""A network trained by minibatches in a reproduction: shortened, planned, kept."""

from pathlib import Path

import pytest

from intriguing.cli.estimate import plan
from intriguing.data.named import load_data
from intriguing.models.schedule import Schedule
from intriguing.models.weights import model_sha256
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.materials import Materials, shortened
from intriguing.runs.run import Run
from intriguing.training.recipe import Recipe

CONV = Recipe("CONV", "conv", "conv4-6-20-10", (1e-4,) * 4, schedule=Schedule(6, rate=0.1))


def test_a_trial_takes_one_epoch() -> None:
    assert shortened(CONV, None) == CONV
    schedule = shortened(CONV, 20).schedule
    assert schedule is not None
    assert (schedule.epochs, schedule.warmup, schedule.rate) == (1, 1.0, 0.1)


def test_it_is_trained_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    training = Materials(ReproduceConfig(scale="smoke")).training(CONV, 0)
    made, run = Run(tmp_path).keep(training).made, Run(tmp_path)
    (record,) = made.models
    assert made.passes == (len(load_data("digits").train),) * 2
    assert record.architecture == "conv4-6-20-10"

    def never(*args: object, **more: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("intriguing.runs.training.train_network", never)
    (again,) = run.keep(training).made.models
    assert (again.sha256, again.test_error) == (record.sha256, record.test_error)
    assert model_sha256(run.model(training)) == record.sha256


def test_its_plan_counts_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "intriguing.cli.estimate.stages_of", lambda given: [given.training(CONV, 0)]
    )
    (planned,) = plan(ReproduceConfig(items=("filters",), scale="quick"))
    assert (planned.title, planned.trained_on, planned.attacked_on) == ("CONV", 4000, 0)
    assert 0 < planned.seconds < 60
