"""A network trained by minibatches in a reproduction: shortened, planned, kept."""

from pathlib import Path

import pytest

from intriguing.cli.estimate import plan
from intriguing.data.named import load_data
from intriguing.models.schedule import Schedule
from intriguing.models.weights import model_sha256
from intriguing.paper import network
from intriguing.paper.config import SCALES, Job, ReproduceConfig
from intriguing.paper.network import make_network, shortened, split_sets
from intriguing.training.recipe import Recipe

CONV = Recipe("CONV", "conv", "conv4-6-20-10", (1e-4,) * 4, schedule=Schedule(6, rate=0.1))
JOB = Job(CONV, 0, "train", None)


def test_a_trial_takes_one_epoch() -> None:
    assert shortened(CONV, None) == CONV
    schedule = shortened(CONV, 20).schedule
    assert schedule is not None
    assert (schedule.epochs, schedule.warmup, schedule.rate) == (1, 1.0, 0.1)


def test_it_is_trained_once_and_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sets = split_sets(SCALES["smoke"], load_data("digits"), 0)
    made = make_network(JOB, sets, SCALES["smoke"], ReproduceConfig(), tmp_path)
    assert made.stages[0].forward_passes == len(sets.train)
    assert made.record.architecture == "conv4-6-20-10"

    def never(*args: object, **more: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr(network, "train_network", never)
    again = make_network(JOB, sets, SCALES["smoke"], ReproduceConfig(), tmp_path)
    assert model_sha256(again.model) == model_sha256(made.model) == made.record.sha256
    assert again.record.test_error == made.record.test_error


def test_its_plan_counts_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("intriguing.cli.estimate.jobs", lambda asked: [JOB])
    (planned,) = plan(ReproduceConfig(items=("filters",), scale="quick"))
    assert (planned.title, planned.trained_on, planned.attacked_on) == ("CONV", 4000, 0)
    assert 0 < planned.seconds < 60
