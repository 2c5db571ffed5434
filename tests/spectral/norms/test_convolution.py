"""Bounds of convolutions against dense matrices: never below, and tight where promised."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.spectral.norms.convolution import circular_norm, convolution_norm
from intriguing.spectral.norms.frequency_grid import supremum_factor
from tests.oracles.convolution_norms import bound_of
from tests.oracles.dense_jacobian import dense_jacobian, dense_norm
from tests.oracles.random_layers import random_convolutions


@pytest.mark.parametrize("seed", range(4))
def test_no_bound_is_below_the_dense_norm(seed: int) -> None:
    for layer in random_convolutions(80, seed):
        true = dense_norm(layer.module, layer.shape, vectorize=True)
        bounds = {
            "written out": bound_of(layer.module, layer.size),
            "any size": bound_of(layer.module, None),
            **{f"grid {n}": bound_of(layer.module, layer.size, n) for n in (1, 11)},
        }
        for how, bound in bounds.items():
            assert bound >= true, (how, bound, true, layer.text)
        assert bounds["written out"] <= true * (1 + 1e-7), layer.text


def test_frequencies_are_tight_over_zero_padding() -> None:
    ratios = []
    for layer in random_convolutions(100, 17):
        if layer.module.padding_mode == "zeros" and min(layer.size) >= 4:
            true = dense_norm(layer.module, layer.shape, vectorize=True)
            if true:
                ratios.append(bound_of(layer.module, layer.size, 64) / true)
    assert len(ratios) > 30
    assert sorted(ratios)[len(ratios) // 2] < 1.2


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("dilation", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
def test_circular_norm_is_exact(stride: int, dilation: int, groups: int) -> None:
    draw = torch.Generator().manual_seed(stride)
    weight = torch.randn(4, 6 // groups, 3, 5, generator=draw, dtype=torch.float64)
    size = (6, 12) if stride < 3 else (6, 7)
    matrix = torch.zeros(4, *(-(-n // stride) for n in size), 6, *size, dtype=torch.float64)
    for i, j, u, v in itertools.product(*map(range, (*matrix.shape[1:3], 3, 5))):
        x, y = ((stride * i + dilation * u) % size[0], (stride * j + dilation * v) % size[1])
        for group in range(groups):
            out, into = slice(4 // groups * group, None), slice(6 // groups * group, None)
            outs, ins = 4 // groups, 6 // groups
            matrix[out, i, j, into, x, y][:outs, :ins] += weight[out, :, u, v][:outs]
    true = float(torch.linalg.matrix_norm(matrix.flatten(0, 2).flatten(1), 2))
    found = circular_norm(weight, size, stride=stride, dilation=dilation, groups=groups)
    assert found == pytest.approx(true, rel=1e-10)


def test_circular_norm_of_a_kernel_that_goes_around_more_than_once() -> None:
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(2, 3, 11, generator=draw, dtype=torch.float64)
    matrix = torch.zeros(2, 4, 3, 4, dtype=torch.float64)
    for output in range(4):
        for tap in range(11):
            matrix[:, output, :, (output + tap) % 4] += weight[:, :, tap]
    true = float(torch.linalg.matrix_norm(matrix.reshape(8, 12), 2))
    assert circular_norm(weight, 4) == pytest.approx(true, rel=1e-10)


def test_circular_is_no_bound_of_zero_padding_but_convolution_norm_is() -> None:
    draw = torch.Generator().manual_seed(0)
    worst = 0.0
    for _ in range(50):
        weight = torch.randn(1, 1, 3, 3, generator=draw, dtype=torch.float64)
        true = dense_norm(lambda x, w=weight: functional.conv2d(x, w, padding=1), (1, 3, 3))
        worst = max(worst, true / circular_norm(weight, (3, 3)))
        assert convolution_norm(weight, padding=1, input_size=(3, 3), grid=3) >= true
        assert circular_norm(weight, (4, 4)) >= true * (1 - 1e-12)
    assert worst > 1.05


def test_large_layers_are_bounded_by_frequencies_as_by_power_iteration() -> None:
    torch.manual_seed(0)
    for layer, size in (
        (nn.Conv2d(3, 16, 7, stride=2, padding=3, bias=False), (48, 40)),
        (nn.Conv2d(32, 48, 3, padding=1, bias=False), (14, 15)),
        (nn.Conv2d(24, 48, 3, padding=2, dilation=2, groups=2, bias=False), (20, 20)),
        (nn.ConvTranspose2d(24, 12, 4, stride=2, padding=1, bias=False), (14, 14)),
    ):
        true = _power_norm(layer.double(), (layer.in_channels, *size))
        assert true <= bound_of(layer, size) <= 1.05 * true


def test_groups_take_the_largest_not_the_product() -> None:
    weight = torch.zeros(2, 1, 3, 3)
    weight[0, 0, 1, 1], weight[1, 0, 1, 1] = 0.5, 3.0
    assert convolution_norm(weight, groups=2, padding=1) == pytest.approx(3.0, rel=1e-6)


def test_positive_kernels_are_exact_for_every_size() -> None:
    assert convolution_norm(torch.ones(1, 1, 5, 5)) == pytest.approx(25.0, rel=1e-6)


def test_weights_may_be_huge_tiny_or_zero() -> None:
    weight = torch.randn(2, 3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    plain = convolution_norm(weight)
    for scale in (1e-160, 1e160):
        assert convolution_norm(weight * scale) == pytest.approx(plain * scale, rel=1e-6)
    assert convolution_norm(0.0 * weight) == 0.0


def test_the_grid_factor_is_attained() -> None:
    # cos(d·(ξ − ξ₀)) with ξ₀ midway between frequencies is the polynomial that is missed most.
    points, degree = 12, 2
    fine = torch.arange(points).double() * 2 * math.pi / points
    values = torch.cos(degree * (fine - math.pi / points))
    assert float(values.abs().max()) == pytest.approx(
        1 / supremum_factor(2 * degree + 1, points), rel=1e-12
    )


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"padding": "same", "stride": 2}, "stride 1"),
        ({"padding": "full"}, "'valid'"),
        ({"groups": 3}, "3 groups"),
        ({"padding_mode": "mirror"}, "reflect"),
        ({"input_size": (2, 2)}, "does not fit"),
        ({"stride": (1, 2, 3)}, "2 axes"),
        ({"transposed": True, "padding_mode": "circular"}, "zeros only"),
    ],
)
def test_wrong_arguments_are_named(options: dict, says: str) -> None:
    with pytest.raises(InputError, match=says):
        convolution_norm(torch.ones(4, 2, 3, 3), **options)
    with pytest.raises(InputError, match="finite"):
        convolution_norm(torch.full((1, 1, 3), math.nan))


def _power_norm(layer: nn.Module, shape: tuple[int, ...], steps: int = 300) -> float:
    """A lower estimate by power iteration on the layer itself."""
    x = torch.randn(1, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    norm = 0.0
    for _ in range(steps):
        x = (x / x.norm()).requires_grad_()
        y = layer(x)
        norm = float(y.detach().norm())
        (x,) = torch.autograd.grad(y, x, y.detach())
    return norm


def test_the_oracle_itself() -> None:
    matrix = torch.tensor([[3.0, 0.0], [4.0, 0.0]], dtype=torch.float64)
    assert torch.equal(dense_jacobian(lambda x: x @ matrix.T, (2,)), matrix)
    assert dense_norm(lambda x: x @ matrix.T, (2,)) == pytest.approx(5.0)
