"""Better multipliers for many nodes at once: Adam on the soft bound, from what a node was given.

Parameters are changes of multipliers, relative to sizes that make steps of one length sensible:
log A and log λ; B by Aρ, C by Aρ², D and E by the slope of the lead in the unit. π is not among
them: it follows from the others (`Lead.soft`).
"""

import math
import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.spectral.dual.around import Around, rounding_of
from intriguing.spectral.dual.ascent import MEAN, SQUARE, calmed
from intriguing.spectral.dual.curve import Quadratic
from intriguing.spectral.dual.lagrangian import KINDS, Lead, Multipliers, Soft
from intriguing.spectral.dual.newton import Mixed, Point, path
from intriguing.spectral.dual.proof import proved_lead
from intriguing.spectral.exact.nodes import Nodes, Root

SLOWEST = 0.1
"""Of Adam's first step, what is left at the end."""
SHORTER = 0.5
"""The next first step, where one led nowhere."""
SWEEPS, LAST = 3, 20
"""Of the pixels' multipliers in each step, where they go on from the one before, and at the end."""
SURE = 1.0 - 1e-9
"""Of the ball that is asked about: a node that is proved so far is done."""
FLOOR = 0.1
"""Of the mean slope of a layer: smaller ones count as so much, as sizes of multipliers."""


@dataclass(frozen=True)
class Leads:
    """What has to stay above 0: for each lead, some average of its rows.

    Attributes:
        rows: Of the last activation's output.
        margins: At the image.
    """

    rows: Float[Tensor, "leads k units"]
    margins: Float[Tensor, "leads k"]

    def mixed(self, net: Around, about: Int64[Tensor, " n"], mix: Float[Tensor, "n k"]) -> Lead:
        """The averages by given weights."""
        weights = mix.softmax(1)
        rows = torch.einsum("nk,nku->nu", weights, self.rows[about])
        return Lead(net, rows, (weights * self.margins[about]).sum(1))

    def surely(self, net: Around, about: Int64[Tensor, " n"], mix: Float[Tensor, "n k"]) -> Lead:
        """The same less what rounding can have done to the averages."""
        lead = self.mixed(net, about, mix)
        terms = self.rows.shape[1]
        if terms == 1:
            return lead
        weights = mix.softmax(1)
        sizes = torch.einsum("nk,nku->nu", weights, self.rows[about].abs())
        size = (sizes * net.curves[-1].moved).sum(1)
        size = size + (weights * self.margins[about].abs()).sum(1)
        return replace(lead, margins=lead.margins - rounding_of(2 * terms) * size)


def proved(root: Root, nodes: Nodes, leads: Leads) -> Nodes:
    """With as much as the multipliers prove, if that is more."""
    net = root.around(nodes, fine=True)
    radius, least = proved_lead(leads.surely(net, nodes.about, nodes.mix), nodes.given)
    return replace(nodes, bound=torch.maximum(nodes.bound, radius), least=least)


def raised(root: Root, nodes: Nodes, leads: Leads, steps: int, heats: tuple[float, float]) -> Nodes:
    """After an ascent, where it proves more of the whole ball; else as before, with shorter steps.

    A smaller ball may be proved by less than that, so what was proved of one is kept.
    """
    after = proved(root, climb(root, nodes, leads, steps, heats)[0], leads)
    better = after.least > nodes.least
    before = replace(nodes, rate=nodes.rate * SHORTER)
    made = after.where(better, before)
    return replace(made, bound=torch.maximum(after.bound, nodes.bound))


def climb(
    root: Root, nodes: Nodes, leads: Leads, steps: int, heats: tuple[float, float],
    until: float = math.inf,
) -> tuple[Nodes, Soft]:  # fmt: skip
    """So many steps; and the minimum's place at the last.

    Args:
        heats: Temperature at first and in the end, for each unit, relative to the lead.
        until: After so many seconds of this process the step at hand is the last.
    """
    net = root.around(nodes)
    sizes = _Sizes.of(nodes, net, leads)
    point = nodes.boxes.new_zeros(len(nodes), sizes.count)
    mean, square, before = torch.zeros_like(point), torch.zeros_like(point), point
    units = sum(own.units for own in net.curves)
    lead = leads.mixed(net, nodes.about, nodes.mix)
    boxes = nodes.boxes
    unit = (lead.margins.abs() / units).clamp_min(1e-300)[:, None]
    for step in range(1, steps + 2):
        done = min(step / steps, 1.0)
        last = step > steps or (step > 1 and time.process_time() >= until)
        (quadratics, scale, _), mix = sizes.multipliers(point)
        lead = leads.mixed(net, nodes.about, mix)
        heat = unit * heats[0] * (heats[1] / heats[0]) ** done
        soft = lead.soft((quadratics, scale, boxes), heat, LAST if last else SWEEPS)
        uphill = sizes.gradient(scale, quadratics, mix, soft, leads)
        inside = soft.feasible & uphill.isfinite().all(1)
        boxes = torch.where(inside[:, None], soft.boxes, boxes)
        if step > 1:
            point = torch.where(inside[:, None], point, before)
        before = point
        if last:
            break
        uphill = torch.where(inside[:, None], uphill, 0.0)
        uphill = calmed(uphill, square, step)
        mean = torch.where(inside[:, None], MEAN * mean + (1 - MEAN) * uphill, 0.3 * mean)
        square = SQUARE * square + (1 - SQUARE) * uphill.square()
        length = nodes.rate[:, None] * (1 - (1 - SLOWEST) * done)
        size = (square / (1 - SQUARE**step)).sqrt().clamp_min(1e-300)
        point = point + length * (mean / (1 - MEAN**step)) / size
    (quadratics, scale, _), mix = sizes.multipliers(before)
    return nodes.with_multipliers((quadratics, scale, boxes), mix), soft


def centred(root: Root, nodes: Nodes, leads: Leads, steps: int, until: float) -> Nodes:
    """After so many of Newton's steps; what was proved before stays proved."""
    net = root.around(nodes)
    mixed = Mixed(net, leads.rows[nodes.about], leads.margins[nodes.about])
    point = Point(nodes.given, nodes.mix.softmax(1), nodes.heat[:, None] * mixed.unit)
    point = path(mixed, point, steps, until)
    heat = (point.heat / mixed.unit)[:, 0]
    made = nodes.with_multipliers(point.given, point.weights.log())
    made = proved(root, replace(made, heat=heat), leads)
    before = replace(nodes, bound=made.bound)
    return made.where(made.least.isfinite(), before)


@dataclass(frozen=True)
class _Sizes:
    """What parameters change, and by which units they are measured."""

    nodes: Nodes
    net: Around
    slopes: list[Tensor]
    squares: list[Tensor]
    count: int

    @classmethod
    def of(cls, nodes: Nodes, net: Around, leads: Leads) -> "_Sizes":
        rows = leads.mixed(net, nodes.about, nodes.mix).rows
        slopes: list[Tensor] = []
        squares: list[Tensor] = []
        for number in reversed(range(len(net.curves))):
            own = net.curves[number]
            size = rows.abs()
            size = torch.maximum(size, FLOOR * size.mean(1, keepdim=True)).clamp_min(1e-300)
            slopes.insert(0, size)
            wide = (own.high - own.low).clamp_min(1e-12)
            square = torch.where(
                own.bends, nodes.quadratics[number][0] * own.spread.square(), size / wide
            )
            squares.insert(0, square)
            rows = (own.slope * rows) @ net.chain.weights[number]
        units = sum(own.units for own in net.curves)
        count = KINDS * units + 1 + nodes.mix.shape[1]
        return cls(nodes, net, slopes, squares, count)

    def _parts(self, point: Tensor) -> tuple[list[tuple[Tensor, ...]], Tensor, Tensor]:
        parts, first = [], 0
        for own in self.net.curves:
            last = first + KINDS * own.units
            parts.append(point[:, first:last].view(len(point), KINDS, own.units).unbind(1))
            first = last
        return parts, point[:, first], point[:, first + 1 :]

    def multipliers(self, point: Tensor) -> tuple[Multipliers, Tensor]:
        parts, log_scale, mix = self._parts(point)
        nodes = self.nodes
        quadratics: list[Quadratic] = []
        for number, (t, b, c, d, e) in enumerate(parts):
            own, slope, square = self.net.curves[number], self.slopes[number], self.squares[number]
            a0, b0, c0, d0, e0 = nodes.quadratics[number]
            bends = own.bends
            quadratics.append((
                a0 * t.exp(), b0 + a0 * own.spread * b * bends, c0 + square * c,
                d0 + slope * d * bends, e0 + slope * e,
            ))  # fmt: skip
        return (quadratics, nodes.scale * log_scale.exp(), nodes.boxes), nodes.mix + mix

    def gradient(
        self, scale: Tensor, quadratics: list[Quadratic], mix: Tensor, soft: Soft, leads: Leads
    ) -> Tensor:
        found: list[Tensor] = []
        for number, (a, b, c, d, e) in enumerate(soft.by_units):
            own, slope, square = self.net.curves[number], self.slopes[number], self.squares[number]
            a0, bends = self.nodes.quadratics[number][0], own.bends
            found += [
                a * quadratics[number][0], b * a0 * own.spread * bends, c * square,
                d * slope * bends, e * slope,
            ]  # fmt: skip
        weights = mix.softmax(1)
        values = leads.margins[self.nodes.about]
        values = values + torch.einsum("nku,nu->nk", leads.rows[self.nodes.about], soft.last)
        by_mix = weights * (values - (weights * values).sum(1, keepdim=True))
        return torch.cat([*found, (scale * soft.by_scale)[:, None], by_mix], 1)
