import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from torch import nn

from intriguing.errors import InputError
from intriguing.measures import Progress
from intriguing.training.lbfgs import LBFGSConfig, minimise


class _Quadratic:
    """½ (p − a)ᵀ H (p − a) + floor, its minimum a known, its curvatures 1 … condition."""

    def __init__(self, size: int, condition: float, floor: float = 0.0) -> None:
        generator = torch.Generator().manual_seed(0)
        basis, _ = torch.linalg.qr(
            torch.randn(size, size, generator=generator, dtype=torch.float64)
        )
        curvature = torch.logspace(0, math.log10(condition), size, dtype=torch.float64)
        self.hessian = basis @ curvature.diag() @ basis.T
        self.minimum = torch.randn(size, generator=generator, dtype=torch.float64)
        self.floor = floor
        self.parameter = nn.Parameter(torch.zeros(size, dtype=torch.float64))
        self.calls = 0

    def __call__(self) -> float:
        self.calls += 1
        away = self.parameter - self.minimum
        value = 0.5 * away @ self.hessian @ away + self.floor
        value.backward()
        return value.item()


def test_it_finds_the_minimum_and_says_why_it_stopped() -> None:
    problem = _Quadratic(30, 1e3)
    report = minimise([problem.parameter], problem, LBFGSConfig(gradient_tolerance=1e-5))
    torch.testing.assert_close(problem.parameter.detach(), problem.minimum, atol=6e-5, rtol=0)
    assert report.converged
    assert "gradient" in report.reason
    assert report.gradient_norm <= 1e-5
    assert report.gradient_norm == pytest.approx(float(problem.parameter.grad.abs().max()))
    assert len(report.history) == math.ceil(report.iterations / 25) + 1
    assert report.history[-1] == report.objective


def test_a_flat_objective_is_convergence_and_the_limit_is_not() -> None:
    flat = LBFGSConfig(tolerance=1e-3, gradient_tolerance=0, chunk=5)
    problem = _Quadratic(30, 1e3, floor=100.0)
    report = minimise([problem.parameter], problem, flat)
    assert report.converged
    assert "objective fell by less" in report.reason
    before, after = report.history[-2:]
    assert before - after <= 1e-3 * after
    assert all(a - b > 1e-3 * b for a, b in pairwise(report.history[:-1]))

    problem = _Quadratic(30, 1e6)
    report = minimise([problem.parameter], problem, LBFGSConfig(max_iterations=7, chunk=5))
    assert (report.converged, report.iterations) == (False, 7)
    assert "7 iterations" in report.reason


def test_every_evaluation_is_counted_once() -> None:
    problem = _Quadratic(20, 100.0)
    report = minimise(
        [problem.parameter], problem, LBFGSConfig(max_iterations=20, chunk=5, gradient_tolerance=0)
    )
    assert report.evaluations == problem.calls


def test_an_objective_that_is_not_finite_is_refused() -> None:
    parameter = nn.Parameter(torch.ones(2))

    def objective() -> float:
        value = (parameter * torch.nan).sum()
        value.backward()
        return value.item()

    with pytest.raises(InputError, match="NaN in the images"):
        minimise([parameter], objective)


def test_interrupted_anywhere_it_ends_with_the_same_bits(tmp_path: Path) -> None:
    config = LBFGSConfig(max_iterations=60, chunk=5, gradient_tolerance=0, tolerance=0, history=7)
    calm = _Quadratic(40, 1e4)
    expected = minimise([calm.parameter], calm, config)
    for stop in (5, 10, 35, 60):
        path = tmp_path / f"{stop}.safetensors"

        def interrupt(progress: Progress, stop: int = stop) -> None:
            if progress.done == stop:
                raise KeyboardInterrupt

        first, second = _Quadratic(40, 1e4), _Quadratic(40, 1e4)
        with pytest.raises(KeyboardInterrupt):
            minimise([first.parameter], first, config, checkpoint=path, progress=interrupt)
        report = minimise([second.parameter], second, config, checkpoint=path)
        assert torch.equal(second.parameter, calm.parameter)
        assert report.history == expected.history
        assert (report.iterations, report.evaluations) == (
            expected.iterations,
            expected.evaluations,
        )
        assert second.calls < calm.calls


def test_another_trainings_checkpoint_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    problem = _Quadratic(5, 10.0)
    minimise([problem.parameter], problem, identity="seed 0", checkpoint=path)
    with pytest.raises(InputError, match="belongs to another training"):
        minimise([problem.parameter], problem, identity="seed 1", checkpoint=path)
    with pytest.raises(InputError, match="belongs to another training"):
        minimise(
            [problem.parameter],
            problem,
            LBFGSConfig(history=3),
            identity="seed 0",
            checkpoint=path,
        )


def test_a_config_without_iterations_is_refused() -> None:
    with pytest.raises(InputError, match="at least 1"):
        LBFGSConfig(chunk=0)
