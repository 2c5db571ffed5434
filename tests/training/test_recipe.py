import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.models.pretraining import Sparsity
from intriguing.models.weights import model_sha256
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.recipe import Recipe, train_network
from tests import forked

SHORT = LBFGSConfig(max_iterations=60, chunk=5)
SIGMOID = Recipe("FC20-15-10", "fc", "fc20-15-10", (1e-5, 1e-5, 1e-6), stop=SHORT)
AUTOENCODER = Recipe(
    "AE30-10",
    "ae",
    "ae30-10",
    (1e-6,),
    stop=SHORT,
    sparsity=Sparsity(images=500),
    autoencoder_stop=SHORT,
)


def _error(model: torch.nn.Module, name: str) -> float:
    test = load_data(name).test
    with torch.no_grad():
        return float((model(test.images).argmax(1) != test.labels).float().mean())


def test_a_trained_network_recognises_digits() -> None:
    recipe = replace(SIGMOID, stop=LBFGSConfig(max_iterations=300))
    model, report = train_network(recipe, load_data("digits").train)
    assert not model.training
    assert report.pretraining is None
    assert _error(model, "digits") < 0.08


def test_the_autoencoder_is_trained_first_and_not_fine_tuned() -> None:
    digits = load_data("digits").train
    weights, errors = [], []
    for iterations in (1, 100):
        recipe = replace(AUTOENCODER, stop=LBFGSConfig(max_iterations=iterations))
        model, report = train_network(recipe, digits)
        weights.append(model.state_dict())
        errors.append(_error(model, "digits"))
        assert report.pretraining is not None
        assert report.pretraining.iterations == 60
    assert torch.equal(weights[0]["encoder.weight"], weights[1]["encoder.weight"])
    assert not torch.equal(weights[0]["softmax.weight"], weights[1]["softmax.weight"])
    assert errors[1] < 0.1


def test_the_seed_decides_the_weights() -> None:
    digits = load_data("digits").train
    digests = [model_sha256(train_network(SIGMOID, digits, seed)[0]) for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]


@pytest.mark.parametrize(
    ("recipe", "interruptions"),
    [(SIGMOID, 1), (SIGMOID, 4), (AUTOENCODER, 1), (AUTOENCODER, 8)],
    ids=["fc", "fc often", "ae", "ae often"],
)
def test_interrupted_by_an_exception_it_ends_with_the_same_bits(
    recipe: Recipe, interruptions: int, tmp_path: Path
) -> None:
    digits = load_data("digits").train
    expected, calm = train_network(recipe, digits)
    for _ in range(interruptions):
        calls = 0

        def interrupt(progress: Progress) -> None:
            nonlocal calls
            calls += 1
            if calls == 2:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            train_network(
                recipe, digits, checkpoint=tmp_path / "net.safetensors", progress=interrupt
            )
    seen: list[Progress] = []
    model, report = train_network(
        recipe, digits, checkpoint=tmp_path / "net.safetensors", progress=seen.append
    )
    assert model_sha256(model) == model_sha256(expected)
    assert report.history == calm.history
    assert seen[0].done == 10 * interruptions % 60 + 5


def _autoencoder(checkpoint: Path, tell: forked.Tell) -> None:
    digits = load_data("digits").train
    model, _ = train_network(
        AUTOENCODER, digits, checkpoint=checkpoint, progress=lambda step: tell(step.done)
    )
    tell(model_sha256(model))


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="kill -9 is POSIX")
def test_killed_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    checkpoint = tmp_path / "net.safetensors"
    for steps in (1, 13):  # the first kill falls into the autoencoder, the second after it
        process, heard = forked.start(_autoencoder, checkpoint)
        for _ in range(steps):
            heard.recv()
        time.sleep(0.005)
        forked.kill(process)
    *steps, digest = forked.finish(*forked.start(_autoencoder, checkpoint))
    expected, _ = train_network(AUTOENCODER, load_data("digits").train)
    assert digest == model_sha256(expected)
    assert len(steps) < 24


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(InputError, match="7 classes but digits/train has 10"):
        train_network(replace(SIGMOID, architecture="fc20-15-7"), load_data("digits").train)
