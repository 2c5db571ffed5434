"""Nodes in which nothing bends any more: a quadratic program each, solved exactly.

All ζ are affine in δ there, so the nearest example is the nearest point of a polytope. With the
multipliers ν of the units' ends and μ of the lead, divided by Σμ, its dual is a lead's bound: E is
the difference of a unit's two ν, and λ is 1/Σμ.
"""

from dataclasses import replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.distortion.quadratic import ClosestPoint, closest_point
from intriguing.measures import Box
from intriguing.spectral.dual.around import Around
from intriguing.spectral.dual.region import Region
from intriguing.spectral.exact.ascent import SURE, Leads, proved
from intriguing.spectral.exact.nodes import Nodes, Root

NEWTON = 60
"""Steps at most of each program."""
LEAST = 1e-9
"""Of all multipliers, what those of leads count as at least, where units alone exclude a node."""
FAR = 1e6
"""No slack reaches so far."""
SLACKS = (0.0, 0.1, 0.01)
"""Without any, a program that has no solution has no best multipliers either."""


def straight(root: Root, nodes: Nodes) -> Bool[Tensor, " n"]:
    """Nodes in which nothing bends."""
    sure = torch.ones_like(nodes.about, dtype=torch.bool)
    for own in root.around(nodes).curves:
        sure &= ~own.bends.any(1)
    return sure


def solved(root: Root, nodes: Nodes, leads: Leads) -> tuple[Nodes, Float[Tensor, "n pixels"]]:
    """With the bound of the program, and the change that solves it."""
    net = root.around(nodes)
    layers = [own.bends[0] for own in root.coarse]
    gradients, offsets = _affine(net, layers, len(nodes))
    last_gradients, last_offsets = gradients.pop(), offsets.pop()
    rows = leads.rows[nodes.about]
    lead = rows @ last_gradients
    at_image = leads.margins[nodes.about] + (rows * last_offsets[:, None]).sum(2)
    sides, ends = [-lead], [at_image]
    for number, (one, shift) in enumerate(zip(gradients, offsets, strict=True)):
        some = layers[number]
        low, high = nodes.low[number][:, some] - shift, shift - nodes.high[number][:, some]
        sides += [one, -one]
        ends += [low, high]
    constraints = torch.cat(sides, 1)
    # Rows of length 1, as the method's damping supposes.
    size = torch.linalg.vector_norm(constraints, dim=2).clamp_min(1e-300)
    at_least = torch.cat(ends, 1) / size
    constraints = constraints / size[:, :, None]
    best, changes = nodes, constraints.new_zeros(len(nodes), constraints.shape[2])
    for slack in SLACKS:
        answer = _nearest(root.region, constraints, at_least, slack)
        made = _bounded(root, nodes, leads, net, layers, answer.multipliers / size)
        if not slack:
            changes = answer.points[:, : changes.shape[1]]
        best = made.where(made.bound > best.bound, best)
        if bool((best.bound >= root.region.radius * SURE).all()):
            break
    return best, changes


def _nearest(region: Region, rows: Tensor, at_least: Tensor, slack: float) -> ClosestPoint:
    """The nearest change with rows·δ + slack·s ≥ at_least, s as near to 0 as δ is."""
    low, high, count = region.low, region.high, rows.shape[1]
    if slack:
        identity = torch.diag_embed(torch.full_like(at_least, slack))
        rows = torch.cat([rows, identity], 2)
        free = low.new_full((count,), FAR)
        low, high = torch.cat([low, -free]), torch.cat([high, free])
    start = torch.zeros_like(at_least)
    anchor = rows.new_zeros(len(rows), rows.shape[2])
    return closest_point(anchor, rows, at_least, start == 0, start, Box(low, high), NEWTON)


def _bounded(
    root: Root, nodes: Nodes, leads: Leads, net: Around, layers: list[Tensor], given: Tensor
) -> Nodes:
    """With what these multipliers of leads and ends prove."""
    count = leads.rows.shape[1]
    total = given[:, :count].sum(1)
    total = total.clamp_min(LEAST * given.sum(1)).clamp_min(1e-300)
    given = given / total[:, None]
    mix = given[:, :count].clamp_min(1e-30).log()
    quadratics, first = [], count
    for some, low in zip(layers, nodes.low, strict=True):
        none, shift, width = torch.zeros_like(low), torch.zeros_like(low), int(some.sum())
        lower, upper = given[:, first : first + 2 * width].chunk(2, dim=1)
        shift[:, some] = upper - lower
        quadratics.append((none, none, none, none, shift))
        first += 2 * width
    scale = 1.0 / total
    slope = _slope(net, leads.mixed(net, nodes.about, mix).rows, [g[4] for g in quadratics])
    inner = -slope / scale[:, None]
    at = torch.maximum(root.region.low, torch.minimum(inner, root.region.high))
    boxes = -slope - scale[:, None] * at
    made = replace(nodes, quadratics=tuple(quadratics), scale=scale, boxes=boxes, mix=mix)
    return proved(root, made, leads)


def _affine(net: Around, layers: list[Tensor], count: int) -> tuple[list[Tensor], list[Tensor]]:
    """ζ of some units of each layer, as slopes and intercepts in δ, and w of the last layer."""
    gradients, offsets = [], []
    slope = torch.diag_embed(torch.ones_like(net.region.low)).expand(count, -1, -1)
    shift = slope.new_zeros(count, slope.shape[1])
    for weight, own, some in zip(net.chain.weights, net.curves, layers, strict=True):
        slope, shift = weight @ slope, shift @ weight.mT
        gradients.append(slope[:, some])
        offsets.append(shift[:, some])
        slope = own.slope[:, :, None] * slope
        shift = own.slope * shift + own.offset
    return [*gradients, slope], [*offsets, shift]


def _slope(net: Around, rows: Tensor, shifts: list[Tensor]) -> Float[Tensor, "n pixels"]:
    """Of the lead with these E, in δ."""
    for number in reversed(range(len(net.curves))):
        rows = (net.curves[number].slope * rows + shifts[number]) @ net.chain.weights[number]
    return rows
