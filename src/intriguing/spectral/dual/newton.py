"""The best multipliers, nearly: Newton's method along the path of ever lower temperatures.

The soft bound is concave in all multipliers at once, in the weights of an average of leads too, and
`moments.py` has its second derivatives. As with every barrier the temperature falls whenever a step
is nearly whole. Where that has led is close to the optimum of the relaxation, to which steps by
derivatives alone come only slowly. A step costs the cube of five times the units.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from intriguing.spectral.dual.around import Around
from intriguing.spectral.dual.curve import Curve, Quadratic
from intriguing.spectral.dual.elimination import eliminated, solved, times
from intriguing.spectral.dual.lagrangian import Lead, Multipliers
from intriguing.spectral.dual.moments import KINDS, Bending, Moments, moments, on_curves
from intriguing.spectral.dual.pixels import Pixels

HOT, COLD = 30.0, 1e-3
"""Temperature at first and at last, for each unit, relative to the lead: at 30 the start of
`Lead.start` is near the path, at 1e-3 the bound's loss is below .3 % of the lead."""
FALL, NEAR = 0.6, 6.0
"""The temperature's factor, when a step's decrement is below this."""
THERE = 1.0
"""… and a decrement at the last temperature, at which nothing is left to gain."""
HALVINGS, ENOUGH, INSIDE = 12, 0.1, 0.6
"""Of a step; the share of its promise that it has to keep; and of one that was halved, how much is
taken, as it may end near the boundary."""
NUMBERS = 2**25
"""Of all second derivatives together that are held at once."""
PARAMETERS = 2100
"""Multipliers of all units, for which a step is affordable: half a second."""
_RIDGE = 1e-10
"""Added to second derivatives, each scaled to 1, or 0 where a multiplier does nothing."""


@dataclass(frozen=True)
class Mixed:
    """Leads near one image, of each row some average.

    Attributes:
        net: The image.
        rows: d of each lead.
        margins: The leads at the image.
    """

    net: Around
    rows: Float[Tensor, "rows k units"]
    margins: Float[Tensor, "rows k"]

    def lead(self, weights: Float[Tensor, "rows k"]) -> Lead:
        """The averages."""
        rows = (weights[:, :, None] * self.rows).sum(1)
        return Lead(self.net, rows, (weights * self.margins).sum(1))

    @property
    def unit(self) -> Float[Tensor, "rows 1"]:
        """The temperature that is a lead a unit."""
        size = self.margins.abs().mean(1, keepdim=True).clamp_min(1e-300)
        return size / sum(own.units for own in self.net.curves)

    def only(self, some: Tensor) -> "Mixed":
        """Some of the rows."""
        curves = tuple(own.rows(some) for own in self.net.curves)
        return Mixed(replace(self.net, curves=curves), self.rows[some], self.margins[some])


@dataclass(frozen=True)
class Point:
    """Multipliers of each row, the weights of its average, and the temperature that it is at."""

    given: Multipliers
    weights: Float[Tensor, "rows k"]
    heat: Float[Tensor, "rows 1"]

    def moved(self, step: "_Step", length: Float[Tensor, "rows 1"]) -> "Point":
        """So much of a step on."""
        quadratics, scale, boxes = self.given
        count = sum(g[0].shape[1] for g in quadratics)
        by_units = (length * step.by_units).view(len(scale), len(KINDS), count)
        made, first = list[Quadratic](), 0
        for g in quadratics:
            part = by_units[:, :, first : first + g[0].shape[1]].unbind(1)
            a, b, c, d, e = (old + new for old, new in zip(g, part, strict=True))
            made.append((a, b, c, d, e))
            first += g[0].shape[1]
        rest = length * step.by_weights
        return Point(
            (made, scale + length[:, 0] * step.by_scale, boxes + length * step.by_boxes),
            self.weights + torch.cat([-rest.sum(1, keepdim=True), rest], 1), self.heat,
        )  # fmt: skip

    def only(self, some: Tensor) -> "Point":
        """Some of the rows."""
        quadratics, scale, boxes = self.given
        kept = [tuple(one[some] for one in g) for g in quadratics]
        return Point((kept, scale[some], boxes[some]), self.weights[some], self.heat[some])  # type: ignore[arg-type]

    @staticmethod
    def joined(parts: list["Point"]) -> "Point":
        """One after the other."""
        layers = zip(*(one.given[0] for one in parts), strict=True)
        quadratics = [
            tuple(torch.cat(kind) for kind in zip(*layer, strict=True)) for layer in layers
        ]
        scale, boxes = (torch.cat([one.given[i] for one in parts]) for i in (1, 2))  # type: ignore[misc]
        weights, heat = (torch.cat([getattr(o, n) for o in parts]) for n in ("weights", "heat"))
        return Point((quadratics, scale, boxes), weights, heat)  # type: ignore[arg-type]


def affordable(curves: Sequence[Curve]) -> bool:
    """Whether a step is worth its time for so many multipliers."""
    return _width(curves) <= PARAMETERS


def _width(curves: Sequence[Curve]) -> int:
    """How many multipliers units have, at most: five where they bend, and else two."""
    units = sum(own.units for own in curves)
    return 2 * units + 3 * sum(int(own.bends.sum(1).amax()) for own in curves)


def path(leads: Mixed, point: Point, steps: int, until: float = math.inf) -> Point:
    """So many steps from where the bound is defined, and to what temperature they led.

    Args:
        until: After so many seconds of this process no further steps.
    """
    width = _width(leads.net.curves)
    together = max(1, NUMBERS // width**2 // 4)
    parts = torch.split(torch.arange(len(point.heat), device=point.heat.device), together)
    return Point.joined([_path(leads.only(one), point.only(one), steps, until) for one in parts])


def _path(leads: Mixed, point: Point, steps: int, until: float) -> Point:
    coldest = COLD * leads.unit
    for _ in range(steps):
        if time.process_time() >= until:
            break
        step = _newton(leads, point)
        point = _along(leads, point, step)
        near = (step.decrement < NEAR)[:, None] & (point.heat > coldest)
        if bool(((point.heat <= coldest)[:, 0] & (step.decrement < THERE)).all()):
            break
        heat = torch.where(near, torch.maximum(FALL * point.heat, coldest), point.heat)
        point = replace(point, heat=heat)
    return point


def _along(leads: Mixed, point: Point, step: "_Step") -> Point:
    """As much of a step as raises the soft bound by its promise; nothing, if there is no such."""
    before = value(leads, point)
    length = torch.where(step.sure, 1.0, 0.0).to(before)
    kept, waiting = torch.zeros_like(length), step.sure.clone()
    # Far from the path whole steps are never had.
    length = length * (4.0 / (1.0 + step.decrement)).clamp_max(1.0)
    halved = step.decrement > 3.0
    for _ in range(HALVINGS):
        after = value(leads, point.moved(step, length[:, None]))
        reached = waiting & (after >= before + ENOUGH * length * step.rise - 1e-12 * before.abs())
        kept = torch.where(reached, torch.where(halved, INSIDE * length, length), kept)
        waiting &= ~reached
        if not bool(waiting.any()):
            break
        length = torch.where(waiting, length / 2, length)
        halved = halved | waiting
    return point.moved(step, kept[:, None])


def value(leads: Mixed, point: Point) -> Float[Tensor, " rows"]:
    """The soft bound; −∞ where it is not defined."""
    quadratics, scale, boxes = point.given
    heat, weights = point.heat[:, 0], point.weights
    inside = (scale > 0) & (weights > 0).all(1)
    scale, weights = scale.clamp_min(1e-300), weights.clamp_min(1e-300)
    lead, region = leads.lead(weights), leads.net.region
    gone = eliminated(leads.net, lead.rows, quadratics, scale)
    _, right, _ = leads.net.chain.factors
    held = boxes @ right.mT
    half = torch.linalg.solve_triangular(gone.factor, (gone.rows + held)[:, :, None], upper=False)
    bound = lead.margins + gone.constant - 0.5 * half.square().sum((1, 2))
    bound = bound - 0.5 * (boxes - held @ right).square().sum(1) / scale
    bound = bound - 0.5 * scale * region.radius**2 + heat * gone.log_det
    for own, g in zip(leads.net.curves, quadratics, strict=True):
        bound = bound - own.softly(g, point.heat).sum(1)
    wide, cool = region.high - region.low, _cool(leads, point)
    bound = bound - (boxes * region.low + cool * functional.softplus(boxes * wide / cool)).sum(1)
    if weights.shape[1] > 1:
        bound = bound + heat * weights.log().sum(1)
    return torch.where(gone.feasible & inside & bound.isfinite(), bound, -torch.inf)


def _cool(leads: Mixed, point: Point) -> Float[Tensor, "rows 1"]:
    """The temperature of pixels, of which there are more than units."""
    units = sum(own.units for own in leads.net.curves)
    return point.heat * (units / len(leads.net.region.low))


@dataclass(frozen=True)
class _Step:
    """Newton's step.

    Attributes:
        by_units, by_scale, by_boxes, by_weights: Of A, …, E, λ, π, and all weights but the first.
        rise: What it promises.
        decrement: √(rise/τ).
        sure: Rows that have one.
    """

    by_units: Float[Tensor, "rows kinds_units"]
    by_scale: Float[Tensor, " rows"]
    by_boxes: Float[Tensor, "rows pixels"]
    by_weights: Float[Tensor, "rows others"]
    rise: Float[Tensor, " rows"]
    decrement: Float[Tensor, " rows"]
    sure: Float[Tensor, " rows"]


def _newton(leads: Mixed, point: Point) -> _Step:
    quadratics, scale, boxes = point.given
    net, heat, region = leads.net, point.heat, leads.net.region
    gone = eliminated(net, leads.lead(point.weights).rows, quadratics, scale)
    _, right, _ = net.chain.factors
    held = boxes @ right.mT
    across = (held @ right - boxes) / scale[:, None]
    bending = Bending.of(net.curves, len(scale))
    found = moments(net, gone, held, heat, bending)
    curves = on_curves(net.curves, quadratics, heat)
    change = found.p @ right + across
    inner = found.p_factor @ found.p_factor.mT

    by_scale = 0.5 * (change.square().sum(1) - region.radius**2)
    by_scale = by_scale + 0.5 * inner.diagonal(dim1=1, dim2=2).sum(1)
    apart = leads.rows[:, 1:] - leads.rows[:, :1]
    weights = point.weights
    by_weights = leads.margins[:, 1:] - leads.margins[:, :1] + times(apart, found.last)
    by_weights = by_weights + heat * (1 / weights[:, 1:] - 1 / weights[:, :1])
    wide, cool = region.high - region.low, _cool(leads, point)
    share = (boxes * wide / cool).sigmoid()
    by_boxes = change - region.low - share * wide
    by_units = found.expected() - bending.kinds(curves.means)
    uphill = torch.cat([by_units, by_scale[:, None], by_weights], 1)
    units = by_units.shape[1]

    bends = _curvature(leads, point, found, inner, across, bending, curves.covariance, apart)
    along = torch.cat([
        found.beside(found.p_factor), inner @ found.p[:, :, None],
        (apart @ found.last_factor @ found.p_factor.mT).mT,
    ], 2) / heat[:, :, None]  # fmt: skip
    pixels = Pixels(
        1 / scale[:, None] + wide.square() * share * (1 - share) / cool,
        inner / heat[:, :, None] - torch.diag_embed((1 / scale)[:, None].expand_as(held)), right,
        along, across / scale[:, None], units,
    )  # fmt: skip
    step, sure = _scaled(pixels.less(bends), pixels.rest(uphill, by_boxes))
    pixel_step = pixels.back(step, by_boxes)
    rise = (uphill * step).sum(1) + (by_boxes * pixel_step).sum(1)
    sure = sure & gone.feasible & rise.isfinite() & (rise >= 0)
    step, pixel_step, rise = (
        torch.where(sure.view(-1, *[1] * (t.ndim - 1)), t, 0.0) for t in (step, pixel_step, rise)
    )
    return _Step(
        bending.back(step[:, :units]), step[:, units], pixel_step, step[:, units + 1 :], rise,
        (rise / heat[:, 0]).sqrt(), sure,
    )  # fmt: skip


def _curvature(
    leads: Mixed, point: Point, found: Moments, inner: Tensor, across: Tensor, bending: Bending,
    own: Tensor, apart: Tensor,
) -> Float[Tensor, "rows parameters parameters"]:  # fmt: skip
    """Less the second derivatives by A, …, E, λ and the weights, below the diagonal."""
    heat, weights = point.heat, point.weights
    first = sum(bending.widths)
    whole = heat.new_zeros(len(heat), first + weights.shape[1], first + weights.shape[1])
    found.covariance(whole)
    bending.add(own, whole)
    length = (found.p * times(inner, found.p)).sum(1) + 0.5 * inner.square().sum((1, 2))
    length = length + heat[:, 0] / point.given[1] * across.square().sum(1)
    spread = apart @ found.last_factor
    by_weights = spread @ spread.mT + torch.diag_embed((heat / weights[:, 1:]).square())
    whole[:, first, :first], whole[:, first, first] = found.beside_length(), length
    whole[:, first + 1 :, :first] = found.beside(spread)
    whole[:, first + 1 :, first] = times(spread @ found.p_factor.mT, found.p)
    whole[:, first + 1 :, first + 1 :] = by_weights + (heat / weights[:, :1]).square()[:, :, None]
    whole /= heat[:, :, None]
    return whole


def _scaled(bends: Tensor, uphill: Tensor) -> tuple[Tensor, Tensor]:
    """The solution of a system, and which rows have one."""
    size = bends.diagonal(dim1=1, dim2=2).clamp_min(1e-300).rsqrt()
    bends.mul_(size[:, :, None]).mul_(size[:, None]).diagonal(dim1=1, dim2=2).add_(_RIDGE)
    factor, info = torch.linalg.cholesky_ex(bends)
    step = size * solved(factor, size * uphill)
    return step, (info == 0) & step.isfinite().all(1)
