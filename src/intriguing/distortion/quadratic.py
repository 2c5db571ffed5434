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

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.nn import functional

from intriguing.measures import Box

_DAMPING = 1e-6
"""Of a slope's square, added to the Hessian, which vanishes where every pixel is at a bound."""
_SHARES = (1.0, 0.5, 0.2, 0.05, 0.01, 0.0)
"""Shares of a projected Newton step that are tried together; the last one stays where it is."""
_SHORTER = (1.0, 0.4, 0.1, 0.02)
"""Shares of a Newton step of the dual: the first that does not lower it is taken."""
_LEAST, _PARTS = 1024, 16
"""Pixels that are worth a part of their own, and parts at most: the gradients of a part stay in a
processor's cache while it is worked on."""
_ALIGNED = 8
"""Values of float64 that processors work on at once, and caches hold together."""
# Far above any slope, and finite even over the least curvature, so that 0 times it is 0.
_NEVER = 1e100


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
    slopes: Float[Tensor, "b m"] | None = None,
) -> ClosestPoint:
    """Solve each problem with the constraints that are `on`, from the multipliers `start`.

    `slopes` are the norms of the gradients, where they are known. At most `steps` Newton steps;
    with contradictory constraints q has no maximum, and the point is the one that the steps have
    reached.
    """
    problem = _Dual(anchor, gradients, at_least.double(), box)
    warm = (start * on).clamp_min(0)
    tried = torch.stack((warm, torch.zeros_like(warm)), 1)
    points_of, residual_of, bounds = problem(tried)
    # The start, or none where it is worse: at λ = 0 the bound is not negative.
    which = _first(bounds >= 0)
    multipliers, bound = _chosen(tried, which), bounds.gather(1, which)
    points, residual = _chosen(points_of, which), _chosen(residual_of, which)
    # What a step may be at most where every pixel is at a bound and the Hessian vanishes.
    if slopes is None:
        slopes = torch.linalg.vector_norm(gradients, dim=2)
    damping = slopes.double().square().clamp_min(1e-30).mul_(_DAMPING)
    shares = _column(_SHORTER, bound)
    running = torch.ones_like(bound, dtype=torch.bool)
    for left in reversed(range(steps)):
        free = (points > box.lower) & (points < box.upper)
        if left == steps - 1:
            fresh = multipliers.amax(1, keepdim=True) <= 0
            if points.device.type != "cpu" or bool(fresh.any()):
                free |= _leaving(anchor, gradients, residual, on & fresh, box)
        hessian = _products_over(gradients, free).double()
        hessian.diagonal(dim1=1, dim2=2).add_(damping)
        system = _aligned(hessian, residual, multipliers, on)
        step = _newton(*system)[:, : on.shape[1]] - multipliers
        tried = torch.addcmul(multipliers[:, None], shares, step[:, None])
        points_of, residual_of, bounds = problem(tried)
        # The longest share of the step that is no worse.
        which = _first(bounds >= bound)
        now = bounds.gather(1, which)
        better = running & (now > bound)
        multipliers = torch.where(better, _chosen(tried, which), multipliers)
        points = torch.where(better, _chosen(points_of, which), points)
        before, bound = bound, torch.where(better, now, bound)
        if not left:
            break
        residual = torch.where(better, _chosen(residual_of, which), residual)
        running = bound - before > 1e-12 * bound.abs()
        if points.device.type == "cpu" and not running.any():
            break
    return ClosestPoint(points, multipliers, bound[:, 0])


def _leaving(
    anchor: Float[Tensor, "b n"],
    gradients: Float[Tensor, "b m n"],
    residual: Float[Tensor, "b m"],
    on: Bool[Tensor, "b m"],
    box: Box,
) -> Bool[Tensor, "b n"]:
    """Pixels that what is missing moves away from the anchor, where there are no multipliers yet.

    Half of the pixels of a black image would else count as held, and the first step be taken for
    longer than it is.
    """
    missing = torch.where(on, residual, 0).clamp_max(0).to(anchor.dtype)
    pushed = torch.baddbmm(anchor[:, None], missing[:, None], gradients, alpha=-1)[:, 0]
    return box.clamp(pushed) != anchor


@dataclass(frozen=True)
class _Dual:
    """z(λ), G z(λ) − t and q(λ), of several λ a problem at once."""

    anchor: Float[Tensor, "b n"]
    gradients: Float[Tensor, "b m n"]
    at_least: Float[Tensor, "b m"]
    box: Box

    def __call__(self, multipliers: Float[Tensor, "b s m"]) -> tuple[Tensor, Tensor, Tensor]:
        weights = multipliers.to(self.anchor.dtype)
        points, values, lengths = [], [], []
        for part in _parts(self.anchor):
            anchor, gradients = self.anchor[:, None, part], self.gradients[:, :, part]
            here = torch.baddbmm(anchor, weights, gradients).clamp_(*self._bounds(part))
            points.append(here)
            values.append(torch.bmm(here, gradients.transpose(1, 2)))
            away = torch.linalg.vector_norm(here - anchor, dim=2, dtype=torch.float64)
            lengths.append(away)
        residual = _total(values).double() - self.at_least[:, None]
        bound = -(multipliers * residual).sum(2)
        for length in lengths:
            bound.addcmul_(length, length, value=0.5)
        return torch.cat(points, 2) if len(points) > 1 else points[0], residual, bound

    def _bounds(self, part: slice) -> tuple[Any, Any]:
        """Of these pixels."""
        lower, upper = self.box.lower, self.box.upper
        if isinstance(lower, Tensor) and isinstance(upper, Tensor):
            return lower[part], upper[part]
        return lower, upper


def _products_over(
    gradients: Float[Tensor, "b m n"], free: Bool[Tensor, "b n"]
) -> Float[Tensor, "b m m"]:
    """The products of the gradients with each other over the pixels that are free."""
    products = []
    for part in _parts(free):
        across = gradients[:, :, part] * free[:, None, part]
        products.append(torch.bmm(across, across.transpose(1, 2)))
    return _total(products)


def _total(parts: Sequence[Tensor]) -> Tensor:
    """Their sum, in their order."""
    total = parts[0]
    for part in parts[1:]:
        total = total + part
    return total


def _parts(rows: Shaped[Tensor, "b n"]) -> Iterator[slice]:
    """Their pixels in turn, so that what is computed of many takes little memory, and its cache.

    All at once on an accelerator, where kernels cost more to launch than to fill.
    """
    pixels = rows.shape[1]
    size = max(_LEAST, -(-pixels // _PARTS)) if rows.device.type == "cpu" else pixels
    for begin in range(0, pixels, size):
        yield slice(begin, begin + size)


def _aligned(
    hessian: Float[Tensor, "b m m"],
    residual: Float[Tensor, "b m"],
    multipliers: Float[Tensor, "b m"],
    on: Bool[Tensor, "b m"],
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The same with constraints that are off, up to a multiple of `_ALIGNED`.

    Kernels for small matrices round by where these begin in memory, and so one problem otherwise
    than the next.
    """
    count = on.shape[1]
    missing = -count % _ALIGNED
    if count == 1 or not missing or on.device.type != "cpu":
        return hessian, residual, multipliers, on
    more = 0, missing
    hessian = functional.pad(hessian, more + more)
    hessian.diagonal(dim1=1, dim2=2)[:, count:] = 1
    residual, multipliers = functional.pad(residual, more), functional.pad(multipliers, more)
    return hessian, residual, multipliers, functional.pad(on, more)


def _newton(
    hessian: Float[Tensor, "b m m"],
    residual: Float[Tensor, "b m"],
    multipliers: Float[Tensor, "b m"],
    on: Bool[Tensor, "b m"],
) -> Float[Tensor, "b m"]:
    """Minimise ½dᵀHd + residualᵀd over multipliers + d ≥ 0 by projected Newton steps."""
    if hessian.shape[1] == 1:
        return torch.where(on, multipliers - residual / hessian[:, 0], 0).clamp_min(0)
    # A constraint that is off stays at 0, since it gains nothing.
    linear = torch.where(on, residual - products(hessian, multipliers), _NEVER)[:, None]
    alone = torch.diag_embed(hessian.diagonal(dim1=1, dim2=2))
    shares = _column(_SHARES, linear)
    x = multipliers[:, None]
    for _ in range(4):
        slope = torch.baddbmm(linear, x, hessian)
        # x > 0 or slope < 0; the others stay at 0, whatever the step.
        moving = torch.sub(slope, x, alpha=_NEVER) < 0
        system = torch.where(moving & moving.transpose(1, 2), hessian, alone)
        factor, _ = torch.linalg.cholesky_ex(system)
        step = torch.cholesky_solve(slope.transpose(1, 2), factor).transpose(1, 2)
        step = step.nan_to_num(0.0, 0.0, 0.0)
        tried = torch.addcmul(x, shares, step, value=-1).clamp_min(0)
        half = torch.baddbmm(linear, tried, hessian, alpha=0.5)
        x = _chosen(tried, (tried * half).sum(2).argmin(1, keepdim=True))[:, None]
    return x[:, 0]


def products(
    matrices: Float[Tensor, "b m n"], vectors: Float[Tensor, "b n"]
) -> Float[Tensor, "b m"]:
    """Each matrix times its vector."""
    return torch.bmm(matrices, vectors[:, :, None])[:, :, 0]


def _chosen(several: Float[Tensor, "b s k"], which: Int64[Tensor, "b 1"]) -> Float[Tensor, "b k"]:
    """One of each problem's several rows."""
    return several.gather(1, which[:, :, None].expand(-1, -1, several.shape[2]))[:, 0]


def _first(true: Bool[Tensor, "b s"]) -> Int64[Tensor, "b 1"]:
    """Where each row is true first; 0 where it nowhere is."""
    return true.byte().argmax(1, keepdim=True)


def _column(numbers: Sequence[float], like: Tensor) -> Float[Tensor, "1 s 1"]:
    return _on(tuple(numbers), like.dtype, like.device)[None, :, None]


@cache
def _on(numbers: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Sent to a device once: each sending is waited for."""
    return torch.tensor(numbers, dtype=dtype, device=device)
