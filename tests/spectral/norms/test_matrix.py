"""Norms of matrices against singular values, also where they are not unique or far apart."""

import pytest
import torch

from intriguing.errors import InputError
from intriguing.spectral.norms.eigenvalue import exact_eigenvalue, largest_eigenvalue
from intriguing.spectral.norms.matrix import matrix_norm, matrix_norms


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (40, 5), (10, 784), (300, 420), (1100, 1200)])
@pytest.mark.parametrize("kind", ["random", "orthogonal", "one", "huge"])
def test_norms_are_bounded_tightly(shape: tuple[int, int], kind: str) -> None:
    draw = torch.Generator().manual_seed(0)
    matrix = torch.randn(shape, generator=draw, dtype=torch.float64)
    if kind == "orthogonal":
        matrix = torch.nn.init.orthogonal_(matrix, generator=draw)
    if kind == "one":
        matrix = matrix[:, :1] * torch.ones(shape[1], dtype=torch.float64)
    if kind == "huge":
        matrix = matrix * 1e200
    true = float(torch.linalg.matrix_norm(matrix / matrix.abs().max(), 2) * matrix.abs().max())
    assert true * (1 - 1e-13) <= matrix_norm(matrix) <= true * (1 + 1e-5)


def test_a_bound_below_the_norm_is_refused_by_its_factor() -> None:
    draw = torch.Generator().manual_seed(0)
    factors = torch.randn(50, 40, 60, generator=draw, dtype=torch.complex128)
    grams = factors @ factors.mH
    true = float(torch.linalg.eigvalsh(grams).max())
    assert true <= largest_eigenvalue(grams) <= true * 1.00021
    assert true <= largest_eigenvalue(grams, at_least=0.99 * true) <= true * 1.00021
    assert largest_eigenvalue(grams, at_least=2 * true) == pytest.approx(2 * true)
    assert exact_eigenvalue(grams) == pytest.approx(true, rel=1e-12)


def test_many_matrices_at_once() -> None:
    draw = torch.Generator().manual_seed(0)
    matrices = torch.randn(6, 9, 4, generator=draw, dtype=torch.float64)
    true = torch.linalg.matrix_norm(matrices, 2)
    bounds = matrix_norms(matrices)
    assert bool((bounds >= true).all())
    torch.testing.assert_close(bounds, true, rtol=1e-6, atol=0)
    assert matrix_norms(matrices[:, :0]).tolist() == [0.0] * 6


def test_zero_and_wrong_input() -> None:
    assert matrix_norm(torch.zeros(3, 4)) == 0.0
    assert matrix_norm(torch.zeros(0, 4)) == 0.0
    with pytest.raises(InputError, match="no matrix"):
        matrix_norm(torch.zeros(3))
    with pytest.raises(InputError, match="not finite"):
        matrix_norm(torch.tensor([[1.0, float("nan")]]))
