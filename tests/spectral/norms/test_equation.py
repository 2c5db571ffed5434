"""Eq. 1 as printed and corrected, against dense matrices."""

import pytest
import torch
from torch.nn import functional

from intriguing.spectral.norms.convolution import circular_norm
from intriguing.spectral.norms.equation import convolution_spectrum, paper_norm
from tests.oracles.dense_jacobian import dense_jacobian, dense_norm


def kernel(shape: tuple[int, ...], seed: int = 0) -> torch.Tensor:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=draw, dtype=torch.float64)


@pytest.mark.parametrize("stride", [1, 2, 3, 4])
def test_the_corrected_factor_is_exact_on_a_circle(stride: int) -> None:
    weight, points = kernel((3, 2, 4, 4)), 12 // stride
    size = points * stride

    def circular(x: torch.Tensor) -> torch.Tensor:
        return functional.conv2d(functional.pad(x, (0, 3, 0, 3), "circular"), weight, stride=stride)

    true = dense_norm(circular, (2, size, size))
    assert paper_norm(weight, stride=stride, grid=points) == pytest.approx(true, rel=1e-10)


@pytest.mark.parametrize("stride", [2, 4])
def test_as_printed_is_low_by_the_stride_where_the_grid_is_the_same(stride: int) -> None:
    weight = kernel((3, 2, 4, 4))
    printed = paper_norm(weight, stride=stride, as_printed=True)
    assert printed * stride == pytest.approx(circular_norm(weight, 4, stride=stride), rel=1e-10)


def test_the_supports_own_grid_misses_the_supremum() -> None:
    ratios = []
    for seed in range(30):
        weight = kernel((1, 1, 3, 3), seed)
        ratios.append(paper_norm(weight, as_printed=True) / paper_norm(weight))
    assert max(ratios) < 1.0
    assert min(ratios) < 0.9


def test_the_corrected_supremum_is_above_every_grid() -> None:
    weight = kernel((4, 2, 3, 3))
    bound = paper_norm(weight, stride=2, groups=2)
    for points in (5, 16):
        assert paper_norm(weight, stride=2, groups=2, grid=points) <= bound
    assert paper_norm(weight, stride=2, groups=2, grid=24) > 0.97 * bound


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (2, 2)])
def test_the_spectrum_is_that_of_the_circular_operator(stride: int, groups: int) -> None:
    weight = kernel((4, 4 // groups, 3, 3))
    size = 5 * stride

    def circular(x: torch.Tensor) -> torch.Tensor:
        padded = functional.pad(x, (0, 2, 0, 2), "circular")
        return functional.conv2d(padded, weight, stride=stride, groups=groups)

    true = torch.linalg.svdvals(dense_jacobian(circular, (4, size, size)))
    found = convolution_spectrum(weight, stride=stride, groups=groups, grid=5)
    torch.testing.assert_close(found, true, rtol=1e-6, atol=1e-7)


def test_spectra_of_few_and_of_many_channels() -> None:
    for shape in ((1, 1, 9), (64, 32, 3, 3), (8, 4, 2, 2, 2)):
        spectrum = convolution_spectrum(kernel(shape))
        assert bool((spectrum.diff() <= 0).all())
        assert 100 <= len(spectrum) <= 500_000 or shape[0] == 1
