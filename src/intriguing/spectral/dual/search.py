"""The largest ball around an image that multipliers prove to be free of other classes."""

import math
import time
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.dual.around import Dense, around
from intriguing.spectral.dual.ascent import climb
from intriguing.spectral.dual.lagrangian import Lead, derivatives
from intriguing.spectral.dual.proof import proved_radius
from intriguing.spectral.dual.region import Region

WIDER, LAST = 1.25, 1.04
"""The next ball, relative to the radius known: while all of the last one is proved, and then."""
WIDENINGS, ROUNDS = 12, 2
"""Balls at most of either kind; after the first, with half as many steps, from what was found."""
WHOLE = 0.999
"""Share of a ball from which on all of it counts as proved."""
WARM = 0.03
"""Temperature at first in these."""
ENOUGH = 1.003
"""A round that gains less is the last."""


def longer(
    chain: Dense, image: Float[Tensor, " pixels"], low: Float[Tensor, " pixels"],
    high: Float[Tensor, " pixels"], values: Sequence[Float[Tensor, " units"]],
    rows: Float[Tensor, "classes units"], margins: Float[Tensor, " classes"],
    known: Float[Tensor, " classes"], steps: int, until: float = math.inf,
) -> Float[Tensor, " classes"]:  # fmt: skip
    """Radii against each class, at least what is known.

    Classes are left out whose radius is known to be larger than the ball. One image's radii depend
    on nothing but itself.

    Args:
        image: What enters the first layer.
        low, high: Where changes of it lie, 0 between.
        values: What enters each activation.
        rows: Each lead as a function of the last activation's output.
        margins: Each lead, at the image.
        known: Radii that are proved already, above 0.
        steps: Of the ascent in the first ball.
        until: No ball is tried once the process has taken so many seconds.
    """
    known = known.clone()
    points: dict[int, Tensor] = {}
    factors, number = [WIDER] * WIDENINGS + [LAST] * ROUNDS, 0
    while factors and time.process_time() < until:
        before, factor = float(known.min()), factors.pop(0)
        radius = before * factor
        chosen = (known < radius).nonzero()[:, 0]
        coarse, fine = around(chain, image, values, Region(radius, low, high))
        lead = Lead(coarse, rows[chosen], margins[chosen])
        point = lead.start()
        if points:
            kept = torch.stack([points.get(k, point[i]) for i, k in enumerate(chosen.tolist())])
            inside, _ = derivatives(lead, kept, 1e-300)
            point = torch.where(inside[:, None], kept, point)
        point = climb(lead, point, steps // 2 if number else steps, **_heat(number))
        points = dict(zip(chosen.tolist(), point, strict=True))
        given = lead.multipliers(point)
        proved = proved_radius(Lead(fine, lead.rows, lead.margins), given)
        known[chosen] = torch.maximum(known[chosen], proved)
        number += 1
        if float(known.min()) < radius * WHOLE:
            if factor == LAST and float(known.min()) < before * ENOUGH:
                break
            factors = [LAST] * min(ROUNDS, sum(one == LAST for one in factors))
    return known


def _heat(number: int) -> dict[str, float]:
    return {"hot": WARM} if number else {}


def work(chain: Dense, classes: int) -> float:
    """Floating-point operations of one step of the ascent, roughly."""
    sizes = [len(weight) for weight in chain.weights]
    return 25.0 * classes * sum(n**3 for n in (sizes[0], *sizes))
