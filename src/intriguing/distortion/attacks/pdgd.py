"""PDGD: descent in r and ascent in the multiplier of the constraint, at the same time."""

import math

from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import Adam, margin_and_gradient, unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_FIRST_RATIO = 0.01
"""λ / (1 − λ) at the start, where the length counts for nearly all."""
_LEAST_RATIO = 1e-6
"""Bounds of the same ratio, and of its inverse, so that the state can come back."""


@attack(budget=500)
def pdgd(logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int) -> Incumbent:
    """Primal-dual gradient descent, L2 (Matyasko & Chau 2021, arXiv:2106.01538).

    With m the goal's margin and λ the weight of the constraint, Adam descends in r the Lagrangian

        (1 − λ)·‖r‖ + λ·log(1 + exp(−m)),    r in the box,

    with a step that falls from .1 to .001 over `budget` steps, lengths in box widths. λ is a moving
    average of the sigmoid of a dual state, which rises while m < 0 and falls while m > 0, by
    .1 at first and .01 in the end. Nothing is random: `seed` is not used.
    """
    best = Incumbent(images)
    adam = Adam(images)
    limit = -math.log(_LEAST_RATIO)
    state = images.new_full((len(images),), -math.log(_FIRST_RATIO))
    weight = _sigmoid(state)
    points = images
    for step in range(budget):
        margin, uphill = margin_and_gradient(logits, goal, points)
        best.offer(points, margin, backward=1)
        shorter = ((1 - weight) / box.width)[:, None] * unit(points - images)
        sharp = goal.sharpness
        safer = (weight * sharp * _sigmoid(-margin * sharp))[:, None] * -uphill
        rate = 0.1 * box.width * 0.01 ** (step / budget)
        points = box.clamp(points - rate * adam.direction(shorter + safer))
        state = state - 0.1 * (1 - 0.9 * step / budget) * margin.sign()
        state = state.clamp(-limit, limit)
        weight = 0.9 * weight + 0.1 * _sigmoid(state)
    return best


def _sigmoid(x: Tensor) -> Tensor:
    """1/(1 + e⁻ˣ) by operations that round a value alike wherever it stands (`rows`)."""
    return 1 / (1 + (-x).exp())
