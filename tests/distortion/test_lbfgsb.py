"""The batched solver against exact solutions and scipy's L-BFGS-B."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from intriguing.distortion.lbfgsb import BoxDescent, DescentConfig, minimize_in_box
from intriguing.measures import UNIT_BOX, Box
from tests.oracles.quadratics import BoxQP, box_qps

TIGHT = DescentConfig(memory=10, tolerance=0.0, pixel_tolerance=1e-8, max_iterations=3000)


def solve(qp: BoxQP, config: DescentConfig = TIGHT):
    start = torch.full_like(qp.b, 0.5)
    return minimize_in_box(qp.value_and_gradient, start, UNIT_BOX, config)


@pytest.mark.parametrize("n", [20, 200, 784])
@pytest.mark.parametrize("active", [0.75, 0.85])
def test_box_qps_with_many_active_bounds(n, active):
    """The cases in which a published PyTorch port of L-BFGS-B ends 65 to 72 % above the optimum."""
    qp = box_qps(problems=6, n=n, active=active, condition=100.0, seed=n)
    found = solve(qp)
    at_bound = ((qp.solution == 0) | (qp.solution == 1)).double().mean()
    assert abs(float(at_bound) - active) < 0.03
    excess = (found.values - qp.minimum) / qp.minimum.abs()
    assert excess.abs().max() < 1e-6
    assert ((found.points >= 0) & (found.points <= 1)).all()
    by_scipy = torch.tensor([qp.by_scipy(i) for i in range(2)], dtype=torch.float64)
    assert ((found.values[:2] - by_scipy) / by_scipy.abs()).max() < 1e-6


def test_float32_reaches_the_optimum_to_its_own_precision():
    qp = box_qps(problems=8, n=200, active=0.8, condition=100.0, seed=1)
    single = BoxQP(qp.a.float(), qp.b.float(), qp.solution.float())
    found = solve(single, DescentConfig(tolerance=0, pixel_tolerance=1e-6, max_iterations=500))
    assert ((found.values.double() - qp.minimum) / qp.minimum.abs()).abs().max() < 1e-5


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 12),
    active=st.floats(0, 1),
    condition=st.floats(1, 1e4),
    memory=st.integers(1, 8),
    seed=st.integers(0, 10_000),
)
def test_any_small_qp_is_solved_and_never_rises(n, active, condition, memory, seed):
    qp = box_qps(3, n, active, condition, seed)
    config = DescentConfig(memory, 0.0, 1e-9, 5000)
    start = torch.full_like(qp.b, 0.5)
    state = BoxDescent(start, start, start.new_zeros(3), UNIT_BOX, config)
    values = [torch.full((3,), torch.inf, dtype=torch.float64)]
    while not state.finished().all() and len(values) < 5000:
        state.consume(*qp.value_and_gradient(state.trial))
        state.aim()
        assert (state.trial >= 0).all()
        assert (state.trial <= 1).all()
        values.append(state.value.clone())
    rises = torch.stack(values).diff(dim=0)
    assert rises.max() <= 1e-14 * (1 + values[-1].abs().max())
    assert (state.value - qp.minimum <= 1e-7 * (1 + qp.minimum.abs())).all()


@settings(max_examples=15, deadline=None)
@given(size=st.integers(1, 6), seed=st.integers(0, 1000))
def test_a_problem_does_not_feel_its_neighbours(size, seed):
    qp = box_qps(6, 10, 0.5, 50.0, seed)
    together = solve(qp)
    part = BoxQP(qp.a[:size], qp.b[:size], qp.solution[:size])
    alone = solve(part)
    torch.testing.assert_close(alone.points, together.points[:size], rtol=0, atol=1e-9)
    assert torch.equal(alone.evaluations, together.evaluations[:size])


def test_the_squared_penalty_is_a_projection():
    """With a linear ℓ = gᵀz the minimiser of c‖z − a‖² + gᵀz is clip(a − g / 2c)."""
    generator = torch.Generator().manual_seed(3)
    a = torch.rand(5, 30, generator=generator, dtype=torch.float64)
    g = torch.randn(5, 30, generator=generator, dtype=torch.float64)
    c = torch.tensor([0.1, 0.5, 1.0, 2.0, 10.0], dtype=torch.float64)
    found = minimize_in_box(
        lambda z, rows: ((g[rows] * z).sum(1), g[rows]), a, UNIT_BOX, TIGHT, anchor=a, c=c
    )
    expected = (a - g / (2 * c[:, None])).clamp(0, 1)
    torch.testing.assert_close(found.points, expected, rtol=0, atol=1e-7)


def test_the_printed_penalty_shrinks_to_the_image_when_c_is_large():
    """c‖z − a‖ + gᵀz is least at a itself once c > ‖g‖, and at the box's edge for small c."""
    a = torch.full((2, 9), 0.5, dtype=torch.float64)
    g = torch.ones(2, 9, dtype=torch.float64)
    c = torch.tensor([3.5, 2.5], dtype=torch.float64)
    found = minimize_in_box(
        lambda z, rows: ((g[rows] * z).sum(1), g[rows]), a, UNIT_BOX, TIGHT, anchor=a, c=c,
        penalty="norm",
    )  # fmt: skip
    assert (found.points[0] - 0.5).norm() < 1e-4
    torch.testing.assert_close(found.points[1], torch.zeros(9, dtype=torch.float64))


def test_changing_c_in_the_middle_ends_where_that_c_does_and_wastes_nothing():
    """Values, gradients and pairs are the loss's own: what was learnt under one c serves another.

    From the minimiser at one c the next is nearer than from the anchor, where pairs are unknown.
    """
    qp = box_qps(16, 60, 0.5, 50.0, 5)
    anchor = torch.full_like(qp.b, 0.4)
    c, new_c = (torch.full((16,), value, dtype=torch.float64) for value in (2.0, 1.7))

    def descend(state: BoxDescent) -> int:
        for count in range(1, 500):
            state.consume(*qp.value_and_gradient(state.trial))
            if bool(state.finished().all()):
                return count
            state.aim()
        raise AssertionError("no end")

    state = BoxDescent(anchor, anchor, c, UNIT_BOX, TIGHT)
    descend(state)
    state.change_c(new_c, torch.ones(16, dtype=torch.bool))
    loss, gradient = qp.value_and_gradient(state.z)
    torch.testing.assert_close(state.gradient, gradient)
    expected = loss + new_c * (state.z - anchor).square().sum(1)
    torch.testing.assert_close(state.value, expected)
    state.measure()
    state.aim()
    again = descend(state)
    afresh = BoxDescent(anchor, anchor, new_c, UNIT_BOX, TIGHT)
    assert again < 0.8 * descend(afresh)
    torch.testing.assert_close(state.z, afresh.z, rtol=0, atol=1e-6)


def test_infinite_and_nan_values_are_stepped_back_from():
    """ℓ = −log z is infinite at 0 and NaN-free only inside: its minimiser with c is interior."""

    def barrier(z, rows):
        value = torch.where(z > 0.05, -z.clamp_min(1e-9).log(), torch.nan).sum(1)
        return value, torch.where(z > 0.05, -1 / z, torch.nan)

    start = torch.full((3, 4), 0.3, dtype=torch.float64)
    anchor = torch.zeros(3, 4, dtype=torch.float64)
    c = torch.tensor([2.0, 8.0, 50.0], dtype=torch.float64)
    found = minimize_in_box(barrier, start, Box(0.0, 1.0), TIGHT, anchor=anchor, c=c)
    expected = (1 / (2 * c)).sqrt()[:, None].expand(3, 4)
    torch.testing.assert_close(found.points, expected, rtol=0, atol=1e-6)
