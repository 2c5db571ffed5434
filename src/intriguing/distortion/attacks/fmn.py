"""FMN: steps up the margin, projected onto a ball that closes in on the boundary."""

import torch
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import (
    cosine,
    margin_and_gradient,
    reach,
    unit,
    within_box,
)
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box, l2

_OVERSHOOT = 0.1
"""Beyond the linearised boundary, where the source stops short of it; see below."""


@attack(budget=1000)
def fmn(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """Fast minimum-norm attack, L2 (Pintor et al. 2021, arXiv:2102.12827, algorithm 1).

    r moves along the unit gradient of the margin by α and is projected onto the ball of radius ε
    and the box. Until the first success ε reaches 10 % beyond the linearised boundary, |m|/‖∇m‖
    from r; then it shrinks by γ after a success, to the shortest r at most, and grows by γ after a
    failure. α falls from 1 to .01 box widths and γ from .05 to .001, along a cosine over `budget`
    steps. Nothing is random: `seed` is not used.

    Two things differ from the source, whose algorithm stalls short of the boundary wherever the box
    holds pixels back: ∇m is taken over the pixels that the box lets move, since the others carry r
    nowhere and make ε too short, and ε goes a little beyond the boundary instead of up to it. (The
    authors' code passes the boundary because its first ε adds up a batch's margins, foolbox's
    because its projection does nothing.)
    """
    best = Incumbent(images)
    tiny = torch.finfo(images.dtype).tiny
    farthest = reach(images, box)
    radius = torch.full_like(farthest, torch.inf)
    points = images
    for step in range(budget):
        margin, uphill = margin_and_gradient(logits, goal, points)
        best.offer(points, margin, backward=1)
        uphill = within_box(uphill, points, box)
        alpha = box.width * (0.01 + 0.99 * cosine(step, budget))
        gamma = 0.001 + 0.049 * cosine(step, budget)
        ahead = (1 + _OVERSHOOT) * margin.abs() / uphill.norm(dim=1).clamp_min(tiny)
        boundary = l2(images, points) + ahead
        outside = torch.where(best.l2.isfinite(), radius * (1 + gamma), boundary)
        inside = torch.minimum(radius * (1 - gamma), best.l2)
        radius = torch.minimum(torch.where(margin > 0, inside, outside), farthest)
        r = points - images + alpha * unit(uphill)
        shrink = (radius / r.norm(dim=1).clamp_min(tiny)).clamp_max(1)
        points = box.clamp(images + shrink[:, None] * r)
    return best
