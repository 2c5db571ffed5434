import random
import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.models.families.convolutional import Convolutional
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.initial import draw_glorot, draw_he, weight_layers
from intriguing.models.schedule import Schedule
from intriguing.models.weights import model_sha256
from intriguing.training.batches import Batch
from intriguing.training.decay import weight_decay
from intriguing.training.minibatch import Extra, train_minibatch
from intriguing.training.recipe import Recipe, train_network
from intriguing.training.report import TrainingReport
from tests import forked

NOISY = Schedule(4, rate=0.1, batch_size=300, input_dropout=0.1, dropout=0.3, shift=1)


def _network(seed: int = 0) -> Convolutional:
    model = Convolutional((4, 6), 20, 10, (1, 8, 8))
    draw_he(weight_layers(model), torch.Generator().manual_seed(seed))
    return model


def _train(
    schedule: Schedule, seed: int = 0, **options: object
) -> tuple[nn.Module, TrainingReport]:
    model, digits = _network(), load_data("digits").train
    decay = [1e-4] * 4
    report = train_minibatch(model, digits.images, digits.labels, decay, schedule, seed, **options)
    return model, report


def _by_hand(
    schedule: Schedule, inputs: np.ndarray, labels: np.ndarray, weight: np.ndarray, lam: float
) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias of a softmax classifier after full-batch steps at the rates written out."""
    bias = np.zeros(len(weight))
    moments = [[np.zeros_like(value), np.zeros_like(value)] for value in (weight, bias)]
    rising, total = schedule.warmup, schedule.epochs
    for step in range(schedule.epochs):
        late = (step - rising) / (total - rising)
        rate = schedule.rate * min((step + 1) / rising, 0.5 + 0.5 * np.cos(np.pi * max(late, 0)))
        logits = inputs @ weight.T + bias
        share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        wrong = (share - np.eye(len(weight))[labels]) / len(inputs)
        gradients = wrong.T @ inputs + 2 * lam * weight, wrong.sum(0)
        moved = []
        for gradient, (first, second) in zip(gradients, moments, strict=True):
            if schedule.optimizer == "nesterov":
                first[:] = 0.9 * first + gradient
                moved.append(rate * (gradient + 0.9 * first))
            else:
                first[:] = 0.9 * first + 0.1 * gradient
                second[:] = 0.999 * second + 0.001 * gradient**2
                mean = first / (1 - 0.9 ** (step + 1))
                deviation = np.sqrt(second / (1 - 0.999 ** (step + 1)))
                moved.append(rate * mean / (deviation + 1e-8))
        weight, bias = weight - moved[0], bias - moved[1]
    return weight, bias


@pytest.mark.parametrize("optimizer", ["nesterov", "adam"])
def test_steps_are_those_taken_by_hand(optimizer: str) -> None:
    chance = np.random.default_rng(0)
    inputs, labels = chance.random((30, 5)), np.arange(30) % 3
    model = FullyConnected((5, 3)).double()
    draw_glorot(model.layers, torch.Generator().manual_seed(1))
    start = model.layers[0].weight.detach().numpy().copy()
    schedule = Schedule(12, rate=0.3, batch_size=30, optimizer=optimizer, warmup=4)
    train_minibatch(
        model, torch.from_numpy(inputs), torch.from_numpy(labels), [0.05], schedule,
        convention="sum",
    )  # fmt: skip
    weight, bias = _by_hand(schedule, inputs, labels, start, 0.05)
    np.testing.assert_allclose(model.layers[0].weight.detach().numpy(), weight, rtol=1e-9)
    np.testing.assert_allclose(model.layers[0].bias.detach().numpy(), bias, rtol=1e-9, atol=1e-12)


def test_it_learns_digits_and_reports_what_it_did() -> None:
    seen: list[Progress] = []
    model, report = _train(Schedule(15, rate=0.1, batch_size=50), progress=seen.append)
    test = load_data("digits").test
    assert (model(test.images).argmax(1) != test.labels).double().mean() < 0.06
    assert report.evaluations == len(report.history) == 15
    assert report.iterations == 15 * 29
    assert report.objective == report.history[-1] < 0.2 * report.history[0]
    assert 0 < report.gradient_norm < 10
    assert "15 epochs" in report.reason
    assert [step.done for step in seen] == sorted({step.done for step in seen})
    assert seen[-1].done == seen[-1].total == report.iterations


def test_every_epoch_sees_every_image_once_in_an_order_of_its_own() -> None:
    epochs: dict[int, list[int]] = {}

    def watch(model: nn.Module, batch: Batch) -> Tensor:
        digits = load_data("digits").train
        epochs.setdefault(batch.epoch, []).extend(batch.indices.tolist())
        assert torch.equal(batch.images, digits.images[batch.indices])
        assert torch.equal(batch.labels, digits.labels[batch.indices])
        return torch.zeros(())

    _train(Schedule(3, rate=0.1, batch_size=400), extra=Extra(watch))
    assert all(sorted(order) == list(range(1438)) for order in epochs.values())
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_seeds_decide_and_torchs_own_generator_does_not() -> None:
    digests = []
    for seed, other in ((0, 1), (0, 2), (1, 1)):
        torch.manual_seed(other)
        digests.append(model_sha256(_train(NOISY, seed)[0]))
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize("field", ["input_dropout", "dropout", "shift"])
def test_each_noise_matters(field: str) -> None:
    digests = {model_sha256(_train(s)[0]) for s in (NOISY, replace(NOISY, **{field: 0}))}
    assert len(digests) == 2


def test_an_extra_penalty_is_part_of_the_objective() -> None:
    plain, with_decay = FullyConnected((64, 5, 10)).double(), FullyConnected((64, 5, 10)).double()
    digits = load_data("digits").train
    images, schedule = digits.images.double(), Schedule(2, rate=0.5)
    draw_glorot(plain.layers, torch.Generator().manual_seed(0))
    with_decay.load_state_dict(plain.state_dict())
    lambdas = (1e-3, 1e-2)
    extra = Extra(lambda model, batch: weight_decay(weight_layers(model), lambdas, "sum"))
    train_minibatch(plain, images, digits.labels, (0, 0), schedule, extra=extra)
    train_minibatch(with_decay, images, digits.labels, lambdas, schedule, convention="sum")
    for ours, theirs in zip(plain.parameters(), with_decay.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-12)


def _noisy_copies() -> Extra:
    """An extra that draws, that remembers, and that changes the mode, as pools do."""
    memory = {"slots": torch.zeros(50, 1, 8, 8), "filled": torch.zeros((), dtype=torch.int64)}
    digits = load_data("digits").train

    def refill(model: nn.Module, epoch: int, generator: torch.Generator) -> None:
        model.eval()
        noise = 0.1 * torch.randn(10, 1, 8, 8, generator=generator)
        place = int(memory["filled"]) % 50
        memory["slots"][place : place + 10] = digits.images[place : place + 10] + noise
        memory["filled"] += 10

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        assert model.training
        return 0.5 * cross_entropy(model(memory["slots"]), digits.labels[:50])

    return Extra(loss, refill, memory, "noisy copies")


@pytest.mark.parametrize("schedule", [NOISY, replace(NOISY, optimizer="adam", rate=0.003)])
def test_interrupted_anywhere_it_ends_with_the_same_bits(
    schedule: Schedule, tmp_path: Path
) -> None:
    expected, calm = _train(schedule, extra=_noisy_copies())
    for stop in (1, 5, 7, 10, 15, 20):  # an epoch has five steps; the last one is the end
        path = tmp_path / f"{stop}.checkpoint"

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.done == stop:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            _train(schedule, extra=_noisy_copies(), checkpoint=path, progress=interrupt)
        seen: list[Progress] = []
        model, report = _train(
            schedule, extra=_noisy_copies(), checkpoint=path, progress=seen.append
        )
        assert model_sha256(model) == model_sha256(expected)
        assert replace(report, wall_seconds=0) == replace(calm, wall_seconds=0)
        assert all(step.done > stop // 5 * 5 for step in seen)


RECIPE = Recipe("CONV", "conv", "conv4-6-20-10", (1e-4,) * 4, schedule=replace(NOISY, epochs=12))


def _recipe(checkpoint: Path, tell: forked.Tell) -> None:
    digits = load_data("digits").train
    model, _ = train_network(
        RECIPE, digits, checkpoint=checkpoint, progress=lambda step: tell(step.done)
    )
    tell(model_sha256(model))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX")
def test_killed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "net.safetensors"
    process, heard = forked.start(_recipe, checkpoint)
    for _ in range(28):  # in the sixth of twelve epochs
        heard.recv()
    time.sleep(random.uniform(0, 0.03))
    forked.kill(process)
    *steps, digest = forked.finish(*forked.start(_recipe, checkpoint))
    expected, _ = train_network(RECIPE, load_data("digits").train)
    assert digest == model_sha256(expected)
    assert len(steps) < 10 * 5 - 1


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.checkpoint"
    _train(NOISY, checkpoint=path)
    others = (
        {"schedule": replace(NOISY, rate=0.2)},
        {"seed": 1},
        {"convention": "sum"},
        {"identity": "other images"},
        {"extra": _noisy_copies()},
    )
    for other in others:
        with pytest.raises(InputError, match="belongs to another training"):
            _train(**({"schedule": NOISY, "checkpoint": path} | other))


def test_what_does_not_fit_is_refused() -> None:
    digits = load_data("digits").train
    with pytest.raises(InputError, match="3 weight decays for 4 layers"):
        train_minibatch(_network(), digits.images, digits.labels, [0, 0, 0], NOISY)
    with pytest.raises(InputError, match="3 images and 2 labels"):
        train_minibatch(_network(), digits.images[:3], digits.labels[:2], [0] * 4, NOISY)
    with pytest.raises(InputError, match=r"not finite in epoch 1; lower the learning rate"):
        _train(replace(NOISY, rate=1e9))


def test_double_precision_and_the_callers_mode_stay() -> None:
    model, digits = _network().double().eval(), load_data("digits").train
    train_minibatch(model, digits.images, digits.labels, [0] * 4, replace(NOISY, epochs=1))
    assert not model.training
    assert {p.dtype for p in model.parameters()} == {torch.float64}
    assert not any(module._forward_pre_hooks for module in model.modules())
