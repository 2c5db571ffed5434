"""Good multipliers: Adam on the soft bound, which never leaves where the bound is defined."""

import math
import time

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.spectral.dual.lagrangian import Lead, derivatives

HOT, COLD = 0.1, 0.01
"""Temperature at first and at last, relative to the lead at the image, for each unit."""
RATE, SLOWEST = 0.05, 0.05
"""Adam's step, for parameters of sizes near 1, and what is left of it at the end."""
PIXELS = 0.1
"""Steps of the pixels' multipliers relative to the others': they are many, and each does little."""
MEAN, SQUARE = 0.9, 0.98
"""Adam's decays; of squares a shorter memory than usual, as there are some 100 steps."""
STEEP = 3.0
"""Derivatives of more than so many times their usual length, as there are next to where the bound
ends, count as so long: Adam would take tens of steps to forget them."""
BACK = 30
"""Halvings of a step that left: to 1e-9 of it."""


def climb(
    lead: Lead, point: Float[Tensor, "rows parameters"], steps: int, *, hot: float = HOT,
    until: float = math.inf,
) -> Float[Tensor, "rows parameters"]:  # fmt: skip
    """So many steps from a point at which the bound is defined.

    Args:
        until: After so many seconds of this process the step at hand is the last.
    """
    pixels = len(lead.net.region.low)
    rate = torch.ones_like(point[0])
    rate[-pixels:] = PIXELS
    units = sum(own.units for own in lead.net.curves)
    unit = float(lead.margins.clamp_min(0.0).amin()) / units
    unit = max(unit, 1e-12 * float(lead.margins.abs().amax()) + 1e-300)
    mean, square, before = torch.zeros_like(point), torch.zeros_like(point), point
    for step in range(1, steps + 2):
        done = min(step / steps, 1.0) if steps else 1.0
        temperature = unit * hot * (COLD / hot) ** done
        inside, uphill = derivatives(lead, point, temperature)
        if step > steps or (step > 1 and time.process_time() >= until):
            return torch.where(inside[:, None], point, before)
        mean = torch.where(inside[:, None], mean, 0.0)
        inside, point, uphill = _nearer(lead, point, before, temperature, inside, uphill)
        uphill = torch.where(inside[:, None], uphill, 0.0)
        before = torch.where(inside[:, None], point, before)
        uphill = calmed(uphill, square, step)
        mean = MEAN * mean + (1 - MEAN) * uphill
        square = SQUARE * square + (1 - SQUARE) * uphill.square()
        length = RATE * (1 - (1 - SLOWEST) * done) * rate
        size = (square / (1 - SQUARE**step)).sqrt().clamp_min(1e-300)
        point = before + length * (mean / (1 - MEAN**step)) / size
    return point


def calmed(
    uphill: Float[Tensor, "rows parameters"], square: Float[Tensor, "rows parameters"], step: int
) -> Float[Tensor, "rows parameters"]:
    """Derivatives of this step, no longer than `STEEP` times the usual ones of the steps before.

    Rows that had none in any of these are left as they are.
    """
    if step == 1:
        return uphill
    usual = (square.sum(1) / (1 - SQUARE ** (step - 1))).sqrt()
    length = torch.linalg.vector_norm(uphill, dim=1).clamp_min(1e-300)
    share: Tensor = torch.where(usual > 0, STEEP * usual / length, 1.0).clamp_max(1.0)
    return uphill * share[:, None]


def _nearer(
    lead: Lead, point: Tensor, before: Tensor, temperature: float, inside: Tensor, uphill: Tensor
) -> tuple[Bool[Tensor, " rows"], Tensor, Tensor]:
    """Which rows have a point, that, and derivatives there: halfway back as often as it takes."""
    point, uphill, inside = point.clone(), uphill.clone(), inside.clone()
    for _ in range(BACK):
        left = (~inside).nonzero()[:, 0]
        if not len(left):
            break
        point[left] = (point[left] + before[left]) / 2
        inside[left], uphill[left] = derivatives(lead.only(left), point[left], temperature)
    return inside, point, uphill
