import torch
from torch import Tensor

from intriguing.spectral.semidefinite.batched_lbfgs import descend


def test_reaches_the_minimum_of_each_row_from_inside_its_region() -> None:
    """c·x − Σ log x_i has its minimum at x = 1/c, and is defined for x > 0 only."""
    draw = torch.Generator().manual_seed(0)
    costs = torch.rand(5, 12, generator=draw, dtype=torch.float64) * 10 + 0.1

    def objective(point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        assert point.shape == (len(rows), 12)
        inside = (point > 0).all(1)
        safe = torch.where(point > 0, point, 1.0)
        value = (costs[rows] * point).sum(1) - safe.log().sum(1)
        gradient = costs[rows] - 1.0 / safe
        return torch.where(inside, value, torch.inf), torch.where(inside[:, None], gradient, 0.0)

    found = descend(objective, torch.ones(5, 12, dtype=torch.float64), steps=200, tolerance=1e-12)
    torch.testing.assert_close(found, 1.0 / costs, rtol=1e-4, atol=0)


def test_follows_a_curved_valley() -> None:
    def rosenbrock(point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        point = point.detach().requires_grad_()
        x, y = point.unbind(1)
        value = (1 - x) ** 2 + 100 * (y - x**2) ** 2
        return value.detach(), torch.autograd.grad(value.sum(), point)[0]

    starts = torch.tensor([[-1.2, 1.0], [2.0, 2.0], [1.0, 1.0]], dtype=torch.float64)
    found = descend(rosenbrock, starts, steps=200, tolerance=1e-14)
    torch.testing.assert_close(found, torch.ones_like(found), rtol=1e-5, atol=0)
