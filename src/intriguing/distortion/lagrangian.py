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

import math
from typing import Literal, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.logit_unit import USUAL_UNIT
from intriguing.distortion.problem import Goal, Network
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
    kind: Kind,
    steps: int,
    stop: int,
    rate: float,
    end: float,
    smoothing: float,
) -> Float[Tensor, "b n"]:
    """Walk `stop` of `steps` steps of one pass each; the shortest adversarial point, or the last.

    `expected` is the distance D; `rate` is the first step in units of D and `end` the last one as a
    share of it; `smoothing` is how much of the past each running mean keeps. `goal` says what is
    adversarial, `towards` where to walk: the same, or one class of an untargeted goal.
    """
    x, z = best.images, start
    per_pixel = (rate * expected / x.shape[1] ** 0.5)[:, None]
    square, momentum = torch.ones_like(x), torch.zeros_like(x)
    mu, rho = torch.ones_like(expected), torch.ones_like(expected)
    previous = torch.full_like(expected, torch.inf)
    since = torch.full_like(expected, torch.inf)
    found, length = z, torch.full_like(expected, torch.inf)
    for step in range(min(stop, steps)):
        margin, y, slope = _constraint(network, goal, towards, z, kind)
        best.offer(z, margin, backward=1)
        away = z - x
        distance = away.norm(dim=1)
        adversarial = margin > 0
        shorter = adversarial & (distance < length)
        found = torch.where(shorter[:, None], z, found)
        length = torch.where(shorter, distance, length)
        since = torch.where(adversarial, since.clamp_max(step), since)
        if (step + 1) % _CHECK == 0:
            stuck = length.isinf() & ~(y < _IMPROVED * previous)
            rho = torch.where(stuck, _HEAVIER * rho, rho)
            previous = y
        if step:
            mu = (smoothing * mu + (1 - smoothing) * _pressure(y, mu, rho)).clamp(1e-6, 1e12)
        pull = (away / distance.clamp_min(1e-12)[:, None]) * (2.0 if step else 0.0)
        push = (_pressure(y, mu, rho) * 2)[:, None] * slope
        gradient = (pull + push).nan_to_num(0.0, 0.0, 0.0)
        square = smoothing * square + (1 - smoothing) * gradient.square()
        momentum = smoothing * momentum + gradient / (square.sqrt() + 1e-8)
        share = ((step - since).clamp_min(0) / (steps - since.clamp_max(steps - 1))).clamp(0, 1)
        rate_now = per_pixel * (math.log(end) * share.double()).exp().to(z.dtype)[:, None]
        z = torch.addcmul(z, rate_now, momentum, value=-1)
        z = box.clamp(z)
    return torch.where(length.isfinite()[:, None], found, z)


def _pressure(y: Tensor, mu: Tensor, rho: Tensor) -> Tensor:
    """The slope of penalty P2 at y: μ(1 + 2ρy) + ρ²y²/2 for y ≥ 0, μ/(1 − ρy)² below."""
    outside = mu * (1 + 2 * rho * y) + 0.5 * (rho * y).square()
    return torch.where(y >= 0, outside, mu / (1 - rho * y.clamp_max(0)).square())


def _constraint(
    network: Network, goal: Goal, towards: Goal, z: Tensor, kind: Kind
) -> tuple[Tensor, Tensor, Tensor]:
    """The secure margin, the constraint y ≤ 0 free of scale, and its slope as a unit vector."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        logits = network.logits(z)
        top = goal.scaled(logits).topk(min(4, logits.shape[1]), 1).values
        spread = (top[:, 0] - top[:, -2:].mean(1)) if top.shape[1] > 2 else top[:, 0] - top[:, -1]
        margin = towards.margin(logits)
        y = -margin / spread.clamp_min(1e-8)
        if kind == "entropy":
            sign = 1 if towards.targeted else -1
            # In float64, since exp of the last few of many float32 values rounds otherwise.
            surface = sign * functional.cross_entropy(
                USUAL_UNIT * goal.scaled(logits).double(), towards.classes, reduction="none"
            )
        else:
            surface = -margin if kind == "margin" else y
        slope = full_gradient(surface.sum(), z)
    slope = slope.nan_to_num(0.0, 0.0, 0.0)
    slope = slope / slope.norm(dim=1, keepdim=True).clamp_min(1e-30)
    return goal.secure_margin(logits.detach()), y.detach(), slope
