"""DDN: the direction follows the loss, the length follows success."""

import torch
from torch import Tensor
from torch.nn import functional

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import cosine, gradient_of, reach, unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_GAMMA = 0.05
"""Of the length, from step to step: the source's γ."""


@attack(budget=1000)
def ddn(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """Decoupled direction and norm, L2 (Rony et al. 2019, arXiv:1811.09600, algorithm 1).

    r moves against the unit gradient of the cross-entropy by α, which falls from 1 to .01 along a
    cosine over `budget` steps; it is then given the length ε, 5 % shorter after a success and 5 %
    longer after a failure. Lengths are in box widths; ε starts at 1. Unlike in the source, nothing
    is rounded to 8 bits, and a vanished gradient gives way to one random direction drawn by `seed`.
    """
    best = Incumbent(images)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(1, images.shape[1], generator=generator).to(images)
    anywhere = unit(drawn.expand_as(images))
    farthest = reach(images, box)
    length = torch.full_like(farthest, box.width)
    points = images
    for step in range(budget):
        with torch.enable_grad():
            z = points.detach().requires_grad_()
            out = logits(z)
            loss = functional.cross_entropy(goal.natural(out), goal.classes, reduction="none")
            downhill = -gradient_of(loss if goal.targeted else -loss, z)
        margin = goal.secure_margin(out.detach())
        best.offer(points, margin, backward=1)
        direction = torch.where((downhill == 0).all(1, keepdim=True), anywhere, unit(downhill))
        alpha = box.width * (0.01 + 0.99 * cosine(step, budget))
        r = points - images + alpha * direction
        length = length * torch.where(margin > 0, 1 - _GAMMA, 1 + _GAMMA)
        length = torch.minimum(length, farthest)
        points = box.clamp(images + length[:, None] * unit(r))
    return best
