"""The compact representation against BFGS written out as dense matrices."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intriguing.distortion.curvature import Curvature


def dense_bfgs(pairs, theta, n):
    """B after the updates B ← B − Bss ᵀB/sᵀBs + yyᵀ/yᵀs, oldest pair first, from θI."""
    b = theta * torch.eye(n, dtype=torch.float64)
    for s, y in pairs:
        bs = b @ s
        b = b - torch.outer(bs, bs) / (s @ bs) + torch.outer(y, y) / (y @ s)
    return b


@settings(max_examples=40, deadline=None)
@given(
    memory=st.integers(1, 5),
    updates=st.integers(0, 9),
    seed=st.integers(0, 10_000),
    free_share=st.floats(0.2, 1.0),
)
def test_step_is_the_dense_newton_step(memory, updates, seed, free_share):
    n, problems = 8, 3
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    root = draw(problems, n, n)
    hessian = root @ root.transpose(1, 2) + torch.eye(n, dtype=torch.float64)
    curvature = Curvature(problems, memory, draw(problems, n))
    kept = [[] for _ in range(problems)]
    for _ in range(updates):
        s = draw(problems, n)
        y = torch.einsum("pij,pj->pi", hessian, s)
        curved = torch.rand(problems, generator=generator) < 0.7
        curvature.add(torch.stack((s, y), 1), curved)
        for i in range(problems):
            kept[i] += [(s[i], y[i])] if curved[i] else []
    theta = 0.5 + torch.rand(problems, generator=generator, dtype=torch.float64)
    gradient = draw(problems, n)
    free = torch.rand(problems, n, generator=generator) < free_share
    step = curvature.step(gradient, free, theta)
    for i in range(problems):
        b = dense_bfgs(kept[i][-memory:], theta[i], n)
        f = free[i]
        expected = -gradient[i] / theta[i]
        expected[f] = -torch.linalg.solve(b[f][:, f], gradient[i][f])
        torch.testing.assert_close(step[i], expected, rtol=1e-6, atol=1e-8)


def test_forgotten_pairs_leave_a_gradient_step():
    curvature = Curvature(2, 3, torch.zeros(2, 4))
    s = torch.eye(4)[:2]
    curvature.add(torch.stack((s, 5 * s), 1), torch.tensor([True, True]))
    curvature.forget(torch.tensor([1]))
    gradient = torch.ones(2, 4)
    step = curvature.step(gradient, torch.ones(2, 4, dtype=torch.bool), torch.full((2,), 2.0))
    assert step[0].tolist() == pytest.approx([-0.2, -0.5, -0.5, -0.5])
    assert step[1].tolist() == pytest.approx([-0.5] * 4)
