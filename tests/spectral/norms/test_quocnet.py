"""Bounds of QuocNet's layers against dense Jacobians, and the walk through a whole network."""

import pytest
import torch
from torch import Tensor, nn

from intriguing.models.families.quocnet import QuocNetClassifier, QuocNetConfig, StageConfig
from intriguing.models.l2_pooling import L2Pool2d
from intriguing.models.local_contrast import LocalContrast2d
from intriguing.models.locally_connected import LocallyConnected2d
from intriguing.spectral.certificates.lipschitz import lipschitz_report
from intriguing.spectral.norms.quocnet import (
    l2_pool_norm,
    local_contrast_norm,
    locally_connected_norm,
)
from tests.oracles.dense_jacobian import dense_norm


@pytest.mark.parametrize(("field", "stride", "maps"), [(3, 1, 4), (4, 2, 2), (2, 3, 3), (5, 1, 1)])
def test_untied_filters_are_exact_when_small_and_bounded_when_large(
    field: int, stride: int, maps: int
) -> None:
    layer = LocallyConnected2d(2, maps, (9, 8), field, stride)
    layer.reset_parameters(torch.Generator().manual_seed(field))
    true = dense_norm(layer, (2, 9, 8))
    exact, is_exact = locally_connected_norm(layer.weight, stride)
    assert is_exact
    assert true * (1 - 1e-12) <= exact <= true * (1 + 1e-6)
    for largest in (1, 10):
        bound, is_exact = locally_connected_norm(layer.weight, stride, largest=largest)
        assert not is_exact
        assert true <= bound
    assert bound <= 3 * true


def test_l2_pooling_is_bounded_and_attained() -> None:
    for window, stride in ((3, 1), (5, 1), (3, 2), (2, 2)):
        pool = L2Pool2d(window, stride, epsilon=1e-12)
        point = torch.zeros(1, 12, 12, dtype=torch.float64)
        point[0, 6, 6] = 5.0  # one value is all that its windows see
        true = dense_norm(pool, (1, 12, 12), point)
        bound = l2_pool_norm(pool.window, pool.stride)
        assert true <= bound <= true * (1 + 1e-6)
        point = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(window)).double()
        assert dense_norm(pool, (2, 8, 8), point) <= bound


@pytest.mark.parametrize("window", [3, 5])
def test_local_contrast_is_never_above_its_bound(window: int) -> None:
    """Random images, faint ones around the floor, and steps, at which the divisor changes most."""
    generator = torch.Generator().manual_seed(0)
    layer = LocalContrast2d(window, floor=0.1)
    bound = local_contrast_norm(layer, 2, (7, 6))
    largest = 0.0
    for size in (0.0, 0.05, 0.1, 0.15, 0.3, 10.0):
        for kind in range(3):
            point = size * torch.randn(2, 7, 6, generator=generator).double()
            if kind == 1:
                point[:, :, 3:] += size
            if kind == 2:
                point[:, 4, 4] += 5 * size
            largest = max(largest, dense_norm(layer, (2, 7, 6), point))
    assert largest <= bound
    assert bound <= 6 * largest


def test_large_images_centring_is_bounded_by_eigenvalues() -> None:
    """The short way, for images too large to write out, is above the long way."""
    layer = LocalContrast2d(5)
    exact = [local_contrast_norm(layer, maps, (24, 24)) for maps in (1, 2)]
    short = [local_contrast_norm(layer, maps, (48, 48)) for maps in (1, 2)]
    assert exact[0] <= short[0] <= 2 * exact[0]
    assert exact[1] <= short[1] <= 2 * exact[1]


def test_the_walk_bounds_a_whole_network() -> None:
    stages = (StageConfig(3, 2, pool=2, contrast=3, floor=0.5), StageConfig(3, 2, pool=2, floor=1))
    network = QuocNetClassifier(QuocNetConfig("test", (3, 12, 12), stages, whitening=3)).eval()
    generator = torch.Generator().manual_seed(0)
    network.features.reset_parameters(generator)
    report = lipschitz_report(network, (3, 12, 12))
    assert report.upper < float("inf")
    names = {layer.name: layer.upper for layer in report.layers}
    filters = [name for name in names if name.endswith("filter")]
    assert len(filters) == 2
    first = network.features.stages[0].get_submodule("filter")
    assert names[filters[0]] == pytest.approx(dense_norm(first, (3, 12, 12)), rel=1e-6)
    assert reached(network.double(), generator) <= report.upper


def reached(network: nn.Module, generator: torch.Generator) -> float:
    """The steepest of a few places."""
    points: list[Tensor] = [torch.rand(3, 12, 12, generator=generator).double() for _ in range(2)]
    return max(dense_norm(network, (3, 12, 12), point) for point in points)
