"""APGD within a radius, and a search for the least radius in which it finds an example."""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import margin_and_gradient, reach, unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_RADII = 10
"""That are tried: doubling finds a length, halving the rest leaves less than 1 % of it."""
_FEWEST = 8
"""Steps within a radius: with fewer its checkpoints say nothing, and fewer radii are tried."""
_AHEAD = 1.2
"""The first radius, in lengths to the linearised boundary, which curves away."""
_MOMENTUM = 0.75
"""α of the source's equation 1."""
_RISING = 0.75
"""ρ: steps of a period that must raise the margin, or the step is halved."""
_FIRST, _SHORTER, _SHORTEST = 0.22, 0.03, 0.06
"""Parts of all steps: the first period, by what each is shorter, and the shortest."""


@attack(budget=1000)
def apgd(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """Auto-PGD, L2 (Croce & Hein 2020, arXiv:2003.01690, algorithm 1), of minimal norm.

    The radius begins 20 % beyond the linearised boundary, doubles until there is a success, and is
    then bisected between the last failure and the shortest example, ten times with `budget`/10
    steps each. Within a radius z climbs the margin from the last example, moved into the ball,
    with the source's momentum and checkpoints. Nothing is random: `seed` is not used.
    """
    best = Incumbent(images)
    margin, uphill = margin_and_gradient(logits, goal, images)
    best.offer(images, margin, backward=1)
    farthest = reach(images, box)
    ahead = _AHEAD * margin.abs() / uphill.norm(dim=1)
    radius = torch.minimum(ahead.nan_to_num(nan=torch.inf), farthest)
    low = torch.zeros_like(radius)
    radii = max(1, min(_RADII, (budget - 1) // _FEWEST))
    steps = (budget - 1) // radii
    start = images
    for _ in range(radii if steps else 0):
        shortest = best.l2
        _climb(logits, goal, box, best, start, radius, steps)
        failed = ~(best.l2 <= torch.minimum(radius, shortest)) | (best.l2 == shortest)
        low = torch.where(failed, radius, low)
        wider = torch.minimum(2 * radius, farthest)
        radius = torch.where(best.l2.isinf(), wider, (low.minimum(best.l2) + best.l2) / 2)
        start = best.points
    return best


def _climb(
    logits: Logits, goal: Goal, box: Box, best: Incumbent, start: Float[Tensor, "b n"],
    radius: Float[Tensor, " b"], steps: int,
) -> None:  # fmt: skip
    """`steps` passes up the margin within the ball and the box."""
    x = best.images

    def inside(points: Float[Tensor, "b n"]) -> Float[Tensor, "b n"]:
        r = points - x
        shrink = (radius / r.norm(dim=1).clamp_min(torch.finfo(r.dtype).tiny)).clamp_max(1)
        return box.clamp(x + shrink[:, None] * r)

    z = before = highest = inside(start)
    size = 2 * radius
    top = last_top = torch.full_like(radius, -torch.inf)
    slope = torch.zeros_like(x)
    rises, previous = torch.zeros_like(radius), torch.full_like(radius, torch.inf)
    halved = torch.zeros_like(radius, dtype=torch.bool)
    period = max(1, round(_FIRST * steps))
    check = period
    for step in range(steps):
        margin, uphill = margin_and_gradient(logits, goal, z)
        best.offer(z, margin, backward=1)
        rises = rises + (margin > previous)
        previous, higher = margin, margin > top
        top = torch.where(higher, margin, top)
        highest = torch.where(higher[:, None], z, highest)
        slope = torch.where(higher[:, None], uphill, slope)
        if step == check:
            stale = ~halved & ~(top > last_top)
            halved = (rises < _RISING * period) | stale
            size = torch.where(halved, size / 2, size)
            z = torch.where(halved[:, None], highest, z)
            uphill = torch.where(halved[:, None], slope, uphill)
            last_top, rises = top, torch.zeros_like(rises)
            period = max(period - round(_SHORTER * steps), 1, round(_SHORTEST * steps))
            check += period
        on = inside(z + size[:, None] * unit(uphill))
        weight = _MOMENTUM if step else 1.0
        after = inside(z + weight * (on - z) + (1 - weight) * (z - before))
        before, z = z, after
