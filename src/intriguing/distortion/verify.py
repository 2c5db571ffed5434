"""Believe nothing: put answers on the lattice if asked, and classify every one of them again."""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.distortion.lattice import to_lattice
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.result import Found, Status
from intriguing.measures import Box

_BATCH = 512


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
) -> Verified:
    """Adversarial, in the box to the last bit, and with `levels` on the lattice: or not found."""
    points, forward, backward = found.points.clone(), found.forward.clone(), found.backward.clone()
    status = torch.full_like(goal.classes, int(Status.NOT_FOUND))
    given = goal.classes.clone()
    optimal = found.extra.get("optimal", torch.zeros_like(found.claimed))
    for rows in torch.split(found.claimed.nonzero()[:, 0], min(batch_size, _BATCH)):
        if not len(rows):
            break
        lost = torch.zeros_like(rows, dtype=torch.bool)
        if levels is not None:
            lattice = to_lattice(network, images[rows], points[rows], goal[rows], box, levels)
            points[rows] = lattice.points
            forward[rows] += lattice.forward_passes
            backward[rows] += lattice.backward_passes
            lost = ~lattice.success
        with torch.no_grad():
            logits = network.logits(points[rows])
        forward[rows] += 1
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
