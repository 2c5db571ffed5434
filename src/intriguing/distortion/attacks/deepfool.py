"""DeepFool: steps onto the nearest boundary of the linearised network, until one is passed."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import gradient_of, unit
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.distortion.rows import places, width_of
from intriguing.measures import Box

_RIVALS = 9
"""Wrong classes that are looked at: the authors' code takes 10 classes, the label among them."""
_OVERSHOOT = 0.02
"""How far beyond a boundary a step goes: the source's η."""
_EXTRA = 1e-4
"""What the authors' code adds to a step's length, so that it is none of 0."""


@attack(budget=50 * 5)  # 50 steps of one forward and nine backward passes
def deepfool(
    logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
) -> Incumbent:
    """DeepFool, L2 (Moosavi-Dezfooli et al. 2016, arXiv:1511.04599, algorithm 2).

    Of the 9 likeliest wrong classes k at x, with gaps g_k = f_k − f_label, each step goes to the
    one whose linearised boundary is nearest, 2 % beyond it:

        z ← z + 1.02·(|g_k|/‖∇g_k‖ + 1e-4)·∇g_k/‖∇g_k‖,    clamped to the box.

    The first adversarial point is the answer. With a target there is one gap, the target's logit
    above the best other one. Nothing is random: `seed` is not used.
    """
    best = Incumbent(images)
    points, rows = images.clone(), torch.arange(len(images), device=images.device)
    rivals, passes, backward = None, 2 * budget, 0
    # A step costs up to nine backward passes and most images need few of them: it pays to wait for
    # the device and to go on without the images that are finished.
    while True:
        with torch.enable_grad():
            z = points[rows].requires_grad_()
            out = logits(z)
            if rivals is None:
                rivals = _rivals(out, goal, most=max(1, passes - 2))
            gaps = _gaps(out, goal[rows], rivals[rows])
        margin = torch.full_like(best.l2, -torch.inf)
        margin[rows] = goal[rows].secure_margin(out.detach())
        active = torch.zeros_like(best.forward)
        active[rows] = 1
        best.offer(points, margin, forward=active, backward=backward * active)
        backward, passes = gaps.shape[1], passes - 1 - gaps.shape[1]
        on = ~(margin[rows] > 0)
        if passes <= 0 or not on.any():
            return best
        step = _nearest(z, gaps, _EXTRA * box.width)
        among = places(on, width_of(images))
        rows = rows[among]
        points[rows] = box.clamp(points[rows] + (1 + _OVERSHOOT) * step[among])


def _rivals(out: Float[Tensor, "b k"], goal: Goal, most: int) -> Int64[Tensor, "b rival"]:
    """The likeliest classes other than the goal's, so many as are affordable."""
    others = out.detach().scatter(1, goal.classes[:, None], -torch.inf)
    return others.topk(min(_RIVALS, most, out.shape[1] - 1)).indices


def _gaps(
    out: Float[Tensor, "b k"], goal: Goal, rivals: Int64[Tensor, "b rival"]
) -> Float[Tensor, "b gap"]:
    """What must become positive: one of them is enough."""
    if goal.targeted:
        return goal.secure_margin(out)[:, None]
    less = goal.rounding(out)[:, None]
    out = goal.scaled(out)
    return out.gather(1, rivals) - out.gather(1, goal.classes[:, None]) - less


def _nearest(
    z: Float[Tensor, "b n"], gaps: Float[Tensor, "b gap"], extra: float
) -> Float[Tensor, "b n"]:
    """The shortest step to a linearised boundary, and `extra` beyond; 0 where there is none."""
    shortest = z.new_full((len(z),), torch.inf)
    step = torch.zeros_like(z)
    for gap in gaps.unbind(1):
        gradient = gradient_of(gap, z, again=True)
        length = gap.detach().abs() / gradient.norm(dim=1) + extra
        nearer = length < shortest
        shortest = torch.where(nearer, length, shortest)
        step = torch.where(nearer[:, None], length[:, None] * unit(gradient), step)
    return step
