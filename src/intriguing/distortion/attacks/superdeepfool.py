"""SuperDeepFool: DeepFool up to a boundary, then onto the line from x along its normal."""

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.attacks.steps import gradient_of, unit
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
_RANKED = 0.25
"""Of all passes at most, that rivals are put in order by: 9 of them from 20 passes on."""


@attack(budget=200)
def superdeepfool(
    logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
) -> Incumbent:
    """SDF(∞, 1), L2 (Abdollahpoorrostami et al. 2024, arXiv:2303.12481, algorithm 2).

    From p, at first x, DeepFool steps on the margin, m = 0 linearised and 2 % beyond, until z is
    adversarial; then, with the normal w = ∇m/‖∇m‖ there,

        p ← p + ⟨z − x, w⟩·w,

    and so on until p is adversarial itself, which ten halvings of p − x then shorten. All is
    clamped to the box, which the authors' code leaves. They linearise the gaps of all ten classes
    in each step, by as many passes; here that is done once, at x, and the same way goes to each of
    the 9 likeliest classes, the nearest first, as far as the budget reaches. Where that is too
    little for the look, they come in the order of their logits. Nothing is random: `seed` is not
    used.
    """
    best = Incumbent(images, budget)
    if goal.targeted:
        _shorten(logits, goal, box, best, _seek(logits, goal, box, best, None))
        return best
    for rival in _rivals(logits, goal, best).unbind(1):
        if not best.within_budget.any():
            break
        _shorten(logits, goal, box, best, _seek(logits, goal, box, best, rival))
    return best


def _rivals(logits: Logits, goal: Goal, best: Incumbent) -> Int64[Tensor, "b rival"]:
    """The likeliest wrong classes of x, those with the nearest linearised boundary first."""
    with torch.enable_grad():
        x = best.images.detach().requires_grad_()
        out = logits(x)
        others = out.detach().scatter(1, goal.classes[:, None], -torch.inf)
        rivals = others.topk(min(_RIVALS, out.shape[1] - 1)).indices
        count = rivals.shape[1]
        looked = count if 1 + count <= 2 * _RANKED * best.budget else 0
        away = []
        for i in range(looked):
            gap = _gap(out, goal, rivals[:, i])
            slope = gradient_of(gap, x, again=i + 1 < count).norm(dim=1)
            away.append((gap.detach().abs() / slope).nan_to_num(nan=torch.inf))
    best.offer(best.images, torch.full_like(best.l2, -torch.inf), backward=looked)
    return rivals.gather(1, torch.stack(away, 1).argsort(dim=1, stable=True)) if away else rivals


def _seek(
    logits: Logits, goal: Goal, box: Box, best: Incumbent, rival: Int64[Tensor, " b"] | None
) -> Float[Tensor, "b n"]:
    """Where each row's way ended, x where that is not adversarial."""
    x = best.images
    points, turned, ends = x, x, x
    projected = torch.zeros(len(x), dtype=torch.bool, device=x.device)
    active = best.within_budget
    # Most rows need few steps: it pays to ask whether any is on its way.
    while bool(active.any()):
        with torch.enable_grad():
            z = points.detach().requires_grad_()
            out = logits(z)
            secure = goal.secure_margin(out)
            gap = secure if rival is None else _gap(out, goal, rival)
            uphill = gradient_of(gap, z)
        margin, gap = secure.detach(), gap.detach()
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
    return ends


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


def _gap(out: Float[Tensor, "b k"], goal: Goal, rival: Int64[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The rival above the label, less what rounding could take."""
    less = goal.rounding(out)
    out = goal.scaled(out)
    ahead: Tensor = (out.gather(1, rival[:, None]) - out.gather(1, goal.classes[:, None]))[:, 0]
    return ahead - less
