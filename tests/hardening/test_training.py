"""Whole trainings with pools: they harden, and an interruption leaves no trace."""

import random
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.places import Place
from intriguing.hardening.train import HardenedTraining, train_with_pools
from intriguing.measures import Progress
from intriguing.models.families.convolutional import Convolutional
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.initial import draw_glorot, draw_he, weight_layers
from intriguing.models.schedule import Schedule
from intriguing.models.weights import model_sha256
from tests import forked

SCHEDULE = Schedule(5, rate=0.2, batch_size=300, input_dropout=0.1)
CONFIG = PoolConfig(start=1, refresh=0.4)


def _train(
    config: PoolConfig = CONFIG, conv: bool = False, **options: Any
) -> tuple[nn.Module, HardenedTraining]:
    digits, generator = load_data("digits").train, torch.Generator().manual_seed(0)
    model: nn.Module
    if conv:
        model = Convolutional((4, 6), 20, 10, (1, 8, 8))
        draw_he(weight_layers(model), generator)
    else:
        model = FullyConnected((64, 20, 15, 10))
        draw_glorot(model.layers, generator)
    schedule = replace(SCHEDULE, rate=0.05) if conv else SCHEDULE
    options = {"layers": ["input", 1, 2], "schedule": schedule, "decay": 1e-4} | options
    trained = train_with_pools(model, digits.images, digits.labels, config=config, **options)
    return model, trained


@pytest.mark.parametrize(
    ("config", "more"),
    [
        (CONFIG, {"penalty": 1e-3}),
        (replace(CONFIG, scheme="joint", search="gaussian"), {"conv": True}),
        (replace(CONFIG, search="ddn", budget=3), {"layers": ["1"], "penalty": 1e-3, "conv": True}),
    ],
)
def test_interrupted_anywhere_it_ends_with_the_same_bits(
    config: PoolConfig, more: dict[str, Any], tmp_path: Path
) -> None:
    expected, calm = _train(config, **more)
    for stop in (3, 5, 8, 20):  # an epoch has five steps
        path = tmp_path / f"{stop}.checkpoint"

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _train(config, checkpoint=path, progress=interrupt, **more)
        model, trained = _train(config, checkpoint=path, **more)
        assert model_sha256(model) == model_sha256(expected)
        assert trained.pools == calm.pools
        assert replace(trained.report, wall_seconds=0) == replace(calm.report, wall_seconds=0)


LONGER = replace(SCHEDULE, epochs=9)


def _longer(checkpoint: Path, tell: forked.Tell) -> None:
    model, _ = _train(schedule=LONGER, checkpoint=checkpoint, progress=lambda step: tell(step.done))
    tell(model_sha256(model))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX")
def test_killed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "net.safetensors"
    process, heard = forked.start(_longer, checkpoint)
    for _ in range(23):  # in the fifth of nine epochs
        heard.recv()
    time.sleep(random.uniform(0, 0.03))
    forked.kill(process)
    *steps, digest = forked.finish(*forked.start(_longer, checkpoint))
    expected, _ = _train(schedule=LONGER)
    assert digest == model_sha256(expected)
    assert len(steps) < 9 * 5 - 1


def test_seeds_schemes_and_searches_make_a_difference() -> None:
    changes: list[dict[str, Any]] = [
        {}, {"seed": 1}, {"config": replace(CONFIG, scheme="joint")},
        {"config": replace(CONFIG, refresh=0.1)}, {"config": replace(CONFIG, search="gaussian")},
        {"layers": ["input"]}, {"layers": []}, {"penalty": 0.01},
    ]  # fmt: skip
    schedule = replace(SCHEDULE, epochs=3)
    digests = {model_sha256(_train(schedule=schedule, **change)[0]) for change in changes}
    assert len(digests) == len(changes)
    torch.manual_seed(123)
    assert model_sha256(_train(schedule=schedule)[0]) in digests  # torch's own seed has no part


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.checkpoint"
    _train(checkpoint=path)
    for other in ({"layers": ["input"]}, {"config": PoolConfig(start=1)}, {"penalty": 0.1}):
        with pytest.raises(ValueError, match="belongs to another training"):
            _train(checkpoint=path, **other)


def test_pools_push_adversarial_examples_away() -> None:
    """Median minimum distortion by a search the training never used, on images it never saw."""
    schedule = Schedule(30, rate=0.5, batch_size=50)
    test = load_data("digits").test
    medians = []
    for layers in ([], [Place("input", 0.5)]):
        model, trained = _train(layers=layers, schedule=schedule, config=PoolConfig())
        wrong = (model.eval()(test.images).argmax(1) != test.labels).float().mean()
        assert wrong < 0.06
        found = minimum_distortion(
            model, test.images[:100], test.labels[:100], "untargeted", "closest", budget=60
        )
        medians.append(float(found.l2.median()))
        assert [pool.layer for pool in trained.pools] == ["input"] * len(layers)
    assert medians[1] > 1.2 * medians[0]
