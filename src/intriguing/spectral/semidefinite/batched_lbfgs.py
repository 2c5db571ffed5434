"""L-BFGS for many small smooth problems at once, that never leaves where they are defined."""

from collections.abc import Callable
from typing import TypeAlias

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

Objective: TypeAlias = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]
"""(points, which rows they belong to) → values, infinite where undefined, and gradients."""

HISTORY = 30
"""Pairs of L-BFGS: nearly as many as there are iterations, as problems are small."""
LONGEST = 2.0
"""The longest first trial of a line search, in any coordinate."""
SHORTER = 0.4
"""How much a trial is shortened: the edge of the feasible region is often that near."""
TRIALS = 14
"""Of a line search; the last is 4e-6 of the first."""
ARMIJO = 1e-4
"""Share of the slope that a step must gain (Nocedal & Wright, 3.1)."""


def descend(
    objective: Objective, start: Float[Tensor, "rows n"], *, steps: int, tolerance: float = 5e-5
) -> Float[Tensor, "rows n"]:
    """Minimise each row's objective from a start where it is finite (Nocedal & Wright, 7.4).

    A step is shortened until the objective decreases enough; a point where it is infinite never
    does. A row is done when two steps in a row gain less than `tolerance`; all stop after `steps`.
    """
    rows = torch.arange(len(start), device=start.device)
    point = start.clone()
    value, gradient = objective(point, rows)
    memory = _Memory(start)
    idle = torch.zeros_like(rows)
    for _ in range(steps):
        active = torch.nonzero(idle < 2)[:, 0]
        if not len(active):
            break
        direction = memory.direction(gradient)[active]
        moved = _search(objective, point, value, gradient, direction, active)
        new_point, new_value, new_gradient = moved
        idle = torch.where(value - new_value < tolerance, idle + 1, 0)
        memory.learn(new_point - point, new_gradient - gradient)
        point, value, gradient = new_point, new_value, new_gradient
    return point


def _search(
    objective: Objective,
    point: Tensor,
    value: Tensor,
    gradient: Tensor,
    direction: Tensor,
    active: Int[Tensor, " active"],
) -> tuple[Tensor, Tensor, Tensor]:
    """Backtrack along each active row's direction until it decreases enough, or stay."""
    slope = (direction * gradient[active]).sum(1)
    uphill = slope >= 0
    direction = torch.where(uphill[:, None], -gradient[active], direction)
    slope = torch.where(uphill, -gradient[active].square().sum(1), slope)
    length = (LONGEST / direction.abs().amax(1).clamp_min(1e-300)).clamp_max(1.0)
    point, value, gradient = point.clone(), value.clone(), gradient.clone()
    base, start = point[active], value[active]
    searching = torch.arange(len(active), device=active.device)
    for _ in range(TRIALS):
        rows = active[searching]
        trial = base[searching] + length[searching, None] * direction[searching]
        tried, tried_gradient = objective(trial, rows)
        enough = tried <= start[searching] + ARMIJO * length[searching] * slope[searching]
        taken = rows[enough]
        point[taken], value[taken] = trial[enough], tried[enough]
        gradient[taken] = tried_gradient[enough]
        searching = searching[~enough]
        if not len(searching):
            break
        length[searching] *= SHORTER
    return point, value, gradient


class _Memory:
    """Each row's latest pairs of steps and changes of gradient, and the product H·g they give."""

    def __init__(self, start: Tensor) -> None:
        self.pairs: list[tuple[Tensor, Tensor, Tensor]] = []
        self.curvature = torch.zeros_like(start[:, 0])

    def learn(self, step: Tensor, change: Tensor) -> None:
        """Add a pair; one without positive curvature leaves its row's product as it is."""
        product = (step * change).sum(1)
        usable: Bool[Tensor, " rows"] = product > 1e-12 * step.norm(dim=1) * change.norm(dim=1)
        weight = torch.where(usable, 1.0 / product.clamp_min(1e-300), 0.0)
        latest = product / change.square().sum(1).clamp_min(1e-300)
        self.curvature = torch.where(usable, latest, self.curvature)
        self.pairs = [*self.pairs[1 - HISTORY :], (step, change, weight)]

    def direction(self, gradient: Tensor) -> Tensor:
        """−H·g by the two-loop recursion; at first, a step of length 1 downhill."""
        result, shares = gradient, []
        for step, change, weight in reversed(self.pairs):
            share = (weight * (step * result).sum(1))[:, None]
            result = result - share * change
            shares.append(share)
        unit = 1.0 / gradient.norm(dim=1).clamp_min(1e-300)
        result = result * torch.where(self.curvature > 0, self.curvature, unit)[:, None]
        for (step, change, weight), share in zip(self.pairs, reversed(shares), strict=True):
            result = result + (share - (weight * (change * result).sum(1))[:, None]) * step
        return -result
