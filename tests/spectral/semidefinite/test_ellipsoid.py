"""The optimisation and its proof: multipliers, their ellipsoids, and what rounding may do."""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor

from intriguing.spectral.semidefinite.ellipsoid import (
    Axes,
    Covariance,
    Linear,
    Relax,
    Step,
    Windows,
    carry,
)
from intriguing.spectral.semidefinite.multipliers import leading, minimise, product_start
from intriguing.spectral.semidefinite.outward_rounding import proved_along, proved_largest, replay
from tests.oracles.lipsdp import smallest_bound
from tests.spectral.semidefinite.test_chain import SLOPES, weights


def matrix_step(weight: Tensor) -> Linear:
    return Linear(weight[None, None], weight.abs()[None, None])


def steps_of(matrices: list[Tensor], low: float, high: float) -> tuple[Step, ...]:
    steps: list[Step] = []
    for matrix in matrices:
        steps += [matrix_step(matrix), Relax(low, high, len(matrix))]
    return tuple(steps[:-1])


def optimised(steps: tuple[Step, ...], width: int, **options: object) -> Tensor:
    rest, state = leading(steps, Axes(torch.ones(1, width, dtype=torch.float64)))
    start = product_start(rest, state)
    found = list(minimise(rest, state, start, None, **options))  # type: ignore[arg-type]
    return found[-1][0]


@pytest.mark.parametrize("slope", SLOPES)
def test_multipliers_prove_the_bound_in_the_undivided_inequality(
    slope: tuple[float, float],
) -> None:
    matrices = weights((5, 7, 6, 3), 20)
    steps = steps_of(matrices, *slope)
    multipliers = optimised(steps, 5, barriers=(1e-2, 1e-3), iterations=30)
    bound = float(proved_largest(replay(steps, torch.ones(5, dtype=torch.float64), multipliers)))
    arrays = [matrix.numpy() for matrix in matrices]
    # T here is for ‖Δx₀‖ ≤ 1, in the inequality for ‖Δx₀‖² counted ρ times.
    scaled = multipliers.exp()[0].numpy() * bound**2
    undivided = smallest_bound(arrays[:-1], arrays[-1], scaled, *slope)
    assert undivided <= bound * (1 + 1e-9)
    if sum(slope) != 0:  # Otherwise the inequality falls apart into one a layer.
        assert undivided >= bound * (1 - 1e-6)


def test_every_unit_can_have_slopes_of_its_own() -> None:
    matrices = weights((5, 7, 6, 3), 20)
    draw = torch.Generator().manual_seed(2)
    low = torch.rand(13, generator=draw, dtype=torch.float64)
    high = low + 0.05 + torch.rand(13, generator=draw, dtype=torch.float64)
    steps = list(steps_of(matrices, 0.0, 1.0))
    steps[1] = Relax(low[None, :7], high[None, :7], 7)
    steps[3] = Relax(low[None, 7:], high[None, 7:], 6)
    multipliers = optimised(tuple(steps), 5, barriers=(1e-2, 1e-3), iterations=40)
    end = replay(tuple(steps), torch.ones(5, dtype=torch.float64), multipliers)
    bound = float(proved_largest(end))
    scaled = multipliers.exp()[0].numpy() * bound**2
    arrays = [matrix.numpy() for matrix in matrices]
    undivided = smallest_bound(arrays[:-1], arrays[-1], scaled, low.numpy(), high.numpy())
    assert bound * (1 - 1e-6) <= undivided <= bound * (1 + 1e-9)
    equal = steps_of(matrices, float(low.min()), float(high.max()))
    wider = optimised(equal, 5, barriers=(1e-2, 1e-3), iterations=40)
    assert bound < float(proved_largest(replay(equal, torch.ones(5).double(), wider)))


def exactly(weight: Tensor) -> list[list[Fraction]]:
    return [[Fraction(value) for value in row] for row in weight.tolist()]


def product(left: list[list[Fraction]], right: list[list[Fraction]]) -> list[list[Fraction]]:
    columns = list(zip(*right, strict=True))
    return [[sum(a * b for a, b in zip(row, c, strict=True)) for c in columns] for row in left]


def inverse(matrix: list[list[Fraction]]) -> list[list[Fraction]] | None:
    """By elimination without pivoting; None unless positive definite."""
    size = len(matrix)
    rows = [row + [Fraction(int(i == j)) for j in range(size)] for i, row in enumerate(matrix)]
    for pivot in range(size):
        if rows[pivot][pivot] <= 0:
            return None
        rows[pivot] = [value / rows[pivot][pivot] for value in rows[pivot]]
        for other in range(size):
            if other != pivot:
                factor = rows[other][pivot]
                rows[other] = [
                    a - factor * b for a, b in zip(rows[other], rows[pivot], strict=True)
                ]
    return [row[size:] for row in rows]


def exact_square(matrices: list[Tensor], scales: list[Tensor], low: float, high: float) -> float:
    """wᵀ G w of the recursion in rational numbers; infinite where some X is not definite."""
    first = exactly(matrices[0])
    before = product(first, [list(column) for column in zip(*first, strict=True)])
    bend, total = 2 * Fraction(low) * Fraction(high), (Fraction(low) + Fraction(high)) ** 2
    for matrix, scale in zip(matrices[1:], scales, strict=True):
        weight = [Fraction(value) ** 2 for value in scale.tolist()]
        size = range(len(weight))
        spread = [[int(i == j) + bend * before[i][j] * weight[j] for j in size] for i in size]
        # (Z⁻¹ + aT)⁻¹ = (I + aZT)⁻¹ Z; I + aZT is similar to a definite matrix.
        undone = inverse(spread)
        assert undone is not None
        middle = product(undone, before)
        form = [
            [
                2 * int(i == j) * weight[i] - total * weight[i] * middle[i][j] * weight[j]
                for j in size
            ]
            for i in size
        ]
        covariance = inverse(form)
        if covariance is None:
            return float("inf")
        step = exactly(matrix)
        turned = [list(column) for column in zip(*step, strict=True)]
        before = product(product(step, covariance), turned)
    return float(before[0][0])


@pytest.mark.parametrize("slope", [(0.0, 1.0), (0.1, 1.0), (-0.13, 1.13), (0.0, 0.25)])
@pytest.mark.parametrize("towards_the_edge", [0.0, 0.5, 0.99, 1 - 1e-7, 1 - 1e-12])
def test_is_not_below_rational_arithmetic_up_to_the_edge_of_the_region(
    slope: tuple[float, float], towards_the_edge: float
) -> None:
    matrices = weights((3, 3, 3, 1), 21)
    steps = steps_of(matrices, *slope)
    inside = optimised(steps, 3, barriers=(1e-2,), iterations=30)
    start = Axes(torch.ones(1, 3, dtype=torch.float64))

    def feasible(shift: float) -> bool:
        return bool(carry(steps, start, inside + shift * direction).feasible)

    direction = torch.tensor([[0.3, -0.2, 0.5, 0.9, 0.4, -0.3]], dtype=torch.float64)
    low, high = 0.0, 64.0
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if feasible(middle) else (low, middle)
    point = inside + towards_the_edge * low * direction
    proved = float(proved_largest(replay(steps, start.squares[0], point)))
    scales = list((0.5 * point[0]).exp().split(3))
    exact = exact_square(matrices, scales, *slope) ** 0.5
    assert proved >= exact
    if towards_the_edge < 0.999:
        assert proved <= exact * (1 + 1e-8)


def test_proves_directions_and_windows_outwards() -> None:
    first, second = weights((4, 6, 3), 22)
    steps: tuple[Step, ...] = (matrix_step(first), Windows(1.5, 3, 2))
    logs = optimised(steps, 4, barriers=(1e-2, 1e-3), iterations=30)
    end = replay(steps, torch.ones(4, dtype=torch.float64), logs).ellipsoid
    assert isinstance(end, Axes)
    inside = torch.diag((end.squares[0] / 1.5**2).repeat_interleave(2)) - first @ first.T
    assert float(torch.linalg.eigvalsh(inside)[0]) >= -1e-12
    chain = steps_of([first, second], 0.0, 1.0)
    logs = optimised(chain, 4, barriers=(1e-2,), iterations=30)
    enclosure = replay(chain, torch.ones(4, dtype=torch.float64), logs)
    assert isinstance(enclosure.ellipsoid, Covariance)
    along = proved_along(enclosure, torch.eye(3, dtype=torch.float64))
    exact = enclosure.ellipsoid.matrix[0, 0].diagonal().sqrt()
    assert bool((along >= exact).all())
    torch.testing.assert_close(along, exact, rtol=1e-8, atol=0)


def test_says_infinite_outside_the_region() -> None:
    first, second = weights((4, 6, 3), 23)
    chain = steps_of([first, second], 0.0, 1.0)
    outside = torch.full((1, 6), 10.0, dtype=torch.float64)
    enclosure = replay(chain, torch.ones(4, dtype=torch.float64), outside)
    assert float(proved_largest(enclosure)) == float("inf")
    assert np.isinf(proved_along(enclosure, torch.eye(3, dtype=torch.float64)).numpy()).all()


def test_falling_barriers_only_improve() -> None:
    matrices = weights((6, 9, 8, 4), 24)
    steps = steps_of(matrices, 0.0, 1.0)
    start = torch.ones(6, dtype=torch.float64)
    bounds = [
        float(proved_largest(replay(steps, start, optimised(steps, 6, barriers=b, iterations=60))))
        for b in [(1e-1,), (1e-1, 1e-2), (1e-1, 1e-2, 1e-3), (1e-1, 1e-2, 1e-3, 1e-4)]
    ]
    assert bounds == sorted(bounds, reverse=True)
