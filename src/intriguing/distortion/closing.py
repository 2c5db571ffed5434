"""Closing in: steps on spheres around x that shrink after a success and grow after a failure.

    r ← r + α‖r*‖·d,    then ‖r‖ ← ε,    clamped to the box

in the manner of FMN and DDN (Pintor et al. 2021, arXiv 2102.12827; Rony et al. 2019, arXiv
1811.09600). What differs:

* Every length is in units of the shortest r* so far, from which it starts.
* d follows the gradient along the sphere only, since ε alone decides how far out z is; half of it
  is the last one's, which damps the swing between two rivals.
* α and the change of ε fall by the same factor in every step: most is gained at the beginning.
* Where the margin, linear between x and z, says that the boundary is nearer, ε goes there at once.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.attacks.steps import unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.uphill import Slope, uphill
from intriguing.measures import Box


@dataclass(frozen=True)
class Closing:
    """How a path goes: by the soft margin or the margin itself, its first α, and its passes.

    It begins at the shortest r, or at x, from where its first step leads to a sphere as large.
    """

    soft: bool
    swing: float
    steps: int
    from_image: bool = False


FIRST = Closing(soft=True, swing=0.35, steps=16)
"""By the soft margin, which leads to the nearest of several rivals; more passes gain little. A
swing of .5 is 1 to 4 % longer at 10 passes on three of four kinked networks, and up to 1.5 %
shorter at 40."""
SECOND = Closing(soft=False, swing=0.5, steps=20)
"""By the margin itself, which ends on the boundary; it finds other basins than the first."""

THIRD = Closing(soft=True, swing=2.0, steps=30)
"""Wide of the sphere at first, so that it comes down elsewhere: polishing what the second path has
found gains less. Of swings of 0.5, 1, 2, 3, by either margin, 30 and 60 passes, and of paths that
begin at x, the best on a robust ResNet and a network of max-pooling (100 passes, 32 images)."""

BACK = Closing(soft=True, swing=1.0, steps=40, from_image=True)
"""Back to x, where the shortest r is so long that paths from there stay in a distant basin. 25
steps or a swing of .5 are .5 to 1 % longer."""

_LAST_SWING = 0.05
"""The last α."""
_CHANGE = (0.1, 0.005)
"""First and last share by which ε changes."""
_FAR = 1.2
"""Times ε below ‖r*‖, after a failure, that it takes up half of the way at once."""
_MOMENTUM = 0.5
"""Of d that is the last one's."""
_REMEMBERED = 0.5
"""Of how alike gradients were, that is of earlier steps: some three steps count."""


def close_in(
    network: Network,
    goal: Goal,
    best: Incumbent,
    at_x: Float[Tensor, " b"],
    box: Box,
    closing: Closing,
    stop: int,
    known: Slope | None = None,
) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Improve `best` by the first `stop` passes of a path; `at_x` is the margin at x.

    Every row has an adversarial point already. `known` is the slope where the path begins: with it
    the first step takes no pass. Rows that go toward a class of their own begin at x.

    Returns how alike the gradients of successive points are, the cosine, on average of the last
    few: where the network is smooth as far as these steps go, it is 1 but for thousandths; and
    which share of the pixels the last gradient has, (Σ|g|)²/(n·Σg²): 1 where all count alike.
    """
    x = best.images
    z = x if closing.from_image else best.points
    if goal.toward is not None:
        z = torch.where(goal.toward[:, None], x, z)
    radius, tiny = best.l2, torch.finfo(x.dtype).tiny
    direction = before = gradient = torch.zeros_like(x)
    alike = torch.zeros_like(radius)
    ends = (closing.swing, _LAST_SWING), _CHANGE
    for step in range(min(stop + (known is not None), closing.steps)):
        alpha, change = (a * (b / a) ** (step / closing.steps) for a, b in ends)
        r = z - x
        length = r.norm(dim=1)
        if step == 0 and known is not None:
            margin, gradient = known
        else:
            margin, gradient = uphill(network, goal, z, closing.soft, best.within_budget)
            best.offer(z, margin, backward=1, length=length)
        shortest = best.l2
        on_line = (length * at_x / (at_x - margin)).nan_to_num(torch.inf, torch.inf, torch.inf)
        inside = torch.minimum(radius * (1 - change), shortest * (1 - change / 5))
        inside = torch.minimum(inside, on_line * (1 + change))
        outside = torch.minimum(radius * (1 + change), shortest * (1 - 1e-4))
        half_way = torch.minimum((length * shortest).sqrt(), shortest / _FAR)
        radius = torch.where(margin > 0, inside, torch.maximum(outside, half_way))
        upward = unit(gradient)
        alike = torch.lerp(alike, torch.linalg.vecdot(upward, before), 1 - _REMEMBERED)
        before = upward
        outward = r / length.clamp_min(tiny)[:, None]
        along = torch.linalg.vecdot(gradient, outward)[:, None]
        sideways = unit(torch.addcmul(gradient, along, outward, value=-1))
        direction = _MOMENTUM * direction + (1 - _MOMENTUM) * sideways
        r = torch.addcmul(r, (alpha * shortest)[:, None], unit(direction))
        scale = radius / r.norm(dim=1).clamp_min(tiny)
        z = box.clamp(torch.addcmul(x, scale[:, None], r))
    spread = gradient.abs().sum(1) / (x.shape[1] ** 0.5 * gradient.norm(dim=1))
    return alike, spread.square()
