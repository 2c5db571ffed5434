"""Adversarial images that survive being saved: the nearest adversarial point of the pixel lattice.

An image file holds `levels` values a channel (256 for 8 bits). Rounding an adversarial image to
them moves every pixel by up to half a level, which near the decision boundary often undoes it. The
repair starts from the rounded image and moves pixels one level each in the direction in which the
loss falls, those first that buy the most loss for the least length; how many is found by bisection
with real forward passes.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.problem import Goal, Network
from intriguing.measures import Box

_ROUNDS = 10


@dataclass(frozen=True)
class OnLattice:
    """Lattice points, whether each is classified as its target, and the passes that took."""

    points: Float[Tensor, "b n"]
    success: Bool[Tensor, " b"]
    forward_passes: Int64[Tensor, " b"]
    backward_passes: Int64[Tensor, " b"]


def to_lattice(
    network: Network,
    images: Float[Tensor, "b n"],
    points: Float[Tensor, "b n"],
    goal: Goal,
    box: Box,
    levels: int,
) -> OnLattice:
    """Round adversarial `points` to the lattice and repair those that rounding undoes."""
    level = round_to_levels(points, box, levels)
    forward = torch.ones_like(goal.classes)
    backward = torch.zeros_like(goal.classes)

    def predicted(level: Tensor, rows: Tensor) -> Tensor:
        with torch.no_grad():
            logits = network.logits(from_levels(level, box, levels, points.dtype))
        return goal[rows].secure_margin(logits) > 0

    success = predicted(level, torch.arange(len(points), device=points.device))
    for _ in range(_ROUNDS):
        rows = (~success).nonzero()[:, 0]
        if not len(rows):
            break
        here = from_levels(level[rows], box, levels, points.dtype)
        downhill = margin_gradient(network, here, goal[rows])
        move = downhill.sign().long()
        possible = (level[rows] + move >= 0) & (level[rows] + move < levels)
        move *= possible
        step = box.width / (levels - 1)
        away = here - images[rows]
        longer = 2 * away * move * step + step**2
        price = torch.where(move != 0, longer / downhill.abs().clamp_min(1e-30), torch.inf)
        rank = price.argsort(dim=1, stable=True).argsort(dim=1, stable=True)
        low = torch.zeros_like(rows)
        high = torch.full_like(rows, points.shape[1])
        tries = points.shape[1].bit_length()
        works = predicted(level[rows] + move, rows)
        for _ in range(tries):
            middle = (low + high + 1) // 2
            fooled = predicted(level[rows] + move * (rank < middle[:, None]), rows)
            high = torch.where(fooled, middle, high)
            low = torch.where(fooled, low, middle)
        level[rows] += move * (rank < high[:, None])
        success[rows] = works | (high < points.shape[1])
        forward[rows] += tries + 2
        backward[rows] += 1
    return OnLattice(from_levels(level, box, levels, points.dtype), success, forward, backward)


def margin_gradient(network: Network, z: Float[Tensor, "b n"], goal: Goal) -> Float[Tensor, "b n"]:
    """The gradient of the goal's margin at z."""
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(goal.margin(network.logits(z)).sum(), z)
    return gradient


def round_to_levels(points: Tensor, box: Box, levels: int) -> Int64[Tensor, "b n"]:
    """The nearest lattice level 0 … levels − 1 of every pixel."""
    return ((points - box.lower) / box.width * (levels - 1)).round().long().clamp(0, levels - 1)


def from_levels(level: Tensor, box: Box, levels: int, dtype: torch.dtype) -> Tensor:
    """Pixel values of lattice levels; for the unit box and 256 levels, exactly level / 255."""
    return (level.to(dtype) / (levels - 1)) * box.width + box.lower
