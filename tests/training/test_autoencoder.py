import numpy as np
import pytest
import torch

from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.models.families.autoencoder import (
    AutoencoderFamily,
    SparseAutoencoder,
    sparse_loss,
)
from intriguing.models.pretraining import Pretraining, Sparsity
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.pretraining import pretrain

SMALL = Sparsity(images=300)


def _random(seed: int, visible: int = 6, hidden: int = 4) -> SparseAutoencoder:
    torch.manual_seed(seed)
    return SparseAutoencoder(visible, hidden).double()


def _pretraining(
    hidden: int, generator: torch.Generator, sparsity: Sparsity
) -> tuple[SparseAutoencoder, Pretraining]:
    family = AutoencoderFamily()
    first = family.pretraining(family.make(f"ae{hidden}-10", (1, 8, 8)), generator, sparsity)
    assert isinstance(first.network, SparseAutoencoder)
    return first.network, first


def test_the_loss_is_reconstruction_divergence_and_decay() -> None:
    model = _random(0)
    sparsity = Sparsity(activation=0.2, weight=1.5, decay=0.3)
    x = torch.rand(5, 6, dtype=torch.float64)
    w, b, v, c = (p.detach().numpy() for p in model.parameters())
    code = 1 / (1 + np.exp(-(x.numpy() @ w.T + b)))
    rebuilt = 1 / (1 + np.exp(-(code @ v.T + c)))
    expected = 0.5 * ((rebuilt - x.numpy()) ** 2).sum(axis=1).mean()
    expected += 0.5 * 0.3 * ((w**2).sum() + (v**2).sum())
    for mean in code.mean(axis=0):
        expected += 1.5 * (0.2 * np.log(0.2 / mean) + 0.8 * np.log(0.8 / (1 - mean)))
    assert sparse_loss(model, x, sparsity).item() == pytest.approx(expected, rel=1e-12)


def test_the_gradient_agrees_with_finite_differences() -> None:
    model = _random(1)
    x = torch.rand(5, 6, dtype=torch.float64)
    names = [name for name, _ in model.named_parameters()]

    def loss(*values: torch.Tensor) -> torch.Tensor:
        rebuilt = SparseAutoencoder(6, 4).double()
        for name, value in zip(names, values, strict=True):
            layer, kind = name.split(".")
            delattr(getattr(rebuilt, layer), kind)
            setattr(getattr(rebuilt, layer), kind, value)
        return sparse_loss(rebuilt, x, Sparsity())

    assert torch.autograd.gradcheck(loss, tuple(model.parameters()))


def test_training_rebuilds_images_with_the_sparsity_asked_for() -> None:
    digits = load_data("digits")
    generator = torch.Generator().manual_seed(0)
    model, first = _pretraining(25, generator, Sparsity(activation=0.1, weight=3.0, decay=1e-3))
    report = pretrain(first, digits.train, generator, LBFGSConfig(max_iterations=200))
    assert report.history[-1] < 0.2 * report.history[0]
    images = digits.test.images.flatten(1)
    with torch.no_grad():
        error = (model(images) - images).square().sum(1).mean()
        mean_code = model.encode(images).mean(0)
    assert error < 0.5 * (images - images.mean(0)).square().sum(1).mean()
    assert (mean_code - 0.1).abs().max() < 0.05


def test_the_generator_alone_decides() -> None:
    digits = load_data("digits").train
    weights = []
    for seed in (0, 0, 1):
        generator = torch.Generator().manual_seed(seed)
        model, first = _pretraining(9, generator, SMALL)
        pretrain(first, digits, generator, LBFGSConfig(max_iterations=10))
        weights.append(model.encoder.weight.detach())
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(InputError, match="between 0 and 1"):
        Sparsity(activation=0)
