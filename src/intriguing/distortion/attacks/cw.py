"""C&W: Adam on the squared length plus a hinge of the margin, with a search for its weight."""

import torch
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import Adam, margin_and_gradient
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_SEARCHES = 9
"""Values of c that are tried, as in the authors' code."""
_RATE = 0.01
"""Adam's rate, as in the authors' code."""
_WAY = 10
"""How far w can go: 1,000 steps of .01; fewer steps are longer."""


@attack(budget=_SEARCHES * 1000)
def cw(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """The L2 attack of Carlini & Wagner (2017, arXiv:1608.04644, section VI.A).

    With x + r = (tanh w + 1)/2 in a box of width 1, so that no bound is needed, and m the goal's
    margin, Adam minimises ‖r‖² + c·max(−m, 0) over w, nine times with `budget`/9 steps each, every
    time from x. c starts at .001, is multiplied by 10 until there is a success, and then bisected.
    The confidence κ is 0. The learning rate is .01; with fewer than 1,000 steps it is 10/steps, so
    that w can go as far. No search is ended early: the usual rule for that looks at the whole
    batch. Nothing is random: `seed` is not used.
    """
    best = Incumbent(images)
    inner = 1 - max(1e-6, 2 * torch.finfo(images.dtype).eps)
    start = _atanh(inner * (2 * (images - box.lower) / box.width - 1))
    c = torch.full_like(best.l2, 0.001)
    low, high = torch.zeros_like(c), torch.full_like(c, torch.inf)
    searches = min(_SEARCHES, budget)
    steps = budget // searches
    rate = max(_RATE, _WAY / steps)
    for _ in range(searches):
        w, adam = start, Adam(start)
        reached = torch.zeros_like(c, dtype=torch.bool)
        for _ in range(steps):
            tanh = torch.tanh(w)
            points = box.clamp(box.lower + box.width * (tanh + 1) / 2)
            margin, uphill = margin_and_gradient(logits, goal, points)
            best.offer(points, margin, backward=1)
            reached |= margin > 0
            hinge = torch.where(margin > 0, 0, c * goal.sharpness)[:, None] * -uphill
            by_point = 2 * (points - images) / box.width**2 + hinge
            by_w = by_point * (1 - tanh**2) * box.width / 2
            w = w - rate * adam.direction(by_w)
        high = torch.where(reached, c, high)
        low = torch.where(reached, low, c)
        c = torch.where(high.isinf(), 10 * c, (low + high) / 2)
    return best


def _atanh(x: Tensor) -> Tensor:
    """½ log((1 + x)/(1 − x)) by operations that round a value alike wherever it stands (`rows`)."""
    return ((1 + x) / (1 - x)).log() / 2
