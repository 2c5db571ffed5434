"""ALMA: an augmented Lagrangian whose multiplier and penalty follow the margin."""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import gradient_of, unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_RATE = 0.1
"""The first step of a pixel at most, in box widths: that of the authors' code."""
_LENGTHS = 8.0
"""The same for the whole of r, in lengths to the linearised boundary, which it bends back to."""
_REDUCTION = 0.01
"""What is left of the rate in the end."""
_SMOOTHING = 0.9
"""α of the multiplier, of the mean square and of the momentum alike."""
_CHECK, _IMPROVED, _GROWTH = 10, 0.95, 1.2
"""Every M steps ρ grows by γ where nothing was found and the constraint is above τ of itself."""


@attack(budget=1000)
def alma(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """Augmented Lagrangian method, L2 (Rony et al. 2021, arXiv:2011.11857, algorithm 1).

    With y the constraint y ≤ 0, which is −m over the spread of the logits (`_constraint`), r
    follows the gradient of

        ‖r‖ + P(y, ρ, μ),    P₂ of the source: ∂P/∂y = μ + 2μρy + ρ²y²/2  for y ≥ 0,
                                                       μ/(1 − ρy)²        below,

    by RMSProp with momentum, in the box. μ is a moving average of ∂P/∂y. The rate falls to a
    hundredth from the first success on. The source asks for a first rate, or for the length of the
    first step; here it is eight times what DeepFool's first step takes, at most .1 of the box a
    pixel. Nothing is random: `seed` is not used.
    """
    best = Incumbent(images)
    r, momentum = torch.zeros_like(images), torch.zeros_like(images)
    square = torch.ones_like(images)
    mu, rho = torch.ones_like(best.l2), torch.ones_like(best.l2)
    rate, before = torch.full_like(mu, _RATE), torch.full_like(mu, torch.inf)
    since = torch.full_like(mu, budget)
    for step in range(budget):
        points = box.clamp(images + box.width * r)
        with torch.enable_grad():
            z = points.detach().requires_grad_()
            out = logits(z)
            y = _constraint(goal, out)
            uphill = box.width * gradient_of(y, z)
        y = y.detach().nan_to_num(nan=torch.inf).clamp(-_FAR, _FAR)
        margin = goal.secure_margin(out.detach())
        best.offer(points, margin, backward=1)
        since = torch.where((margin > 0) & (since == budget), step, since)
        if step == 0:
            away = y.abs() / uphill.norm(dim=1) * _LENGTHS / images.shape[1] ** 0.5
            rate = torch.minimum(rate, away.nan_to_num(nan=_RATE))
            before = y
        elif (step + 1) % _CHECK == 0:
            stuck = best.l2.isinf() & ~(y < _IMPROVED * before)
            rho, before = torch.where(stuck, _GROWTH * rho, rho), y
        if step:
            mu = (_SMOOTHING * mu + (1 - _SMOOTHING) * _slope(y, rho, mu)).clamp(1e-6, 1e12)
        gradient = unit(r) + _slope(y, rho, mu)[:, None] * uphill
        square = _SMOOTHING * square + (1 - _SMOOTHING) * gradient**2
        momentum = _SMOOTHING * momentum + gradient / (square.sqrt() + 1e-8)
        part = (step - since).clamp_min(0) / (budget - since).clamp_min(1)
        rate_now = rate * (_LOG_REDUCTION * part).exp()
        moved = box.clamp(images + box.width * (r - rate_now[:, None] * momentum))
        r = (moved - images) / box.width
    return best


_FAR = 1e6
"""Values of the constraint beyond which its square would overflow."""
_LOG_REDUCTION = float(torch.tensor(_REDUCTION).log())


def _slope(y: Float[Tensor, " b"], rho: Tensor, mu: Tensor) -> Float[Tensor, " b"]:
    """∂P₂/∂y."""
    above = mu + 2 * mu * rho * y + 0.5 * (rho * y) ** 2
    return torch.where(y >= 0, above, mu / (1 - rho * y.clamp_max(0)) ** 2)


def _constraint(goal: Goal, out: Float[Tensor, "b k"]) -> Float[Tensor, " b"]:
    """−m over f₁ − f₃, the largest logits; (f₃ + f₄)/2 with a target; m alone where none are left.

    The ratio of Croce & Hein (2020, arXiv:2003.01690, section 4.1), free of the logits' size.
    """
    out = goal.scaled(out)
    margin = goal.aim(out)[0] - goal.rounding_of(out)
    wanted = 4 if goal.targeted else 3
    if out.shape[1] < wanted:
        return -margin
    top = out.topk(wanted).values
    return -margin / (top[:, 0] - top[:, 2:].mean(1) + 1e-8)
