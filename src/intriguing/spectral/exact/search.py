"""Is anything nearer? Branch and bound over what enters the activations, worst nodes first."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.dual.around import Around, Dense, around
from intriguing.spectral.dual.curve import bent_at
from intriguing.spectral.dual.ends import Nearer
from intriguing.spectral.dual.lagrangian import Soft
from intriguing.spectral.dual.newton import affordable
from intriguing.spectral.dual.region import Region
from intriguing.spectral.exact.ascent import SURE, Leads, centred, climb, proved, raised
from intriguing.spectral.exact.leaves import solved, straight
from intriguing.spectral.exact.nodes import Nodes, Root, halves

TOGETHER = 24
"""Nodes that are split at once."""
FIRST, STEPS = 100, 16
"""Steps of the ascent before anything is split, and in every half of a network too large for
Newton's."""
FIRST_HEATS, HEATS = (0.1, 0.005), (0.005, 0.0005)
"""Temperatures; halves start from good multipliers …"""
WARM, CENTRING = 1.0, 60
"""Temperature of Newton's method before anything is split, and how many steps it has at most, after
that ascent …"""
REHEATED, CENTRES = 0.01, 3
"""… and in every half that has kinks, from where the whole ended, or from this: from .03 a proof of
784-100-100-10 takes twice as long. What is smooth bends in each half again, and needs low
temperatures at last."""
NEAR = 0.97
"""Share of the ball: if less is proved at first, ends of what enters later layers are worth it."""
FIRST_RATE, RATE = 0.05, 0.02
"""… and take shorter steps."""


@dataclass(frozen=True)
class Bracket:
    """Between what is proved and what was found.

    Attributes:
        lower: No example is nearer, proved.
        nodes: Boxes that were bounded.
        open: Boxes that are left.
        seconds: Of one core.
    """

    lower: float
    nodes: int
    open: int
    seconds: float


def bracket(
    chain: Dense, image: Float[Tensor, " pixels"], low: Float[Tensor, " pixels"],
    high: Float[Tensor, " pixels"], values: Sequence[Float[Tensor, " units"]], leads: Leads,
    known: float, found: float, gap: float, seconds: float,
    offer: Callable[[Float[Tensor, "n pixels"]], float],
) -> Bracket:  # fmt: skip
    """Raise the lower bound until it is within the gap, or the time is over.

    Args:
        image: What enters the first layer.
        low, high: Where changes of it lie, 0 between.
        values: What enters each activation.
        leads: What an example has to bring down to 0, any one of them, or all rows of one.
        known: What is proved already.
        found: The length of an example.
        gap: 1 less the share of that which is to be proved.
        seconds: Of this process.
        offer: Is given changes that may lead to shorter examples, and says how short the shortest
            is then.
    """
    start = time.process_time()
    # By a little more than is asked for, as radii are rounded down.
    wanted = (1.0 - gap) * found * (1.0 + 1e-6)
    region, whole = Region(wanted, low, high), leads
    until = start + seconds
    plain = Root.of(around(chain, image, values, region), values)
    root, leads, nodes = _opened(plain, whole, until)
    count, closed, left = len(nodes), wanted, 0
    narrow = len(values) > 1 and float(nodes.bound.min()) < NEAR * wanted
    if narrow and time.process_time() < until:
        tighter = around(chain, image, values, region, Nearer(until=until))
        before = nodes.bound
        root, leads, nodes = _opened(Root.of(tighter, values), whole, until)
        nodes = replace(nodes, bound=torch.maximum(nodes.bound, before))
        count += len(nodes)
    if affordable(root.coarse) and time.process_time() < until:
        waiting = nodes.bound < wanted * SURE
        if waiting.any():
            better = centred(root, nodes[waiting], leads, CENTRING, until)
            nodes = Nodes.joined([nodes[~waiting], better])
    while True:
        done = nodes.bound >= wanted * SURE
        if done.any():
            closed = min(closed, float(nodes.bound[done].min()))
        nodes = nodes[~done]
        if not len(nodes) or time.process_time() >= until:
            break
        order = nodes.bound.argsort()
        chosen, rest = nodes[order[:TOGETHER]], nodes[order[TOGETHER:]]
        last = straight(root, chosen)
        if last.any():
            ends, changes = solved(root, chosen[last], leads)
            found = offer(changes)
            wanted = min(wanted, (1.0 - gap) * found * (1.0 + 1e-6))
            # There is nothing left to split: what is proved of these is all that will be.
            closed, left = min(closed, float(ends.bound.min())), left + len(ends)
            left -= int((ends.bound >= wanted * SURE).sum())
            count, chosen, nodes = count + len(ends), chosen[~last], rest
            if not len(chosen):
                continue
        at = climb(root, chosen, leads, 1, (HEATS[1], HEATS[1]))[1]
        found = offer(at.change)
        wanted = min(wanted, (1.0 - gap) * found * (1.0 + 1e-6))
        both = halves(root, chosen, *_where(root, chosen, at))
        both = _better(root, both, leads, until)
        count += len(both)
        nodes = Nodes.joined([rest, both])
    lower = min(closed, float(nodes.bound.min())) if len(nodes) else closed
    return Bracket(max(known, lower), count, len(nodes) + left, time.process_time() - start)


def _opened(root: Root, leads: Leads, until: float) -> tuple[Root, Leads, Nodes]:
    """One, the leads of its units, and what is proved of it before anything is split."""
    leads = Leads(leads.rows[:, :, root.kept], leads.margins)
    return root, leads, proved(root, _first(root, leads, until), leads)


def _better(root: Root, nodes: Nodes, leads: Leads, until: float) -> Nodes:
    """Halves, each with multipliers of its own."""
    kinked = all(own.pieces is not None for own in root.coarse)
    if not (kinked and affordable(root.coarse)):
        return raised(root, nodes, leads, STEPS, HEATS)
    warm = replace(nodes, heat=nodes.heat.clamp_min(REHEATED))
    return centred(root, warm, leads, CENTRES, until)


def _first(root: Root, leads: Leads, until: float) -> Nodes:
    """One node for each lead, with multipliers that are good for it."""
    count, mixed = leads.margins.shape
    mix = leads.rows.new_zeros(count, mixed)
    about = torch.arange(count, device=mix.device)
    lead = leads.mixed(Around(root.chain, root.region, root.coarse), about, mix)
    quadratics, scale, boxes = lead.multipliers(lead.start())
    nodes = Nodes(
        about,
        tuple(own.low.expand(count, -1) for own in root.fine),
        tuple(own.high.expand(count, -1) for own in root.fine),
        tuple(quadratics), scale, boxes, mix, torch.zeros_like(scale),
        torch.full_like(scale, -torch.inf), torch.full_like(scale, FIRST_RATE),
        torch.full_like(scale, WARM),
    )  # fmt: skip
    nodes = climb(root, nodes, leads, FIRST, FIRST_HEATS, until)[0]
    return replace(nodes, rate=torch.full_like(scale, RATE))


def _where(root: Root, nodes: Nodes, at: Soft) -> tuple[Tensor, Tensor]:
    """The layer and the unit to split: where the minimum misses the curve, as the lead feels it.

    At the minimum the lead's slope in v is that of the unit's quadratic, 2Av + Bζ + D.
    """
    net = root.around(nodes)
    scores = []
    for number, (own, (v, z)) in enumerate(zip(net.curves, at.places, strict=True)):
        a, b, _, d, _ = nodes.quadratics[number]
        place = torch.maximum(own.low, torch.minimum(z, own.high))
        missed = (v - bent_at(own, place, root.operations[number], root.at[number])).abs()
        steep = (2.0 * a * v + b * z + d).abs() + a * own.spread * (own.high - own.low)
        scores.append(torch.where(own.bends, missed * steep, -1.0))
    best = torch.cat(scores, 1).argmax(1)
    starts = torch.tensor([0, *(own.units for own in net.curves)], device=best.device).cumsum(0)
    layer = torch.searchsorted(starts, best, right=True) - 1
    return layer, best - starts[layer]
