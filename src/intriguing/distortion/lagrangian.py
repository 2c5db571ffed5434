"""Coarse paths to adversarial images, in the manner of ALMA: they find the basins to polish.

Minimise ‖r‖ + μ·penalty by momentum steps scaled by the running size of each pixel's gradient, with
the multiplier μ and the penalty's weight ρ following the constraint y ≤ 0 (augmented Lagrangian of
Rony, Granger, Pedersoli & Ben Ayed 2021, arXiv 2011.11857, §3, penalty P2). It differs from the
source where a start asks for it: 100 steps that begin far apart and end coarse, everything measured
in units of the distance D at which an adversarial image is expected, and three kinds of constraint,
because each leads to other basins:

    "margin"   the margin itself, by its slope
    "entropy"  the slope of the cross-entropy, which presses on all rivals together
    "ratio"    the difference of logits ratio (Croce & Hein 2020)
"""

from functools import cache
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.logit_unit import USUAL_UNIT
from intriguing.distortion.margins import one_of
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.rows import only, spread_out, width_of
from intriguing.measures import Box
from intriguing.models.backward import full_gradient

Kind: TypeAlias = Literal["margin", "entropy", "ratio"]

_CHECK = 10
"""Steps between two looks at whether the constraint improves."""
_IMPROVED = 0.95
"""Share of its last value to which the constraint must have fallen, or it is pressed harder."""
_HEAVIER = 1.2
"""By which its weight then grows: at most 1.2¹⁰ in a path of 100 steps."""


def lagrangian_path(
    network: Network,
    goal: Goal,
    towards: Goal,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    expected: Float[Tensor, " b"],
    box: Box,
    *,
    classes: int,
    kind: Kind,
    steps: int,
    stop: int,
    rate: float,
    end: float,
    smoothing: Float[Tensor, " b"],
) -> Float[Tensor, "b n"]:
    """Walk `stop` of `steps` steps of one pass each; the shortest adversarial point, or the last.

    What a row does beyond its own budget is not taken, and where it ends then means nothing.

    `expected` is the distance D; `rate` is the first step in units of D and `end` the last one as a
    share of it; `smoothing` is how much of the past a row's running means keep. `goal` says what is
    adversarial, `towards` where to walk: the same, or one class of an untargeted goal.
    """
    x, z = best.images, start
    # The running mean of squares is kept as a sum, and what that makes too much is in the rate.
    kept, too_much = smoothing[:, None], (1 / (1 - smoothing))[:, None]
    per_pixel = (rate * expected / x.shape[1] ** 0.5)[:, None] * too_much.sqrt()
    square, momentum = too_much.expand_as(x), torch.zeros_like(x)
    mu, rho = torch.ones_like(expected), torch.ones_like(expected)
    previous = torch.full_like(expected, torch.inf)
    rates = _rates(steps, end, x.dtype, x.device)
    aims = one_of(towards.classes, classes).double()
    since = torch.full_like(best.forward, steps)
    found, length = z, torch.full_like(expected, torch.inf)
    for step in range(min(stop, steps)):
        few = only(best.within_budget, width_of(z))
        if few is not None and not len(few):
            break
        if few is None:
            margin, y, slope = _constraint(network, goal, towards, aims, z, kind)
        else:
            part = _constraint(network, goal[few], towards[few], aims[few], z[few], kind)
            margin, y, slope = (spread_out(one, few, len(z), 0.0) for one in part)
        away = z - x
        distance = away.norm(dim=1)
        best.offer(z, margin, backward=1, length=distance)
        adversarial = margin > 0
        shorter = adversarial & (distance < length)
        found = torch.where(shorter[:, None], z, found)
        length = torch.where(shorter, distance, length)
        since = torch.where(adversarial, since.clamp_max(step), since)
        if (step + 1) % _CHECK == 0:
            stuck = length.isinf() & ~(y < _IMPROVED * previous)
            rho = torch.where(stuck, _HEAVIER * rho, rho)
            previous = y
        heavy = rho * y
        above, below = heavy.clamp_min(0), (1 - heavy.clamp_max(0)).square()
        if step:
            mu = torch.lerp(mu, _pressure(mu, above) / below, 1 - smoothing).clamp(1e-6, 1e12)
        gradient = (2 * (_pressure(mu, above) / below))[:, None] * slope
        if step:
            gradient.addcdiv_(away, distance.clamp_min(1e-12)[:, None], value=2)
        gradient = gradient.nan_to_num(0.0, 0.0, 0.0)
        square = torch.addcmul(kept * square, gradient, gradient)
        momentum = torch.addcdiv(kept * momentum, gradient, square.sqrt().add_(1e-8))
        rate_now = per_pixel * rates[step].index_select(0, since)[:, None]
        z = box.clamp(torch.addcmul(z, rate_now, momentum, value=-1))
    return torch.where(length.isfinite()[:, None], found, z)


@cache
def _rates(
    steps: int, end: float, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "step since"]:
    """The length of a step, from 1 to `end`, by when an adversarial point was first met.

    No such point is written as `steps`.
    """
    table = [
        [end ** (max(step - since, 0) / max(steps - since, 1)) for since in range(steps + 1)]
        for step in range(steps)
    ]
    return torch.tensor(table, dtype=dtype, device=device)


def _pressure(mu: Tensor, above: Tensor) -> Tensor:
    """The slope of penalty P2 at y: μ(1 + 2ρy) + ρ²y²/2 for y ≥ 0, μ/(1 − ρy)² below.

    `above` is ρy where that is positive, and 0 below, where the caller divides.
    """
    return torch.addcmul(torch.addcmul(mu, mu, above, value=2), above, above, value=0.5)


def _constraint(
    network: Network, goal: Goal, towards: Goal, aims: Tensor, z: Tensor, kind: Kind
) -> tuple[Tensor, Tensor, Tensor]:
    """The secure margin, the constraint y ≤ 0 free of scale, and its slope as a unit vector."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        logits = network.logits(z)
    scaled = goal.scaled(logits.detach())
    margin, rival = towards.aim(scaled)
    top, order = scaled.topk(min(4, scaled.shape[1]), 1)
    last = -2 if top.shape[1] > 2 else -1
    spread = (top[:, last:].mean(1) - top[:, 0]).clamp_max(-1e-8)  # negative
    y = margin / spread
    if kind == "entropy":
        # In float64, since exp of the last few of many float32 values rounds otherwise.
        uphill = (USUAL_UNIT * scaled.double()).softmax(1) - aims
    else:
        uphill = torch.zeros_like(aims).scatter_(1, rival, 1.0) - aims
    uphill = (uphill if towards.targeted else -uphill).to(scaled.dtype)
    if kind == "ratio":
        # That of −margin/spread, times the spread.
        uphill = uphill.scatter_add_(1, order[:, :1], -y[:, None])
        share = (y / abs(last))[:, None].expand(-1, abs(last))
        uphill = uphill.scatter_add_(1, order[:, last:], share)
    uphill = uphill if goal.unit is None else uphill / goal.unit[:, None]
    slope = full_gradient(logits, z, slope=uphill)
    slope = slope.nan_to_num(0.0, 0.0, 0.0)
    slope = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
    secure = margin if towards is goal else goal.aim(scaled)[0]
    return (secure - goal.rounding_of(scaled)).nan_to_num(nan=-torch.inf), y, slope
