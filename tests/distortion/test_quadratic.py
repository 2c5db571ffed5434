"""The batched quadratic programs against an interior-point solver, and their bounds."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intriguing.distortion.quadratic import closest_point
from intriguing.measures import UNIT_BOX
from tests.oracles.closest import closest_under_constraints

DOUBLE = torch.float64


def problems(count, m, n, seed, dtype=DOUBLE):
    """Programs with about half of their pixels at a bound in the end."""
    generator = torch.Generator().manual_seed(seed)
    draw = {"generator": generator, "dtype": dtype}
    gradients = torch.randn(count, m, n, **draw)
    anchor = torch.rand(count, n, **draw)
    anchor[:, ::3] = 0
    here = torch.bmm(gradients, anchor[:, :, None])[:, :, 0]
    return anchor, gradients, here + 0.3 * n**0.5 * torch.rand(count, m, **draw)


def solve(anchor, gradients, at_least, steps):
    on = torch.ones(at_least.shape, dtype=torch.bool)
    start = torch.zeros(at_least.shape, dtype=DOUBLE)
    return closest_point(anchor, gradients, at_least, on, start, UNIT_BOX, steps)


@pytest.mark.parametrize(("m", "n"), [(1, 30), (9, 50), (9, 784), (32, 300)])
@pytest.mark.parametrize("dtype", [torch.float32, DOUBLE])
def test_optimum_of_an_interior_point_solver(m, n, dtype):
    anchor, gradients, at_least = problems(8, m, n, seed=m + n, dtype=dtype)
    answer = solve(anchor, gradients, at_least, 30)
    exact = torch.tensor(
        [
            closest_under_constraints(anchor[i], gradients[i], at_least[i])
            for i in range(len(anchor))
        ],
        dtype=DOUBLE,
    )
    feasible = exact.isfinite()
    assert feasible.sum() >= 4
    tight = 1e-6 if dtype == DOUBLE else 1e-4
    length = (answer.points - anchor).double().norm(dim=1)
    torch.testing.assert_close(length[feasible], exact[feasible], rtol=tight, atol=0)
    bound = (2 * answer.bound).sqrt()
    torch.testing.assert_close(bound[feasible], exact[feasible], rtol=tight, atol=0)


@pytest.mark.parametrize(("value", "push"), [(0.0, 2.5), (1.0, -2.5)])
def test_one_step_suffices_where_all_pixels_begin_at_a_bound(value, push):
    """It went nowhere where what a constraint moves counted as held, and nothing else moved."""
    anchor = torch.full((2, 40), value)
    gradients = torch.zeros(2, 2, 40)
    gradients[:, 0, 3] = push  # leaves the bound
    gradients[:, 0, 4] = -push  # would go through it
    gradients[:, 1, 5] = push  # met already
    at_least = torch.tensor([[1.875, -9.0], [0.5, -9.0]]) + gradients.sum(2) * value
    answer = solve(anchor, gradients, at_least.double(), 1)
    away = (answer.points - anchor).norm(dim=1)
    torch.testing.assert_close(away, torch.tensor([0.75, 0.2]), rtol=1e-4, atol=0)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(2, 60), st.integers(0, 5), st.integers(0, 10_000))
def test_bound_is_below_the_optimum_however_early_it_stops(m, n, steps, seed):
    anchor, gradients, at_least = problems(3, m, n, seed)
    bound = (2 * solve(anchor, gradients, at_least, steps).bound.clamp_min(0)).sqrt()
    for i in range(len(anchor)):
        exact = closest_under_constraints(anchor[i], gradients[i], at_least[i])
        assert bound[i] <= exact * (1 + 1e-7)


def test_contradictory_constraints_end_in_the_box_with_a_bound_beyond_it():
    normal = torch.ones(1, 1, 4, dtype=DOUBLE)
    answer = solve(torch.full((1, 4), 0.5, dtype=DOUBLE), normal, torch.full((1, 1), 9.0), 30)
    assert UNIT_BOX.contains(answer.points)
    assert answer.bound > 0.5 * 4


def test_a_bad_start_is_forgotten():
    anchor, gradients, at_least = problems(4, 3, 20, seed=1)
    on = torch.ones(at_least.shape, dtype=torch.bool)
    far = torch.full(at_least.shape, 1e12, dtype=DOUBLE)
    cold = solve(anchor, gradients, at_least, 30)
    warm = closest_point(anchor, gradients, at_least, on, far, UNIT_BOX, 30)
    torch.testing.assert_close(warm.points, cold.points, rtol=0, atol=1e-6)


def rows_that_differ() -> list[int]:
    """Numbers of constraints with which equal problems in one batch have different answers."""
    torch.set_num_threads(1)
    differ = []
    for constraints in range(1, 33):
        generator = torch.Generator().manual_seed(constraints)
        anchor = torch.rand(1, 768, generator=generator)
        common, own = (torch.randn(1, m, 768, generator=generator) for m in (1, constraints))
        gradients = common + 0.2 * own
        more = 3 + torch.rand(1, constraints, generator=generator)
        floors = torch.linalg.vecdot(gradients, anchor[:, None]) + more
        start = 0.01 * torch.rand(1, constraints, generator=generator, dtype=torch.float64)
        every = torch.ones(1, constraints, dtype=torch.bool)
        rows = (
            each.expand(16, *each.shape[1:]).contiguous()
            for each in (anchor, gradients, floors, every, start)
        )
        answer = closest_point(*rows, UNIT_BOX, 3)
        assert answer.multipliers[0].any()
        parts = (answer.points, answer.multipliers, answer.bound)
        if not all(torch.equal(each, each[:1].expand_as(each)) for each in parts):
            differ.append(constraints)
    return differ


def test_a_problem_has_the_same_answer_in_every_row():
    """To the bit, also where nobody has asked MKL for that, as tests and the command line do.

    Matrices of odd sizes begin elsewhere in memory in every row, and its kernels round by that.
    """
    script = "from tests.distortion.test_quadratic import *; print(rows_that_differ())"
    usual = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=usual,
        cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout.strip() == "[]", done.stdout + done.stderr[-2000:]
