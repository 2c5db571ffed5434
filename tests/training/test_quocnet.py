"""QuocNet's objective against dense matrices, its training against interruptions, its classifier
against scikit-learn."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor
from torch.nn.functional import conv2d

from intriguing.data.patches import Patches
from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.models.families.quocnet import QuocNet, QuocNetConfig, Stage, StageConfig
from intriguing.models.tiles import dense
from intriguing.training.quocnet import (
    Plan,
    features_of,
    fit_linear,
    prepared,
    train_unsupervised,
    with_classifier,
)
from intriguing.training.steps import Steps
from intriguing.training.subspace import confine, directions

CONFIG = QuocNetConfig(
    "test", (3, 12, 12), (StageConfig(4, 3, pool=2), StageConfig(3, 2, pool=2)), whitening=3
)
PLAN = Plan(Steps(12, batch=10, rate=0.01, warmup=2, every=5), sparsity=(0.1,))


def smooth(count: int, seed: int) -> Patches:
    """Noise with neighbours alike, as photographs have."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, 3, 16, 16, generator=generator)
    kernel = torch.ones(3, 1, 5, 5) / 8
    images = conv2d(noise, kernel, groups=3).mul(50).add(128).clamp(0, 255)
    return Patches("smooth", images.to(torch.uint8))


@pytest.mark.parametrize("asymmetric", [False, True])
def test_the_objective_is_that_of_dense_matrices(asymmetric: bool) -> None:
    """Le et al. 2011, Eq. 1, with W₁ and W₂ written out."""
    config = StageConfig(3, 2, pool=2)
    stage = Stage(config, (2, 6, 5), asymmetric=asymmetric, dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    stage.filter.reset_parameters(generator)
    if stage.decoder is not None:
        with torch.no_grad():
            stage.decoder.copy_(torch.randn(stage.decoder.shape, generator=generator))
    x = torch.randn(3, 2, 6, 5, generator=generator, dtype=torch.float64)
    last = x.permute(0, 2, 3, 1).flatten(1)
    encoder, decoder = dense(stage.filter.weight, (1, 1)), dense(stage.decoding, (1, 1))
    h = last @ encoder.T
    error = ((h @ decoder - last) ** 2).sum()
    maps = h.view(3, 4, 3, 2)
    pooled = torch.tensor(0.0, dtype=torch.float64)
    for row in range(3):
        for column in range(2):
            squares = maps[:, row : row + 2, column : column + 2].square().sum((1, 2))
            pooled = pooled + (squares + stage.pool.epsilon).sqrt().sum()
    found = stage.objective(x, 0.7)
    torch.testing.assert_close(found, (error + 0.7 * pooled) / 60, rtol=1e-12, atol=0)


def train(folder: Path | None, plan: Plan = PLAN, stop: int | None = None) -> tuple[QuocNet, list]:
    told = []

    def progress(at: Progress) -> None:
        told.append((at.stage, at.done))
        if stop is not None and len(told) == stop:
            raise KeyboardInterrupt

    network, reports = train_unsupervised(
        CONFIG, smooth(40, 0), plan, seed=1, folder=folder, progress=progress
    )
    return network, [list(report.history) for report in reports]


def test_stages_are_trained_one_after_another_and_a_stop_changes_nothing(tmp_path: Path) -> None:
    network, losses = train(None)
    assert [len(one) for one in losses] == [12, 12]
    for one in losses:
        assert np.mean(one[-3:]) < 0.85 * one[0]
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path, stop=19)  # in the second stage
    again, continued = train(tmp_path)
    assert continued == losses
    for ours, theirs in zip(network.parameters(), again.parameters(), strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("optimizer", ["sgd", "lbfgs"])
def test_other_optimisers_lower_the_objective(optimizer: str) -> None:
    steps = replace(PLAN.steps, optimizer=optimizer, rate=2.0, count=6)  # type: ignore[arg-type]
    losses = train(None, replace(PLAN, steps=steps, asymmetric=True))[1]
    for one in losses:
        assert one[-1] < 0.95 * one[0]


def test_sparsity_makes_responses_smaller() -> None:
    """A larger λ leaves less to be pooled and more not to be reconstructed."""
    x = smooth(40, 0).take(torch.arange(40))
    pooled = []
    for weight in (0.0, 1.0):
        steps = replace(PLAN.steps, count=40)
        network = train(None, replace(PLAN, sparsity=(weight,), steps=steps))[0]
        stage = network.stages[0]
        assert isinstance(stage, Stage)
        with torch.no_grad():
            pooled.append(float(stage.pool(stage.filter(network.whitening(x))).mean()))
    assert pooled[1] < 0.6 * pooled[0]


def test_filters_hold_nothing_that_images_never_vary_in() -> None:
    """Of gray images no filter of the first stage prefers a colour, before or after training."""
    gray = smooth(40, 0).pixels[:, :1].expand(-1, 3, -1, -1).contiguous()
    for network in (
        prepared(CONFIG, Patches("gray", gray), PLAN, seed=0),
        train_unsupervised(CONFIG, Patches("gray", gray), PLAN, seed=0)[0],
    ):
        weight = network.stages[0].get_parameter("filter.weight").detach()
        colour = weight - weight.mean(5, keepdim=True)
        assert float(colour.norm()) < 1e-3 * float(weight.norm())
        assert float(weight.flatten(3).norm(dim=3).min()) > 0


def test_the_classifier_is_logistic_regression() -> None:
    """Weights of λ/2 Σ w² and scikit-learn's C = 1/(λ n) say the same of every image."""
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(200, 5, generator=generator)
    labels = (features @ torch.randn(5, generator=generator) + 0.5 > 0).long()
    plan = replace(PLAN, decay=(0.1,))
    found = fit_linear(features, labels, plan, seed=0)
    scaled = ((features - found.mean) / found.deviation).numpy()
    # Two logits share the penalty of their difference: half of it each.
    theirs = LogisticRegression(C=1 / (0.05 * 200), tol=1e-8).fit(scaled, labels.numpy())
    logits = found.linear(torch.from_numpy(scaled)).detach()
    ours = (logits[:, 1] - logits[:, 0]).numpy()
    assert np.abs(ours - theirs.decision_function(scaled)).max() < 0.03


def test_the_decay_is_chosen_by_images_held_out() -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(60, 200, generator=generator)
    labels = (features[:, 0] > 0).long()
    found = fit_linear(features, labels, replace(PLAN, decay=(1e-6, 1.0)), seed=0)
    assert found.decay in (1e-6, 1.0)
    noise = torch.randint(0, 2, (60,), generator=generator)
    tie = fit_linear(features, noise, replace(PLAN, decay=(1e-3,)), seed=0)
    assert tie.decay == 1e-3


def test_one_network_from_images_to_logits() -> None:
    network = train(None)[0]
    images = smooth(40, 3).take(torch.arange(40))
    labels = (images.mean((1, 2, 3)) > images.mean()).long()
    plan = replace(PLAN, decay=(0.1,))
    model, _, decay = with_classifier(network, images, labels, plan, seed=0)
    assert decay == 0.1
    assert not model.training
    features = features_of(network, images)
    says = fit_linear(features, labels, plan, seed=0).predict(features)
    assert torch.equal(features_of(model, images).argmax(1), says)
    assert float((says == labels).float().mean()) > 0.8


def test_what_does_not_fit_is_named() -> None:
    def other(size: tuple[int, ...]) -> Tensor:
        return torch.zeros(size, dtype=torch.uint8)

    with pytest.raises(InputError, match="cut or resize"):
        train_unsupervised(CONFIG, Patches("x", other((4, 3, 9, 9))), PLAN, seed=0)
    with pytest.raises(InputError, match="do not vary"):
        train_unsupervised(CONFIG, Patches("x", other((40, 3, 12, 12))), PLAN, seed=0)
    with pytest.raises(InputError, match="3 values of sparsity for 2 stages"):
        train_unsupervised(CONFIG, smooth(40, 0), replace(PLAN, sparsity=(1.0,) * 3), seed=0)
    with pytest.raises(InputError, match="one of adam"):
        Steps(1, optimizer="rprop")  # type: ignore[arg-type]


def test_filters_are_confined_to_where_images_vary() -> None:
    """Of images that are smooth down every column, trained filters are smooth there too."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randint(0, 256, (40, 3, 1, 12), generator=generator, dtype=torch.uint8)
    striped = Patches("striped", rows.expand(-1, -1, 12, -1).contiguous())
    network = train_unsupervised(CONFIG, striped, PLAN, seed=0)[0]
    weight = network.stages[0].get_parameter("filter.weight").detach()
    down = weight - weight.mean(3, keepdim=True)
    assert float(down.norm()) < 1e-3 * float(weight.norm())


def test_directions_hold_the_share_that_is_asked_for() -> None:
    """Of white noise of two sizes, those of the channel that varies more come first."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200, 2, 8, 8, generator=generator) * torch.tensor([10.0, 1.0]).view(-1, 1, 1)
    along = directions(x, 2, 0.95, generator)
    assert along.shape == (8, 4)
    torch.testing.assert_close(along.T @ along, torch.eye(4), atol=1e-5, rtol=0)
    assert float(along.view(2, 2, 2, 4)[..., 1, :].abs().max()) < 0.05
    weight = torch.nn.Parameter(torch.randn(3, 3, 2, 2, 2, 2, generator=generator))
    before = weight.detach().clone()
    confine(weight, along)
    outside = weight.detach().flatten(3) - weight.detach().flatten(3) @ along @ along.T
    assert float(outside.abs().max()) < 1e-5
    torch.testing.assert_close(
        weight.detach().flatten(3) @ along, before.flatten(3) @ along, atol=1e-5, rtol=1e-4
    )
