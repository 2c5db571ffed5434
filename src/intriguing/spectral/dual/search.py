"""The largest ball around an image that multipliers prove to be free of other classes."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.dual.around import Around, Dense, around
from intriguing.spectral.dual.ascent import climb
from intriguing.spectral.dual.ends import Nearer
from intriguing.spectral.dual.lagrangian import Lead, derivatives
from intriguing.spectral.dual.newton import Mixed, Point, affordable, path, value
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
FINER = (1.04, 1.015)
"""Balls of Newton's method, each as long as it gains: what is just beyond reach proves nothing."""
FINER_BALLS = 6
"""So many of them at most."""
FEW, WARMER, NEWTON = 60, 0.5, 25
"""Adam's steps before, the temperature after them, and Newton's steps."""
REHEATED, AGAIN = 0.05, 6
"""Temperature at least, and Newton's steps, from where the last ball's ended."""
ENDS = 20
"""Steps for nearer ends of each unit."""


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
    place = _Place(chain, image, low, high, values, rows, margins)
    known = place.climbed(known, steps, until)
    return place.finished(known, until)


@dataclass(frozen=True)
class _Place:
    """What `longer` is given of an image."""

    chain: Dense
    image: Float[Tensor, " pixels"]
    low: Float[Tensor, " pixels"]
    high: Float[Tensor, " pixels"]
    values: Sequence[Float[Tensor, " units"]]
    rows: Float[Tensor, "classes units"]
    margins: Float[Tensor, " classes"]

    def around(self, radius: float, nearer: Nearer | None = None) -> tuple[Around, Around]:
        """The network there, with few nodes a curve and with many."""
        region = Region(radius, self.low, self.high)
        return around(self.chain, self.image, self.values, region, nearer)

    def climbed(self, known: Tensor, steps: int, until: float) -> Tensor:
        """By Adam's steps, in ever larger balls."""
        known = known.clone()
        points: dict[int, Tensor] = {}
        factors, number = [WIDER] * WIDENINGS + [LAST] * ROUNDS, 0
        while factors and time.process_time() < until:
            before, factor = float(known.min()), factors.pop(0)
            radius = before * factor
            chosen = (known < radius).nonzero()[:, 0]
            coarse, fine = self.around(radius)
            lead = Lead(coarse, self.rows[chosen], self.margins[chosen])
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

    def finished(self, known: Tensor, until: float) -> Tensor:
        """By Newton's steps, which end nearer to the best multipliers of a ball.

        With a time to spend, ends of what enters later layers are made nearer, too.
        """
        known, factors, last = known.clone(), list(FINER), None
        nearer = Nearer(ENDS) if until < math.inf and len(self.values) > 1 else None
        whole = float(torch.maximum(-self.low, self.high).norm())
        for _ in range(FINER_BALLS):
            before = float(known.min())
            if not factors or before >= whole or time.process_time() >= until:
                break
            chosen = (known < before * factors[0]).nonzero()[:, 0]
            coarse, fine = self.around(before * factors[0], nearer)
            if not affordable(coarse.curves):
                break
            lead = Lead(coarse, self.rows[chosen], self.margins[chosen])
            leads = Mixed(coarse, lead.rows[:, None], lead.margins[:, None])
            point = None if last is None else _taken_on(leads, chosen, *last)
            if point is None:
                given = lead.multipliers(climb(lead, lead.start(), FEW))
                point = Point(given, torch.ones_like(leads.margins), WARMER * leads.unit)
                point = path(leads, point, NEWTON)
            else:
                point = path(leads, point, AGAIN)
            last = chosen, point
            proved = proved_radius(Lead(fine, lead.rows, lead.margins), point.given)
            known[chosen] = torch.maximum(known[chosen], proved)
            if float(known.min()) < before * ENOUGH:
                factors.pop(0)
        return known


def _taken_on(leads: Mixed, chosen: Tensor, before: Tensor, point: Point) -> Point | None:
    """Where Newton's method ended in the last ball, if that is a start here."""
    if not bool(torch.isin(chosen, before).all()):
        return None
    point = point.only(torch.searchsorted(before, chosen))
    point = replace(point, heat=torch.maximum(point.heat, REHEATED * leads.unit))
    return point if bool(value(leads, point).isfinite().all()) else None


def _heat(number: int) -> dict[str, float]:
    return {"hot": WARM} if number else {}


def work(chain: Dense, classes: int) -> float:
    """Floating-point operations of one step of the ascent, roughly."""
    sizes = [len(weight) for weight in chain.weights]
    return 25.0 * classes * sum(n**3 for n in (sizes[0], *sizes))
