"""QuocNet's parts against naive loops, and its sizes against the paper's."""

import math

import pytest
import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.models.families.quocnet import (
    CONFIGS,
    PAPER_PARAMETERS,
    QuocNet,
    QuocNetClassifier,
    QuocNetConfig,
    StageConfig,
    sizes,
)
from intriguing.models.l2_pooling import L2Pool2d
from intriguing.models.local_contrast import LocalContrast2d
from intriguing.models.whitening import Whitening, random_patches


def naive_contrast(h: Tensor, window: int, floor: float) -> Tensor:
    """Le et al. 2011, §3, place by place; the window's weights add up to 1 over what is inside."""
    batch, _, rows, columns = h.shape
    half = window // 2

    def average(values: Tensor) -> Tensor:
        out = torch.zeros(batch, rows, columns, dtype=h.dtype)
        for y in range(rows):
            for x in range(columns):
                total = 0.0
                for v in range(max(0, y - half), min(rows, y + half + 1)):
                    for u in range(max(0, x - half), min(columns, x + half + 1)):
                        squared = (v - y) ** 2 + (u - x) ** 2
                        weight = math.exp(-0.5 * squared / (window / 4) ** 2)
                        out[:, y, x] += weight * values[:, :, v, u].mean(1)
                        total += weight
                out[:, y, x] /= total
        return out

    g = h - average(h)[:, None]
    return g / average(g**2).sqrt().clamp_min(floor)[:, None]


@pytest.mark.parametrize(("window", "size"), [(3, (6, 5)), (5, (7, 6)), (5, (3, 4))])
def test_local_contrast_is_the_papers_formula(window: int, size: tuple[int, int]) -> None:
    h = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(0)).double()
    h[1] *= 0.05  # partly below the floor
    found = LocalContrast2d(window, floor=0.04)(h)
    torch.testing.assert_close(found, naive_contrast(h, window, 0.04), rtol=1e-12, atol=1e-12)


def test_a_constant_image_has_no_contrast_and_a_finite_gradient() -> None:
    h = torch.full((1, 2, 6, 6), 3.0, requires_grad=True)
    y = LocalContrast2d(5)(h)
    assert float(y.detach().abs().max()) < 1e-3
    y.square().sum().backward()
    assert h.grad is not None
    assert bool(h.grad.isfinite().all())


def test_l2_pooling_is_the_length_of_every_window() -> None:
    h = torch.randn(2, 3, 8, 7, generator=torch.Generator().manual_seed(0)).double()
    found = L2Pool2d(3, 2, epsilon=0.5)(h)
    windows = h.unfold(2, 3, 2).unfold(3, 3, 2)
    torch.testing.assert_close(found, (windows.square().sum((4, 5)) + 0.5).sqrt())


def test_whitening_makes_patches_white() -> None:
    """Correlated noise comes out with a covariance near 1; the mean colour is taken off."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(60, 3, 40, 40, generator=generator)
    mixed = torch.einsum(
        "ij,bjhw->bihw", torch.tensor([[1, 0.8, 0], [0, 0.6, 0], [0, 0, 1.0]]), noise
    )
    smooth = torch.nn.functional.avg_pool2d(mixed, 2, 1) + torch.tensor([1.0, 2, 3]).view(-1, 1, 1)
    layer = Whitening(3, 7)
    layer.fit([smooth], generator, patches=6000, per_image=100, regulariser=1e-3)
    white = random_patches(layer(smooth)[:, :, 6:-6, 6:-6], 2, 100, generator).flatten(1)
    covariance = torch.cov(white.T)
    before = torch.cov(random_patches(smooth, 2, 100, generator).flatten(1).T)
    assert float((before / before.diag().mean() - torch.eye(12)).abs().max()) > 0.4
    assert float((covariance - torch.eye(12)).abs().max()) < 0.12
    assert float(white.mean(0).abs().max()) < 0.1


def test_the_full_size_has_the_papers_parameters_without_allocating_them() -> None:
    config = CONFIGS["quocnet-1b"]
    network = QuocNet(config, device="meta")
    count = sum(weight.numel() for weight in network.parameters())
    by_hand = 183**2 * 8 * 18**2 * 3 + 162**2 * 8 * 18**2 * 8 + 141**2 * 8 * 18**2 * 8
    assert count == by_hand
    assert 0.8 < count / PAPER_PARAMETERS < 1.25
    assert config.features == 8 * 137**2


def test_stages_have_the_sizes_they_say() -> None:
    stages = (StageConfig(5, 3, stride=2, pool=3), StageConfig(3, 2, pool=2, pool_stride=2))
    config = QuocNetConfig("test", (3, 21, 19), stages, whitening=3)
    network = QuocNet(config)
    x = network.whitening(torch.rand(2, 3, 21, 19))
    for stage, size in zip(network.stages, sizes(config), strict=True):
        assert tuple(x.shape[1:]) == size.seen
        assert tuple(stage.get_submodule("filter")(x).shape[1:]) == size.filtered
        x = stage(x)
        assert tuple(x.shape[1:]) == size.normalised
    assert network(torch.rand(2, 3, 21, 19)).shape == (2, config.features)
    assert QuocNetClassifier(config)(torch.rand(2, 3, 21, 19)).shape == (2, 2)


def test_a_seed_draws_the_same_network() -> None:
    config = QuocNetConfig("test", (1, 9, 9), (StageConfig(3, 2, pool=2),), whitening=1)
    first, second = QuocNet(config, asymmetric=True), QuocNet(config, asymmetric=True)
    for network in (first, second):
        network.reset_parameters(torch.Generator().manual_seed(5))
    for one, other in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(one, other)
    assert len(list(first.parameters())) == 2


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="stage 2 sees 3×3, too little for fields of 4"):
        QuocNetConfig("test", (3, 9, 9), (StageConfig(3), StageConfig(4)))
    with pytest.raises(InputError, match="odd"):
        LocalContrast2d(4)
    with pytest.raises(InputError, match="above 0"):
        L2Pool2d(3, epsilon=0)
    with pytest.raises(InputError, match="do not fit into images"):
        random_patches(torch.zeros(1, 1, 3, 3), 4, 1, torch.Generator())
