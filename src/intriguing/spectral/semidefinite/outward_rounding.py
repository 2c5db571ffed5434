"""The same ellipsoids once more, with every rounding error on the safe side.

`replay` carries an ellipsoid through the steps for given multipliers as `ellipsoid.carry` does, and
makes it larger wherever float64 may have made it smaller:

* A chain of matrix products has errors of at most γ times the same products of absolute values,
  entry by entry, with γ = 8(m + 16)·u and m the length of all sums together (Higham 2002, §3.5; the
  8 pays for complex arithmetic, the 16 for cosines, square roots and scaling). These products A of
  absolute values are carried along. A is a Gram matrix, so that |E_jk| ≤ γ·sqrt(A_jj·A_kk), and
  every Hermitian error E ⪯ γ·n·diag(A): that is added to Z, and taken off X.
* A Cholesky factor of X is not trusted: for Y, its computed inverse, ε ≥ ‖I − Y X Yᴴ‖ is computed.
  Then Y X Yᴴ ⪰ (1 − ε)I, which proves X ≻ 0 and X⁻¹ ⪯ YᴴY/(1 − ε).
* Every rule is monotone: a larger Z makes a larger ellipsoid.

T and e are exactly the squares of the floating-point numbers used.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.eigenvalue import UNIT, largest_eigenvalue
from intriguing.spectral.semidefinite.ellipsoid import (
    Axes,
    Covariance,
    Linear,
    Relax,
    Step,
    Windows,
    factored,
    moved,
)

EXCESS = 1.0 + 64.0 * UNIT
"""Pays for the rounding of a few scalar operations."""
CLEARANCE = 1e-7
"""How far above the largest eigenvalue a number is put that is then proved to bound it."""
TOLERANCE = 1e-9
"""The same at the end, where nothing is divided by what is left between them."""


@dataclass(frozen=True)
class Enclosure:
    """An ellipsoid that is not too small in exact arithmetic, in the rows that are `proved`.

    `magnitude` is made from absolute values as the ellipsoid is made from the numbers themselves.
    """

    ellipsoid: Axes | Covariance
    magnitude: Axes | Covariance
    proved: Bool[Tensor, " rows"]


def replay(
    steps: tuple[Step, ...],
    start: Float[Tensor, " n"],
    parameters: Float[Tensor, "rows parameters"],
) -> Enclosure:
    """Carry diag(start) through the steps, outwards."""
    state, used = opening(start, parameters), 0
    for step in steps:
        count = step.units if isinstance(step, Relax | Windows) else 0
        state = advanced(step, state, parameters[:, used : used + count])
        used += count
    return state


def opening(start: Float[Tensor, " n"], parameters: Float[Tensor, "rows _"]) -> Enclosure:
    """diag(start) in each row."""
    axes = Axes(start.expand(len(parameters), -1))
    return Enclosure(axes, axes, torch.ones_like(axes.squares[:, 0], dtype=torch.bool))


def advanced(step: Step, state: Enclosure, own: Float[Tensor, "rows own"]) -> Enclosure:
    """After one more step, with its own logarithms of T or e."""
    if isinstance(step, Relax):
        return _relaxed(step, state, own)
    return _windowed(step, state, own) if isinstance(step, Windows) else _moved(step, state)


def proved_largest(end: Enclosure) -> Float[Tensor, " rows"]:
    """An upper bound on sqrt(λ_max(G)); infinite in rows that are not proved."""
    if isinstance(end.ellipsoid, Axes):
        squares = end.ellipsoid.squares.amax(1).tolist()
    else:
        matrices = end.ellipsoid.matrix
        computed = (torch.linalg.eigvalsh(matrices)[..., -1].amax(1) * (1.0 + TOLERANCE)).tolist()
        squares = [
            largest_eigenvalue(row, at_least=value, tolerance=TOLERANCE)
            for row, value in zip(matrices, computed, strict=True)
        ]
    roots = [outward(square**0.5) for square in squares]
    return torch.where(
        end.proved, torch.tensor(roots, dtype=torch.float64, device=end.proved.device), torch.inf
    )


def proved_along(end: Enclosure, directions: Float[Tensor, "rows out"]) -> Float[Tensor, " rows"]:
    """An upper bound on sqrt(wᵀ G w) for each row's w; infinite in rows that are not proved."""
    assert isinstance(end.ellipsoid, Covariance)
    assert isinstance(end.magnitude, Covariance)
    size = directions.shape[1]
    squares = torch.einsum("ri,rij,rj->r", directions, end.ellipsoid.matrix[:, 0], directions)
    rounding = torch.einsum(
        "ri,rij,rj->r", directions.abs(), end.magnitude.matrix[:, 0], directions.abs()
    )
    roots = (squares + _gamma(2 * size) * rounding).clamp_min(0).sqrt().tolist()
    outer = torch.tensor([outward(root) for root in roots], dtype=torch.float64)
    return torch.where(end.proved, outer.to(end.proved.device), torch.inf)


def _moved(step: Step, state: Enclosure) -> Enclosure:
    """After a step without multipliers."""
    if not isinstance(step, Linear):
        after, size = moved(step, state.ellipsoid), moved(step, state.magnitude)  # type: ignore[arg-type]
    else:
        absolute = replace(step, weight=step.magnitude, flipped=None)
        after, size = moved(step, state.ellipsoid), moved(absolute, state.magnitude)
    assert isinstance(after, Axes | Covariance)
    assert isinstance(size, Axes | Covariance)
    if isinstance(after, Axes) or isinstance(size, Axes):
        assert isinstance(after, Axes)
        grown = Axes(after.squares * EXCESS)
        return Enclosure(grown, grown, state.proved)
    terms = 16
    if isinstance(step, Linear):
        terms = step.terms + 2 * step.weight.shape[-1] + step.weight.shape[-3]
    return Enclosure(
        Covariance(_grown(after.matrix, size.matrix, terms)), _twice(size.matrix), state.proved
    )


def _relaxed(step: Relax, state: Enclosure, logs: Tensor) -> Enclosure:
    """X̂ from below and Y with X̂⁻¹ ⪯ YᴴY, so that αZα + (YCᴴ)ᴴ(YCᴴ) is from above."""
    if not isinstance(step.low, Tensor) and step.low < 0.0:
        return _bent(step, state, logs)
    assert isinstance(state.ellipsoid, Covariance)
    assert isinstance(state.magnitude, Covariance)
    before, large = state.ellipsoid.matrix, state.magnitude.matrix
    scale = (0.5 * logs).exp()
    spread = scale * step.width
    n = before.shape[-1]
    identity = torch.eye(n, dtype=before.dtype, device=before.device)
    both = spread[:, None, :, None] * spread[:, None, None, :]
    inner = before * both
    size = 2.0 * identity.real + large * both
    below = _grown(2.0 * identity - 0.5 * (inner + inner.mH), size, 16, -1.0)
    half, error = inverse_factor(below, size)
    proved = state.proved & (error < 0.5).all(1)
    half = half / (1.0 - error).clamp_min(0.5).sqrt()[..., None, None]
    if not isinstance(step.low, Tensor) and step.low == 0.0:
        half = half / scale[:, None, None, :]
        size = half.abs().mT @ half.abs()
        return Enclosure(Covariance(_grown(half.mH @ half, size, 2 * n)), _twice(size), proved)
    low = torch.as_tensor(step.low, dtype=logs.dtype, device=logs.device).expand_as(logs)
    ones = torch.diag_embed(1.0 / scale)[:, None]
    side = half @ (low[:, None, :, None] * before * spread[:, None, None, :] + ones).mH
    sure = low.abs()[:, None, :, None] * large * spread[:, None, None, :] + ones
    around = half.abs() @ sure.mT
    outer = low[:, None, :, None] * low[:, None, None, :]
    size = outer.abs() * large + around.mT @ around
    after = outer * before + side.mH @ side
    return Enclosure(Covariance(_grown(after, size, 4 * n)), _twice(size), proved)


def _bent(step: Relax, state: Enclosure, logs: Tensor) -> Enclosure:
    """X̂ = 2I − (α+β)² (Ẑ + aẐ(I − aẐ)⁻¹Ẑ) from below, and Z = (S X̂ S)⁻¹ from above, S = T^½."""
    scale = (0.5 * logs).exp()
    inner, size = _scaled(state, scale)
    n = inner.shape[-1]
    identity = torch.eye(n, dtype=inner.dtype, device=inner.device)
    bend = -2.0 * step.low * step.high
    half, error = inverse_factor(identity - bend * inner, identity.real + bend * size)
    proved = state.proved & (error < 0.5).all(1)
    side = (1.0 - error)[:, :, None, None]
    inverse, absolute = half.mH @ half / side, half.abs().mT @ half.abs() / side
    inner = inner + bend * (inner @ inverse @ inner)
    size = size + bend * (size @ absolute @ size)
    inner = _grown(0.5 * (inner + inner.mH), size, 6 * n)
    square = (step.low + step.high) ** 2
    size = 2.0 * identity.real + square * size
    half, error = inverse_factor(_grown(2.0 * identity - square * inner, size, 16, -1.0), size)
    half = half / scale[:, None, None, :] / (1.0 - error).clamp_min(0.5).sqrt()[..., None, None]
    size = half.abs().mT @ half.abs()
    proved = proved & (error < 0.5).all(1)
    return Enclosure(Covariance(_grown(half.mH @ half, size, 2 * n)), _twice(size), proved)


def _windowed(step: Windows, state: Enclosure, logs: Tensor) -> Enclosure:
    """diag(e) with e made longer as a whole until it is proved to contain Z."""
    scale = (-0.5 * logs).exp()
    inner, size = _scaled(state, scale.repeat_interleave(step.repeat, dim=1))
    identity = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    largest = torch.linalg.eigvalsh(inner)[..., -1].amax(1) * (1.0 + CLEARANCE)
    level = largest[:, None, None, None]
    _, error = inverse_factor(level * identity - inner, level * identity.real + size)
    squares = step.factor**2 * largest[:, None] / scale.square() * EXCESS
    return Enclosure(Axes(squares), Axes(squares), state.proved & (error < 0.5).all(1))


def _scaled(state: Enclosure, scale: Tensor) -> tuple[Tensor, Tensor]:
    """S Z S, made larger by its rounding, and S A S."""
    assert isinstance(state.ellipsoid, Covariance)
    assert isinstance(state.magnitude, Covariance)
    both = scale[:, None, :, None] * scale[:, None, None, :]
    inner, size = state.ellipsoid.matrix * both, state.magnitude.matrix * both
    return _grown(0.5 * (inner + inner.mH), size, 16), size


def inverse_factor(
    matrix: Shaped[Tensor, "rows frequencies n n"], size: Float[Tensor, "rows frequencies n n"]
) -> tuple[Tensor, Float[Tensor, "rows frequencies"]]:
    """Y with X⁻¹ ⪯ YᴴY/(1 − ε), and ε; infinite where X is not positive definite."""
    n = matrix.shape[-1]
    identity = torch.eye(n, dtype=matrix.dtype, device=matrix.device)
    factor, _, positive = factored(matrix)
    half = torch.linalg.solve_triangular(factor, identity.expand_as(factor), upper=False)
    left = torch.linalg.matrix_norm(identity - half @ matrix @ half.mH)
    rounding = ((half.abs() @ size) * half.abs()).sum((-2, -1)) + n
    error = (left + _gamma(2 * n) * rounding) * EXCESS
    return half, torch.where(positive[:, None] & error.isfinite(), error, torch.inf)


def _grown(matrix: Tensor, size: Tensor, terms: int, sign: float = 1.0) -> Tensor:
    """Z + γ·n·diag(A), and a Hermitian matrix exactly."""
    diagonal = size.diagonal(dim1=-2, dim2=-1) * (sign * _gamma(terms) * size.shape[-1] * EXCESS)
    lower = matrix.tril(-1)
    exact = torch.diag_embed(matrix.diagonal(dim1=-2, dim2=-1).real + diagonal)
    return lower + lower.mH + exact


def _twice(size: Tensor) -> Covariance:
    """Room for what `_grown` adds, and for the rounding of the magnitudes themselves."""
    return Covariance(2.0 * size)


def _gamma(terms: int) -> float:
    return 8.0 * (terms + 16) * UNIT
