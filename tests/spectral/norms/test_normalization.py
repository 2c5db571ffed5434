"""Normalisations: Jacobians never above the bound, and points that come close to it."""

import math

import pytest
import torch
from torch import nn

from intriguing.errors import InputError
from intriguing.spectral.norms.normalization import (
    batch_norm_norm,
    contrast_norm,
    layer_norm_norm,
    local_response_norm,
    rms_norm_norm,
)
from tests.oracles.dense_jacobian import dense_norm


def test_batch_norm_is_exact() -> None:
    draw = torch.Generator().manual_seed(0)
    norm = nn.BatchNorm2d(4).double().eval()
    norm.weight.data = torch.randn(4, generator=draw, dtype=torch.float64)
    norm.running_var = torch.rand(4, generator=draw, dtype=torch.float64)
    bound = batch_norm_norm(norm.weight, norm.running_var, norm.eps)
    true = dense_norm(norm, (4, 2, 2))
    assert true <= bound == pytest.approx(true, rel=1e-8)
    with pytest.raises(InputError, match="variance"):
        batch_norm_norm(None, torch.zeros(3), 0.0)


@pytest.mark.parametrize("eps", [1e-5, 0.1])
def test_image_statistics_are_bounded_and_attained_at_flat_images(eps: float) -> None:
    gamma = torch.tensor([0.5, -2.0, 1.0, 0.1], dtype=torch.float64)
    draw = torch.Generator().manual_seed(0)
    cases = (
        (nn.LayerNorm(4, eps=eps), (4,), layer_norm_norm(gamma, eps)),
        (nn.GroupNorm(2, 4, eps=eps), (4, 3), layer_norm_norm(gamma, eps)),
        (nn.InstanceNorm1d(4, eps=eps, affine=True), (4, 5), layer_norm_norm(gamma, eps)),
        (nn.RMSNorm(4, eps=eps), (4,), rms_norm_norm(gamma, eps)),
    )
    for module, shape, bound in cases:
        module.weight.data = gamma
        for scale in (0.0, 1e-3, 0.1, 1.0):
            point = scale * torch.randn(shape, generator=draw, dtype=torch.float64)
            norm = dense_norm(module, shape, point)
            assert norm <= bound, (module, scale)
            if scale == 0.0:
                assert norm > 0.8 * bound, module


@pytest.mark.parametrize("gamma", [0.0, 0.5, 0.75, 1.0, 3.0])
@pytest.mark.parametrize("epsilon", [0.1, 2.0])
def test_contrast_normalization_is_bounded_for_every_exponent(epsilon: float, gamma: float) -> None:
    bound = contrast_norm(epsilon, gamma)
    draw = torch.Generator().manual_seed(1)
    largest = 0.0
    for scale in (0.0, 0.3, 1.0, 3.0):
        point = scale * torch.randn(6, generator=draw, dtype=torch.float64)
        norm = dense_norm(lambda x: x / (epsilon + x.square().sum()) ** gamma, (6,), point)
        largest = max(largest, norm)
    assert largest <= bound == pytest.approx(largest, rel=1e-6)


@pytest.mark.parametrize(("size", "alpha", "beta", "k"), [
    (5, 1e-4, 0.75, 2.0), (5, 3.0, 0.75, 1.0), (3, 1.0, 0.5, 1.0), (4, 5.0, 2.0, 0.5),
    (1, 2.0, 0.75, 1.0), (2, 1.0, 1.0, 1.0),
])  # fmt: skip
def test_response_normalization_is_bounded_where_it_is_steepest(
    size: int, alpha: float, beta: float, k: float
) -> None:
    bound = local_response_norm(size, alpha, beta, k)
    module = nn.LocalResponseNorm(size, alpha, beta, k)
    draw = torch.Generator().manual_seed(0)
    largest = 0.0
    for scale in (0.0, 0.5, 1.0, 2.0, 4.0, 8.0):
        start = torch.randn(6, 1, generator=draw, dtype=torch.float64) * scale / alpha**0.5
        point = start.clone().requires_grad_()
        climb = torch.optim.Adam([point], lr=0.05 / alpha**0.5)
        for _ in range(30):
            jacobian = torch.autograd.functional.jacobian(
                lambda x: module(x[None]).flatten(), point, create_graph=True
            )
            norm = torch.linalg.matrix_norm(jacobian.reshape(6, 6), 2)
            largest = max(largest, float(norm.detach()))
            climb.zero_grad()
            (-norm).backward()
            climb.step()
    assert largest <= bound
    assert bound <= 2.0 * largest


def test_response_normalization_at_krizhevskys_numbers() -> None:
    assert local_response_norm(5, 5e-4, 0.75, 2.0) == pytest.approx(1.642 * 2**-0.75, rel=1e-3)
    assert local_response_norm(5, 0.0, 0.75, 2.0) == pytest.approx(2**-0.75)
    with pytest.raises(InputError, match="k > 0"):
        local_response_norm(5, 1.0, 0.75, 0.0)


def test_without_eps_there_is_no_bound() -> None:
    assert layer_norm_norm(None, 0.0) == contrast_norm(0.0, 0.5) == math.inf
