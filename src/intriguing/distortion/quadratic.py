"""The closest point of a box under linear constraints: many small-dual quadratic programs at once.

    minimise ½‖z − a‖²   subject to   G z ≥ t,   lower ≤ z ≤ upper

has one unknown λ ≥ 0 for each of the m rows of G in its dual (m is a few dozen, pixels may be
100,000s): z(λ) = clip(a + Gᵀλ), and the dual value

    q(λ) = ½‖z(λ) − a‖² − λᵀ(G z(λ) − t)

bounds the optimum from below for every λ ≥ 0, whatever was reached. q is concave and piecewise
quadratic with Hessian −G_F G_Fᵀ over the free pixels F, so a semismooth Newton method with a line
search on q ends after a few steps. Each Newton step is itself a problem with m unknowns and bounds
λ ≥ 0; all small systems are in float64.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.measures import Box

_DAMPING = 1e-6
_SHARES = (1.0, 0.5, 0.2, 0.05, 0.01)


@dataclass(frozen=True)
class ClosestPoint:
    """z(λ), the multipliers λ and the dual value q(λ), one row a problem."""

    points: Float[Tensor, "b n"]
    multipliers: Float[Tensor, "b m"]
    bound: Float[Tensor, " b"]


def closest_point(
    anchor: Float[Tensor, "b n"],
    gradients: Float[Tensor, "b m n"],
    at_least: Float[Tensor, "b m"],
    on: Bool[Tensor, "b m"],
    start: Float[Tensor, "b m"],
    box: Box,
    steps: int,
) -> ClosestPoint:
    """Solve each problem with the constraints that are `on`, from the multipliers `start`.

    At most `steps` Newton steps; with contradictory constraints q has no maximum, and the point is
    the one that the steps have reached.
    """
    problem = _Dual(anchor, gradients, at_least.double(), box)
    multipliers = (start * on).clamp_min(0)
    points, residual, bound = problem(multipliers)
    worse_than_none = ~(bound >= 0)
    if points.device.type != "cpu" or worse_than_none.any():
        multipliers = torch.where(worse_than_none[:, None], 0, multipliers)
        points, residual, bound = problem(multipliers)
    # What a step may be at most where every pixel is at a bound and the Hessian vanishes.
    norms = torch.linalg.vector_norm(gradients, dim=2).double()
    damping = _DAMPING * norms.square().clamp_min(1e-30)
    running = torch.ones_like(bound, dtype=torch.bool)
    for _ in range(steps):
        free = (points > box.lower) & (points < box.upper)
        across = gradients * free[:, None]
        hessian = torch.bmm(across, across.transpose(1, 2)).double() + torch.diag_embed(damping)
        step = _newton(hessian, residual, multipliers, on) - multipliers
        tried = multipliers + step
        new_points, new_residual, new_bound = problem(tried)
        for share in (0.4, 0.1, 0.02):
            worse = ~(new_bound >= bound)
            shorter = torch.where(worse[:, None], multipliers + share * step, tried)
            if points.device.type == "cpu" and not worse.any():
                break
            tried = shorter
            new_points, new_residual, new_bound = problem(tried)
        better = running & (new_bound > bound)
        multipliers = torch.where(better[:, None], tried, multipliers)
        points = torch.where(better[:, None], new_points, points)
        residual = torch.where(better[:, None], new_residual, residual)
        running = better & (new_bound - bound > 1e-12 * new_bound.abs())
        bound = torch.where(better, new_bound, bound)
        if points.device.type == "cpu" and not running.any():
            break
    return ClosestPoint(points, multipliers, bound)


@dataclass(frozen=True)
class _Dual:
    """z(λ), G z(λ) − t and q(λ)."""

    anchor: Tensor
    gradients: Tensor
    at_least: Tensor
    box: Box

    def __call__(self, multipliers: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        weights = multipliers.to(self.anchor.dtype)[:, :, None]
        pushed = torch.baddbmm(self.anchor[:, :, None], self.gradients.transpose(1, 2), weights)
        points = self.box.clamp(pushed[:, :, 0])
        values = products(self.gradients, points)
        residual = values.double() - self.at_least
        away = (points - self.anchor).double()
        value = 0.5 * away.square().sum(1) - (multipliers * residual).sum(1)
        return points, residual, value


def _newton(
    hessian: Float[Tensor, "b m m"],
    residual: Float[Tensor, "b m"],
    multipliers: Float[Tensor, "b m"],
    on: Bool[Tensor, "b m"],
) -> Float[Tensor, "b m"]:
    """Minimise ½dᵀHd + residualᵀd over multipliers + d ≥ 0 by projected Newton steps."""
    diagonal = hessian.diagonal(dim1=1, dim2=2)
    linear = residual - products(hessian, multipliers)

    def value(x: Tensor) -> Tensor:
        return (x * (0.5 * products(hessian, x) + linear)).sum(1)

    x, best = multipliers, value(multipliers)
    for _ in range(4):
        slope = products(hessian, x) + linear
        moving = (on & ((x > 0) | (slope < 0))).double()
        system = hessian * moving[:, :, None] * moving[:, None, :]
        system = system + torch.diag_embed((1 - moving) * diagonal)
        factor, _ = torch.linalg.cholesky_ex(system)
        step = -torch.cholesky_solve((slope * moving)[:, :, None], factor)[:, :, 0]
        step = step.nan_to_num(0.0, 0.0, 0.0)
        tried = torch.stack([(x + share * step).clamp_min(0) for share in _SHARES])
        values = torch.stack([value(trial) for trial in tried])
        lowest, which = values.min(0)
        better = lowest < best
        chosen = tried[which, torch.arange(len(x), device=x.device)]
        x = torch.where(better[:, None], chosen, x)
        best = torch.where(better, lowest, best)
    return x


def products(
    matrices: Float[Tensor, "b m n"], vectors: Float[Tensor, "b n"]
) -> Float[Tensor, "b m"]:
    """Each matrix times its vector."""
    return torch.bmm(matrices, vectors[:, :, None])[:, :, 0]
