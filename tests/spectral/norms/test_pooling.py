"""Pools against their dense Jacobians; max pools also against the input that attains the bound."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.spectral.norms.pooling import (
    adaptive_average_pool_norm,
    adaptive_max_pool_norm,
    average_pool_norm,
    max_pool_norm,
)
from tests.oracles.dense_jacobian import dense_norm
from tests.oracles.random_layers import RandomLayer, random_pools


def bound_of(layer: RandomLayer) -> float:
    pool = layer.module
    if isinstance(pool, nn.MaxPool2d):
        return max_pool_norm(pool.kernel_size, pool.stride, pool.dilation)
    if isinstance(pool, nn.AvgPool2d):
        return average_pool_norm(
            layer.size,
            pool.kernel_size,
            pool.stride,
            pool.padding,
            ceil_mode=pool.ceil_mode,
            count_include_pad=pool.count_include_pad,
            divisor_override=pool.divisor_override,
        )
    if isinstance(pool, nn.AdaptiveAvgPool2d):
        return adaptive_average_pool_norm(layer.size, pool.output_size)
    assert isinstance(pool, nn.AdaptiveMaxPool2d)
    return adaptive_max_pool_norm(layer.size, pool.output_size)


def test_pools_are_bounded_and_averages_exact() -> None:
    draw = torch.Generator().manual_seed(0)
    for layer in random_pools(300, 0):
        point = torch.rand(layer.shape, generator=draw, dtype=torch.float64)
        true, bound = dense_norm(layer.module, layer.shape, point), bound_of(layer)
        assert bound >= true * (1 - 1e-15), layer.text
        if isinstance(layer.module, nn.AvgPool2d | nn.AdaptiveAvgPool2d):
            assert bound <= true * (1 + 1e-6), layer.text


@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"),
    [(3, 2, 1), (2, 2, 1), (3, 1, 1), (5, 2, 1), (3, 2, 2), (4, 3, 1), (2, 1, 3), (3, 4, 2)],
)
def test_max_pools_attain_their_bound(kernel: int, stride: int, dilation: int) -> None:
    # One pixel of the most windows stands out: the change of it alone shows in all of them.
    pool = nn.MaxPool2d(kernel, stride, dilation=dilation)
    bound = max_pool_norm(kernel, stride, dilation)
    reached = 0.0
    for place in range(12, 24):
        before = torch.zeros(1, 1, 40, 40, dtype=torch.float64)
        after = before.clone()
        after[0, 0, place, place] = 1.0
        reached = max(reached, float((pool(after) - pool(before)).norm()))
    assert reached == pytest.approx(bound, rel=1e-6)
    assert bound >= reached


def test_overlapping_pools_are_not_contractive_as_the_paper_says() -> None:
    assert max_pool_norm(3, 2) == pytest.approx(2.0)
    assert max_pool_norm(2, 2) == pytest.approx(1.0)
    assert max_pool_norm(3, axes=1) == pytest.approx(1.0)


def test_adaptive_max_pools_attain_their_bound() -> None:
    for size, out in ((5, 2), (7, 3), (8, 4), (3, 5)):
        reached = max(
            float(functional.adaptive_max_pool1d(one[None, None], out).norm())
            for one in torch.eye(size, dtype=torch.float64)
        )
        bound = adaptive_max_pool_norm((size,), out)
        assert reached <= bound == pytest.approx(reached, rel=1e-6)


def test_pools_in_one_and_three_dimensions() -> None:
    for pool, shape in (
        (nn.AvgPool1d(3, 2, 1, ceil_mode=True, count_include_pad=False), (1, 8)),
        (nn.AvgPool3d((1, 2, 3), 2, (0, 1, 1), count_include_pad=False), (1, 3, 4, 5)),
        (nn.AvgPool3d(2, divisor_override=3), (1, 4, 4, 4)),
    ):
        true = dense_norm(pool, shape)
        options = {
            name: getattr(pool, name)
            for name in ("ceil_mode", "count_include_pad", "divisor_override")
            if hasattr(pool, name)
        }
        bound = average_pool_norm(shape[1:], pool.kernel_size, pool.stride, pool.padding, **options)
        assert true <= bound == pytest.approx(true, rel=1e-6)


def test_what_does_not_fit_is_named() -> None:
    with pytest.raises(InputError, match="does not fit"):
        average_pool_norm((2, 2), 5)
    with pytest.raises(InputError, match="2 axes"):
        max_pool_norm((2, 2), (1, 2, 3))
