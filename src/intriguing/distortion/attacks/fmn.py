"""FMN: steps up the margin, on a sphere that closes in on the boundary."""

import torch
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import cosine, margin_and_gradient, reach, unit, within_box
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box, l2

_BEYOND = 1.02
"""Times the distance of the linearised boundary, where the source stops short of it; see below."""
_IN_VAIN = 5
"""Steps: whoever is not there by then is held back by the box."""


@attack(budget=1000)
def fmn(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """Fast minimum-norm attack, L2 (Pintor et al. 2021, arXiv:2102.12827, algorithm 1).

    r moves along the unit gradient of the margin by α, is given the length ε and clamped to the
    box. Until the first success ε reaches to the linearised boundary, |m|/‖∇m‖ from r; then it
    shrinks by γ after a success, to the shortest r at most, and grows by γ after a failure. α falls
    from 1 to .01 box widths and γ from .05 to .001, along a cosine over `budget` steps. Nothing is
    random: `seed` is not used.

    Two things differ from the source. It projects onto the ball of radius ε, adv-lib (adapted from
    the authors' code) onto the sphere, as is done here: where gradients vanish the ball leaves r a
    fifth longer. And it stalls short of the boundary for good where the box holds pixels back; so
    after five steps in vain, until the first success, ∇m is taken over the pixels that the box lets
    move, and ε reaches a little beyond the boundary instead of up to it.
    """
    best = Incumbent(images)
    tiny = torch.finfo(images.dtype).tiny
    farthest = reach(images, box)
    radius = torch.full_like(farthest, torch.inf)
    points = images
    for step in range(budget):
        margin, uphill = margin_and_gradient(logits, goal, points)
        best.offer(points, margin, backward=1)
        found = best.l2.isfinite()
        beyond = _BEYOND if step >= _IN_VAIN else 1.0
        if step >= _IN_VAIN:
            uphill = torch.where(found[:, None], uphill, within_box(uphill, points, box))
        alpha = box.width * (0.01 + 0.99 * cosine(step, budget))
        gamma = 0.001 + 0.049 * cosine(step, budget)
        ahead = margin.abs() / uphill.norm(dim=1).clamp_min(tiny)
        boundary = beyond * (l2(images, points) + ahead)
        outside = torch.where(found, radius * (1 + gamma), boundary)
        inside = torch.minimum(radius * (1 - gamma), best.l2)
        radius = torch.minimum(torch.where(margin > 0, inside, outside), farthest)
        r = points - images + alpha * unit(uphill)
        points = box.clamp(images + radius[:, None] * unit(r))
    return best
