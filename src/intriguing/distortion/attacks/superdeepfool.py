"""SuperDeepFool: DeepFool up to a boundary, then onto the line from x along its normal."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import gradient_of, unit, within_box
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_OVERSHOOT = 0.02
"""How far beyond a boundary a step of DeepFool goes: the source's η."""
_EXTRA = 1e-4
"""What is added to such a step, in box widths: one that ends on the boundary ends nowhere."""
_HALVINGS = 10
"""Forward passes on the segment from x to what was found, as in the authors' code."""
_RIVALS = 9
"""Wrong classes that are aimed at one by one, as many as the authors' code looks at in a step."""


@attack(budget=200)
def superdeepfool(
    logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
) -> Incumbent:
    """SDF(∞, 1), L2 (Abdollahpoorrostami et al. 2024, arXiv:2303.12481, algorithm 2).

    From p, at first x, DeepFool steps on the margin, m = 0 linearised and 2 % beyond, until z is
    adversarial; then, with the normal w = ∇m/‖∇m‖ there,

        p ← p + ⟨z − x, w⟩·w,

    and so on until p is adversarial itself, which ten halvings of p − x then shorten. All is
    clamped to the box, which the authors' code leaves, and ∇m is over the pixels that can follow
    it. They linearise the gaps of all ten classes in each step, by as many passes; here the
    likeliest class of each z is the rival, and what is left of the budget is for the same way to
    each of the 9 likeliest classes of x. Nothing is random: `seed` is not used.
    """
    best = Incumbent(images, budget)
    rivals = None
    for aim in range(1 if goal.targeted else 1 + _RIVALS):
        if rivals is not None and aim > rivals.shape[1]:
            break
        chosen = None if rivals is None else rivals[:, aim - 1]
        found, first = _seek(logits, goal, box, best, chosen)
        rivals = _likeliest(first, goal) if rivals is None and not goal.targeted else rivals
        _shorten(logits, goal, box, best, found)
        if not best.within_budget.any():
            break
    return best


def _seek(
    logits: Logits, goal: Goal, box: Box, best: Incumbent, rival: Int64[Tensor, " b"] | None
) -> tuple[Float[Tensor, "b n"], Float[Tensor, "b k"]]:
    """Where each row's way ended, x where that is not adversarial; and the logits of x."""
    x = best.images
    points, turned, ends, first = x, x, x, None
    projected = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    active = best.within_budget
    # Most rows need few steps: it pays to ask whether any is on its way.
    while bool(active.any()):
        with torch.enable_grad():
            z = points.detach().requires_grad_()
            out = logits(z)
            secure = goal.secure_margin(out)
            gap = secure if rival is None else _gap(out, goal, rival)
            uphill = within_box(gradient_of(gap, z), points, box)
        margin, gap, out = secure.detach(), gap.detach(), out.detach()
        first = out if first is None else first
        _offer(best, points, margin, active, backward=1)
        reached = active & (margin > 0)
        ends = torch.where(reached[:, None], points, ends)
        size = uphill.norm(dim=1)
        towards = unit(uphill)
        ahead = (1 + _OVERSHOOT) * gap.abs() / size + _EXTRA * box.width
        along = ((points - x) * towards).sum(1)
        turned = torch.where(reached[:, None], turned + along[:, None] * towards, turned)
        onwards = torch.where(reached[:, None], turned, points + ahead[:, None] * towards)
        moves = (size > 0) & ahead.isfinite()
        active = active & moves & ~(reached & projected) & best.within_budget
        projected = reached
        points = torch.where(active[:, None], box.clamp(onwards), points)
    return ends, first if first is not None else logits(x)


def _shorten(
    logits: Logits, goal: Goal, box: Box, best: Incumbent, ends: Float[Tensor, "b n"]
) -> None:
    """Halve the part of each segment from x on which the class changes."""
    x = best.images
    low, high = torch.zeros_like(best.l2), torch.ones_like(best.l2)
    for _ in range(_HALVINGS):
        active = (ends != x).any(1) & best.within_budget
        if not bool(active.any()):
            return
        middle = (low + high) / 2
        points = box.clamp(x + middle[:, None] * (ends - x))
        with torch.no_grad():
            margin = goal.secure_margin(logits(points))
        _offer(best, points, margin, active)
        high = torch.where(margin > 0, middle, high)
        low = torch.where(margin > 0, low, middle)


def _offer(
    best: Incumbent, points: Tensor, margin: Tensor, active: Bool[Tensor, " b"], backward: int = 0
) -> None:
    """Offer what active rows have looked at."""
    count = active.long()
    best.offer(
        points, torch.where(active, margin, -torch.inf), forward=count, backward=backward * count
    )


def _likeliest(out: Float[Tensor, "b k"], goal: Goal) -> Int64[Tensor, "b rival"]:
    others = out.scatter(1, goal.classes[:, None], -torch.inf)
    return others.topk(min(_RIVALS, out.shape[1] - 1)).indices


def _gap(out: Float[Tensor, "b k"], goal: Goal, rival: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The rival above the label, less what rounding could take."""
    less = goal.rounding(out)
    out = goal.scaled(out)
    ahead: Tensor = (out.gather(1, rival[:, None]) - out.gather(1, goal.classes[:, None]))[:, 0]
    return ahead - less
