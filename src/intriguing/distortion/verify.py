"""Believe nothing: put answers on the lattice if asked, and classify every one of them again."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.distortion.lattice import OnLattice, to_lattice
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.result import Found, Status
from intriguing.distortion.rows import alone, filled, places, width_of
from intriguing.measures import Box

_BATCH = 512
"""Images of one forward pass at most: what keeps its memory small."""


@dataclass(frozen=True)
class Verified:
    """Points with what a plain forward pass says of them; `given` is the class it gives."""

    points: Float[Tensor, "b n"]
    status: Int64[Tensor, " b"]
    given: Int64[Tensor, " b"]
    forward: Int64[Tensor, " b"]
    backward: Int64[Tensor, " b"]


def verify(
    network: Network,
    images: Float[Tensor, "b n"],
    goal: Goal,
    found: Found,
    box: Box,
    levels: int | None,
    *,
    batch_size: int = _BATCH,
    searched: Network | None = None,
) -> Verified:
    """Adversarial, in the box to the last bit, and with `levels` on the lattice: or not found.

    `searched` is the form of the network that was searched, where that rounds otherwise.
    """
    points, forward, backward = found.points.clone(), found.forward.clone(), found.backward.clone()
    status = torch.full_like(goal.classes, int(Status.NOT_FOUND))
    given = goal.classes.clone()
    optimal = found.extra.get("optimal", torch.zeros_like(found.claimed))
    at_once = 1 if alone(images) else min(batch_size, _BATCH)
    for claimed in torch.split(found.claimed.nonzero()[:, 0], at_once):
        if not len(claimed):
            break
        rows = filled(claimed, width_of(images))
        lost = torch.zeros_like(rows, dtype=torch.bool)
        if levels is not None:
            lattice = _on_lattice(
                network, searched or network, images[rows], points[rows], goal[rows], box, levels
            )
            points[rows] = lattice.points
            forward[rows] += lattice.forward_passes
            backward[rows] += lattice.backward_passes
            lost = ~lattice.success
        with torch.no_grad():
            logits = network.logits(points[rows])
        forward[rows] += 1
        if levels is None and (searched is not None or network.classifier.coarse):
            points[rows], logits, passes = _secured(
                network, images[rows], points[rows], logits, goal[rows], box
            )
            forward[rows] += passes
        given[rows] = logits.argmax(1)
        inside = ((points[rows] >= box.lower) & (points[rows] <= box.upper)).all(1)
        stands = (goal[rows].margin(logits) > 0) & inside & ~lost
        best = Status.OPTIMAL if levels is None else Status.FOUND
        kind = torch.where(optimal[rows], int(best), int(Status.FOUND))
        kind = torch.where(found.already[rows], int(Status.ALREADY), kind)
        failed = torch.where(lost, int(Status.LOST_ON_LATTICE), int(Status.NOT_FOUND))
        status[rows] = torch.where(stands, kind, failed)
    status[~found.finite] = int(Status.NOT_FINITE)
    return Verified(points, status, given, forward, backward)


def _on_lattice(
    network: Network,
    searched: Network,
    x: Tensor,
    points: Tensor,
    goal: Goal,
    box: Box,
    levels: int,
) -> OnLattice:
    """On the lattice by the form that was searched; by the network where it takes it otherwise."""
    found = to_lattice(searched, x, points, goal, box, levels)
    if searched is network:
        return found
    with torch.no_grad():
        stands = goal.margin(network.logits(found.points)) > 0
    rows = places(~stands, width_of(x))
    found.forward_passes.add_(1)
    if len(rows):
        again = to_lattice(network, x[rows], points[rows], goal[rows], box, levels)
        found.points[rows], found.success[rows] = again.points, again.success
        found.forward_passes[rows] += again.forward_passes
        found.backward_passes[rows] += again.backward_passes
    return found


def _secured(
    network: Network, x: Tensor, points: Tensor, logits: Tensor, goal: Goal, box: Box
) -> tuple[Tensor, Tensor, Tensor]:
    """Points a little farther out where rounding could undo them.

    A network in 16 bits gives logits that differ by up to one unit in the last place between
    batches of other sizes (0.84 of one was seen, and any in 9 of 512 images), and a margin is the
    difference of two. Others were searched in a form that rounds otherwise (`Classifier.faster`).
    """
    passes = torch.zeros_like(goal.classes)
    coarse, r = network.classifier.coarse, points - x
    for step in _OUTWARD if coarse else _SLIGHTLY:
        least = _UNITS * network.classifier.eps * goal.scaled(logits).abs().amax(1)
        close = (goal.margin(logits) <= (least if coarse else 0.0)) & (r != 0).any(1)
        if not bool(close.any()):
            break
        farther = box.clamp(x[close] + (1 + step) * r[close])
        with torch.no_grad():
            there = network.logits(farther)
        passes[close] += 1
        better = goal[close].margin(there) > goal[close].margin(logits[close])
        rows = close.nonzero()[better, 0]
        points[rows], logits[rows] = farther[better], there[better]
    return points, logits, passes


_UNITS = 2
"""Units in the last place that a margin must exceed: of each of two logits one, as was seen."""
_OUTWARD = tuple(2e-3 * 2**number for number in range(10))
"""Shares by which r is lengthened until it does: doubled, to be found by one pass each.

Up to all of r: of an image so near to the boundary, 16 bits hardly tell the classes apart.
"""
_SLIGHTLY = tuple(1e-5 * 2**number for number in range(10))
"""The same for what rounds as float32 does: up to half a per cent."""
