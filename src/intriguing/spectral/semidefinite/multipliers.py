"""The multipliers that make the last ellipsoid small: the optimum of LipSDP, by L-BFGS.

`ellipsoid.carry` gives L² as a smooth function of T that is finite where all X ≻ 0. Its minimum
lies on the edge of that region, so that the sum

    log L²(T) − μ Σ log det X

is minimised for a falling series of μ, in log T, which keeps T > 0 (convexity in T makes every
stationary point the minimum in any coordinates). λ_max is smoothed as (Σ λ^p)^(1/p) with p growing
as μ falls. The start is the point at which every X is what the product of norms would make of it,
so that the result is never worse than that.
"""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from intriguing.spectral.semidefinite.batched_lbfgs import descend
from intriguing.spectral.semidefinite.ellipsoid import (
    Axes,
    Covariance,
    Ellipsoid,
    Linear,
    Relax,
    Step,
    Windows,
    carry,
    covariance,
    moved,
)

TINY = 1e-200
"""In the place of 0, whose logarithm is taken."""
SHRINK = 0.95
"""How far inside the feasible region the start lies."""


def leading(steps: Sequence[Step], start: Ellipsoid) -> tuple[tuple[Step, ...], Ellipsoid]:
    """The steps from the first that has multipliers, and the ellipsoid that arrives there."""
    state = start
    for number, step in enumerate(steps):
        if isinstance(step, Relax | Windows):
            return tuple(steps[number:]), state
        state = moved(step, state)
    return (), state


def product_start(steps: Sequence[Step], start: Ellipsoid) -> Float[Tensor, "1 parameters"]:
    """Multipliers that give the product bound: each ellipsoid is inside the ball that it implies.

    With Z ⪯ λI, slopes in [α, β] and s = max(|α|, |β|), T = I/(sλ(β−α)) gives X ⪰ I/(s²λ).
    """
    state, logs = start, []
    for step in steps:
        if not isinstance(step, Relax | Windows):
            state = moved(step, state)
            continue
        largest = torch.linalg.eigvalsh(covariance(state))[..., -1].max().clamp_min(TINY)
        if isinstance(step, Relax):
            level = SHRINK / (step.steepest * largest * step.width)
        else:
            level = largest / SHRINK
        own = torch.as_tensor(level).log().expand(1, step.units)
        state = carry((step,), state, own).end
        logs.append(own)
    return torch.cat(logs, 1)


def minimise(
    steps: tuple[Step, ...],
    start: Ellipsoid,
    parameters: Float[Tensor, "rows parameters"],
    directions: Float[Tensor, "rows out"] | None,
    *,
    barriers: Sequence[float],
    iterations: int,
) -> Iterator[tuple[Float[Tensor, "rows parameters"], int]]:
    """Better multipliers after each μ: for the whole map, or for each direction of its output.

    With them comes how many times an objective was evaluated, over all rows.
    """
    for barrier in barriers:
        evaluations = 0

        def objective(
            point: Tensor, rows: Tensor, barrier: float = barrier
        ) -> tuple[Tensor, Tensor]:
            nonlocal evaluations
            evaluations += len(rows)
            point = point.detach().requires_grad_()
            passage = carry(at(steps, rows), start, point)
            inside = passage.feasible
            if directions is None:
                growth = _smooth_largest(passage.end, inside, power=0.8 / barrier**0.5)
            else:
                growth = _along(passage.end, directions[rows])
            value = growth - barrier * passage.barrier
            inside = inside & value.isfinite()
            if not inside.any():
                return torch.full_like(value, torch.inf).detach(), torch.zeros_like(point)
            (gradient,) = torch.autograd.grad(value[inside].sum(), point)
            inside = inside & gradient.isfinite().all(1)
            return (
                torch.where(inside, value.detach(), torch.inf),
                torch.where(inside[:, None], gradient, 0.0),
            )

        parameters = descend(objective, parameters, steps=iterations)
        yield parameters, evaluations


def at(steps: Sequence[Step], rows: Int[Tensor, " some"]) -> tuple[Step, ...]:
    """The steps of some of the rows, where slopes are of each row."""
    return tuple(step.at(rows) if isinstance(step, Relax) else step for step in steps)


def _smooth_largest(end: Ellipsoid, inside: Tensor, power: float) -> Tensor:
    """(1/p) log Σ λ^p over the eigenvalues at all frequencies."""
    if isinstance(end, Axes):
        values = end.squares
    else:
        matrix = covariance(end)
        identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
        usable = inside & matrix.isfinite().flatten(1).all(1)
        matrix = torch.where(usable[:, None, None, None], matrix, identity)
        values = torch.linalg.eigvalsh(matrix).flatten(1)
    return torch.logsumexp(power * values.clamp_min(TINY).log(), 1) / power


def _along(end: Ellipsoid, directions: Float[Tensor, "rows out"]) -> Tensor:
    """log wᵀ G w."""
    matrix = covariance(end)[:, 0]
    squares = ((matrix @ directions[:, :, None])[:, :, 0] * directions).sum(1)
    return squares.clamp_min(TINY).log()


def work(steps: Sequence[Step], start: Ellipsoid) -> float:
    """Floating-point operations, roughly, of one objective with its gradient for one row."""
    total, frequencies, complex_factor = 0.0, 1, 1
    full = isinstance(start, Covariance)
    for step in steps:
        if isinstance(step, Linear):
            frequencies, aliases, out, into = step.weight.shape
            complex_factor = 4 if step.weight.is_complex() else 1
            both = into**2 * out if full else 0
            total += complex_factor * frequencies * aliases * 4.0 * (both + out**2 * into)
            if step.real:
                frequencies, complex_factor = 1, 1
            full = True
        elif isinstance(step, Relax | Windows):
            n = step.units * (step.repeat if isinstance(step, Windows) else 1)
            total += complex_factor * frequencies * 5.0 * n**3
            full = isinstance(step, Relax)
    return total


def numbers(step: Step) -> int:
    """How many numbers a step's matrices hold, for one row."""
    if isinstance(step, Linear):
        frequencies, aliases, out, into = step.weight.shape
        return frequencies * (out * out + aliases * out * into)
    if isinstance(step, Windows):
        return (step.units * step.repeat) ** 2
    return step.units**2 if isinstance(step, Relax) else 0
