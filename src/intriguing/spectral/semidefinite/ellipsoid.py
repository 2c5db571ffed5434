"""Ellipsoids carried through a network: a semidefinite bound without a semidefinite solver.

For all changes of the input with ‖Δx₀‖ ≤ 1, what a layer's output can change by is kept inside an
ellipsoid {Δ : Δᵀ G⁻¹ Δ ≤ 1}. Three rules carry G on:

    linear map W      G → Z = W G Wᵀ                                                   exact
    slopes in [α, β]  Z → αZα + B X⁻¹ Bᵀ,  X = 2T − THZHT,  B = I + αZHT,
                      with H = diag(β − α) and any diagonal T ≥ 0
    windows (pools)   Z → f² diag(e),                                    any diagonal e with Z ⪯ e

*Why the second.* Of a change y = Dz with α ≤ D ≤ β, the part w = y − αz obeys wᵀ T (Hz − w) ≥ 0.
With zᵀZ⁻¹z ≤ 1, the sum zᵀ Z⁻¹ z − 2wᵀ T (Hz − w) is at most 1. It is a quadratic form in (z, w);
the block of its inverse that belongs to y = αz + w is the matrix above (a Schur complement), and
with α = 0 it is X⁻¹ alone. α and β may differ from unit to unit. Where α < 0 < β its two terms
would cancel; the same in terms of (z, y) is X⁻¹ with X = 2T − (α+β)² T (Z⁻¹ + 2αβ T)⁻¹ T. *Why the
third.* Z ⪯ diag(e) gives Σ ‖Δx_c‖²/e_c ≤ 1, and each channel's length grows by at most f.

At the end L² = λ_max(G), and wᵀ G w for one direction w of the output. Eliminating the layers one
by one this way is a Cholesky factorisation of the linear matrix inequality of LipSDP (Fazlyab et
al. 2019): every T for which all X ≻ 0 proves its bound, and the best T gives LipSDP's. wᵀ G w is a
corner of that matrix's inverse, hence convex in T and smooth: `multipliers.py` minimises it.

The same rules hold for every frequency of a convolution (`cyclic.py`): a leading dimension of the
matrices below. Another one is over output directions, each with a T of its own.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, TypeAlias

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

_UNIT = torch.finfo(torch.float64).eps / 2


@dataclass(frozen=True)
class Axes:
    """G = diag(squares), the same at every frequency."""

    squares: Float[Tensor, "rows n"]


@dataclass(frozen=True)
class Covariance:
    """G itself."""

    matrix: Shaped[Tensor, "rows frequencies n n"]


Ellipsoid: TypeAlias = Axes | Covariance


@dataclass(frozen=True)
class Linear:
    """z(ω) = Σ_a W(ω, a) x(ω_a): a matrix, a convolution, or the step from one to the other.

    Attributes:
        weight: W; one frequency and one alias for a matrix.
        magnitude: What |W| is made from, entry by entry: what rounding errors are proportional to.
        source: Which frequency of the layer before is ω_a; absent for a matrix.
        flipped: Whether it is that one's conjugate.
        real: Whether the result is real, as it is once all frequencies are added up.
        terms: How many terms each entry of W is the computed sum of; 0 where it is given.
    """

    weight: Shaped[Tensor, "frequencies aliases out in"]
    magnitude: Float[Tensor, "frequencies aliases out in"]
    source: Int[Tensor, "frequencies aliases"] | None = None
    flipped: Bool[Tensor, "frequencies aliases"] | None = None
    real: bool = True
    terms: int = 0

    @cached_property
    def wide(self) -> Shaped[Tensor, "frequencies out aliases*in"]:
        """All aliases' matrices side by side."""
        return self.weight.transpose(1, 2).flatten(2)

    @cached_property
    def adjoint(self) -> Shaped[Tensor, "frequencies aliases*in out"]:
        """The same, conjugated and transposed."""
        return self.wide.mH.resolve_conj().contiguous()


@dataclass(frozen=True)
class Relax:
    """Slopes in [low, high], one multiplier a unit (a channel, where there are frequencies).

    Attributes:
        low, high: For all units, or for each unit of each row.
        units: How many multipliers.
        place: Which of the chain's slopes this is, where a unit here is a unit there; else −1.
    """

    low: float | Float[Tensor, "rows units"]
    high: float | Float[Tensor, "rows units"]
    units: int
    place: int = -1

    def at(self, rows: Int[Tensor, " some"]) -> "Relax":
        """The same for some of the rows."""
        if isinstance(self.low, Tensor) and isinstance(self.high, Tensor):
            return replace(self, low=self.low[rows], high=self.high[rows])
        return self

    @property
    def steepest(self) -> float:
        """The largest slope in absolute value, of any unit."""
        ends = (torch.as_tensor(self.low), torch.as_tensor(self.high))
        return max(float(end.abs().max()) for end in ends)

    @property
    def width(self) -> float | Float[Tensor, "rows units"]:
        """high − low, rounded up."""
        return (self.high - self.low) * (1.0 + 4.0 * _UNIT)


@dataclass(frozen=True)
class Windows:
    """A map that makes no channel's change longer than `factor` times what it was.

    `repeat` units after one another are a channel's positions (1 where there are frequencies).
    """

    factor: float
    channels: int
    repeat: int = 1

    @property
    def units(self) -> int:
        """One number e a channel."""
        return self.channels


@dataclass(frozen=True)
class Scale:
    """Multiply by a number."""

    factor: float


@dataclass(frozen=True)
class Spread:
    """Write diag(squares) out: every channel's number once for each of its positions."""

    positions: int


Step: TypeAlias = Linear | Relax | Windows | Scale | Spread


@dataclass(frozen=True)
class Passage:
    """Where the ellipsoids of a batch of multipliers arrive.

    Attributes:
        end: The last one.
        barrier: Σ log det of what has to stay positive definite, averaged over frequencies.
        feasible: Whether it did.
    """

    end: Ellipsoid
    barrier: Float[Tensor, " rows"]
    feasible: Bool[Tensor, " rows"]


def carry(
    steps: tuple[Step, ...], start: Ellipsoid, parameters: Float[Tensor, "rows parameters"]
) -> Passage:
    """Carry an ellipsoid through the steps, with T or e = exp(parameters) for each in turn."""
    barrier = parameters.new_zeros(len(parameters))
    feasible = torch.ones_like(barrier, dtype=torch.bool)
    state, used = start, 0
    for step in steps:
        if isinstance(step, Relax | Windows):
            own = parameters[:, used : used + step.units]
            used += step.units
            rule = _relaxed if isinstance(step, Relax) else _windowed
            state, log_det, positive = rule(step, covariance(state), own)  # type: ignore[arg-type]
            barrier, feasible = barrier + log_det, feasible & positive
        else:
            state = moved(step, state)
    return Passage(state, barrier, feasible)


def moved(step: Linear | Scale | Spread, state: Ellipsoid) -> Ellipsoid:
    """The ellipsoid after a step without parameters."""
    if isinstance(step, Spread):
        assert isinstance(state, Axes)
        return Axes(state.squares.repeat_interleave(step.positions, dim=1))
    if isinstance(step, Linear):
        return _mapped(step, state)
    square = step.factor**2
    if isinstance(state, Axes):
        return Axes(state.squares * square)
    return Covariance(state.matrix * square)


def covariance(state: Ellipsoid) -> Shaped[Tensor, "rows frequencies n n"]:
    """G, one matrix a frequency."""
    if isinstance(state, Axes):
        return torch.diag_embed(state.squares)[:, None]
    return state.matrix


def _mapped(step: Linear, state: Ellipsoid) -> Covariance:
    """Z(ω) = Σ_a W(ω, a) G(ω_a) W(ω, a)ᴴ."""
    if isinstance(state, Axes):
        squares = state.squares.repeat(1, step.weight.shape[1])[:, None, None, :]
        return Covariance(_real(step, (step.wide * squares) @ step.adjoint))
    left = (step.weight @ _gathered(step, state.matrix)).transpose(2, 3).flatten(3)
    return Covariance(_real(step, left @ step.adjoint))


def _gathered(step: Linear, matrices: Tensor) -> Tensor:
    """Matrices of the frequencies that alias, (rows, frequencies, aliases, n, n)."""
    if step.source is None:
        return matrices[:, :, None]
    gathered = matrices[:, step.source]
    if step.flipped is None or not matrices.is_complex():
        return gathered
    return torch.where(step.flipped[..., None, None], gathered.conj(), gathered)


def _real(step: Linear, matrix: Tensor) -> Tensor:
    return matrix.real if step.real and matrix.is_complex() else matrix


def _relaxed(step: Relax, before: Tensor, logs: Tensor) -> tuple[Covariance, Tensor, Tensor]:
    """αZα + C X̂⁻¹ Cᴴ with X̂ = 2I − T^½ HZH T^½ and C = T^−½ + αZH T^½."""
    if not isinstance(step.low, Tensor) and step.low < 0.0:
        return _bent(step, before, logs)
    scale = (0.5 * logs).exp()
    spread = scale * step.width
    identity = torch.eye(before.shape[-1], dtype=before.dtype, device=before.device)
    inverse, log_det, positive = _inverse(2.0 * identity - _times(before, spread))
    if not isinstance(step.low, Tensor) and step.low == 0.0:
        return Covariance(_times(inverse, 1.0 / scale)), log_det, positive
    low = torch.as_tensor(step.low, dtype=logs.dtype, device=logs.device).expand_as(logs)
    both = low[:, None, :, None] * before * spread[:, None, None, :]
    both = both + torch.diag_embed(1.0 / scale)[:, None]
    return Covariance(_times(before, low) + both @ inverse @ both.mH), log_det, positive


def _bent(step: Relax, before: Tensor, logs: Tensor) -> tuple[Covariance, Tensor, Tensor]:
    """T^½ X̂ T^½ with X̂ = 2I − (α+β)² (I − aẐ)⁻¹Ẑ, Ẑ = T^½ Z T^½ and a = 2|αβ|."""
    scale = (0.5 * logs).exp()
    inner = _times(before, scale)
    identity = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    inverse, barrier, positive = _inverse(identity + 2.0 * step.low * step.high * inner)
    inner = inverse @ inner
    inner = 0.5 * (inner + inner.mH)
    inverse, log_det, definite = _inverse(2.0 * identity - (step.low + step.high) ** 2 * inner)
    return Covariance(_times(inverse, 1.0 / scale)), barrier + log_det, positive & definite


def _windowed(step: Windows, before: Tensor, logs: Tensor) -> tuple[Axes, Tensor, Tensor]:
    """diag(e) ⪰ Z, as I − e^−½ Z e^−½ ⪰ 0."""
    scale = (-0.5 * logs).exp().repeat_interleave(step.repeat, dim=1)
    inner = _times(before, scale)
    identity = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    _, log_det, definite = _inverse(identity - inner)
    return Axes(step.factor**2 * logs.exp()), log_det, definite


def _inverse(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """M⁻¹, log det M averaged over frequencies, and which rows are positive definite."""
    inverse, log_det, positive = _InverseLogDet.apply(matrix)  # type: ignore[no-untyped-call]
    return inverse, log_det, positive


class _InverseLogDet(torch.autograd.Function):
    """M⁻¹ and log det M, whose derivatives −M⁻¹·dM·M⁻¹ and tr(M⁻¹·dM) take two products."""

    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """From a Cholesky factor."""
        factor, log_det, positive = factored(matrix)
        inverse = torch.cholesky_inverse(factor)
        ctx.save_for_backward(inverse)
        ctx.mark_non_differentiable(positive)
        return inverse, log_det, positive

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        """Of the inverse, and of the mean over frequencies of the logarithm."""
        (inverse,) = ctx.saved_tensors
        by_inverse, by_log = gradients[:2]
        share = (by_log / inverse.shape[1])[:, None, None, None]
        result: Tensor = share * inverse - inverse @ by_inverse @ inverse
        return result


def factored(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cholesky factors (the identity in rows that lack some), mean log det, and who has all."""
    factor, info = torch.linalg.cholesky_ex(matrix)
    diagonal = factor.diagonal(dim1=-2, dim2=-1)
    positive = ((info == 0) & diagonal.real.isfinite().all(-1)).all(-1)
    identity = torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
    factor = torch.where(positive[:, None, None, None], factor, identity)
    logs = factor.diagonal(dim1=-2, dim2=-1).real.log().sum(-1)
    return factor, 2.0 * logs.mean(-1), positive


def _times(matrix: Tensor, scale: Tensor) -> Tensor:
    """S M S with S = diag(scale), the same at every frequency."""
    return scale[:, None, :, None] * matrix * scale[:, None, None, :]
