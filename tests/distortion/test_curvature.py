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
    beta = torch.rand(problems, generator=generator, dtype=torch.float64)
    theta = 0.5 + torch.rand(problems, generator=generator, dtype=torch.float64)
    free = (torch.rand(problems, n, generator=generator) < free_share).double()
    gradient = draw(problems, n)
    nothing = torch.zeros(problems, 2, n, dtype=torch.float64)

    def step(pair, curved):
        new = torch.cat((pair, (gradient * free)[:, None]), 1)
        return curvature.step(new, gradient, curved, free, beta, theta)

    found = step(nothing, torch.zeros(problems) > 0)
    for _ in range(updates):
        s = draw(problems, n)
        y = torch.einsum("pij,pj->pi", hessian, s)
        curved = torch.rand(problems, generator=generator) < 0.7
        found = step(torch.stack((y, s), 1), curved)
        for i in range(problems):
            kept[i] += [(s[i], y[i] + beta[i] * s[i])] if curved[i] else []
    for i in range(problems):
        known = kept[i][-memory:]
        gamma = 1 / (theta[i] + beta[i])
        if known:
            s, y = known[-1]
            gamma = (s @ y) / (y @ y)
        inverse = torch.linalg.inv(dense_bfgs(known, 1 / gamma, n))
        f = free[i] > 0
        expected = -gamma * gradient[i]
        expected[f] = -inverse[f][:, f] @ gradient[i][f]
        torch.testing.assert_close(found[i], expected, rtol=1e-6, atol=1e-8)


def test_a_pair_that_bends_down_or_is_forgotten_takes_no_part():
    """A pair with sᵀ(y + βs) ≤ 0 would make the step one uphill; under a larger β it serves."""
    s = torch.eye(4, dtype=torch.float64)[:3]
    gradient, free = torch.ones_like(s), torch.ones_like(s)
    theta = torch.full((3,), 2.0, dtype=torch.float64)
    kept = torch.ones(3, dtype=torch.bool)
    curvature = Curvature(3, 3, s)
    y = s * torch.tensor([5.0, -1.0, 5.0], dtype=torch.float64)[:, None]
    curvature.step(torch.stack((y, s, gradient), 1), gradient, kept, free, 0 * theta, theta)
    curvature.forget(torch.tensor([2]))

    def step(beta):
        new = torch.stack((y, s, gradient), 1)
        return curvature.step(new, gradient, ~kept, free, torch.full_like(theta, beta), theta)

    assert step(0.0)[0].tolist() == pytest.approx([-0.2] * 4)
    assert step(0.0)[1].tolist() == pytest.approx([-0.5] * 4)
    assert step(0.0)[2].tolist() == pytest.approx([-0.5] * 4)
    assert step(3.0)[1].tolist() == pytest.approx([-0.5] * 4)
    assert step(3.0)[2].tolist() == pytest.approx([-0.2] * 4)
