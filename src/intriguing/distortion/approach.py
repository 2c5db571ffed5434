"""The first adversarial point: steps onto the boundary of the linearised network.

    z ← z + (1 + overshoot)·(|m|/‖g‖)·g/‖g‖,    clamped to the box,

with the margin m at z and the gradient g of the soft margin over the pixels that the box lets move
(DeepFool with all rivals at once; Moosavi-Dezfooli et al. 2016, arXiv 1511.04599). Everything is in
the network's own units: no length is assumed. The first step goes half way only, since where a
network saturates the slope at x promises too little; the overshoot is then 4 % and doubles with
every step, since who has not arrived after a few has been stopped short by curvature.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.attacks.steps import unit, within_box
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.rows import chosen
from intriguing.distortion.uphill import Slope, uphill
from intriguing.measures import Box

_OVERSHOOT = 0.04
"""Beyond the linearised boundary, in the second step: near what DeepFool's source takes."""


def approach(
    network: Network,
    goal: Goal,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    overshoot: Float[Tensor, " b"],
    box: Box,
    steps: int,
) -> tuple[Float[Tensor, "b n"], Slope, Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Walk `steps` steps of one pass each.

    Returns where they end, what was seen last, the next overshoot, and how far the linearised
    boundary is from the start.

    `overshoot` is 0 for a row that has not gone a step yet. A row that has an adversarial point
    stays where it is and counts no more passes: the last that is seen is the margin and the slope
    of that point.
    """
    tiny, z, promised = torch.finfo(start.dtype).tiny, start, torch.zeros_like(overshoot)
    seen = Slope(torch.full_like(best.l2, -torch.inf), torch.zeros_like(start))
    for step in range(steps):
        going = best.l2.isinf()
        if step and z.device.type == "cpu" and not going.any():
            break
        now = uphill(network, goal, z, True, going & best.within_budget)
        (gradient,) = chosen(going, (now.gradient,), (seen.gradient,))
        seen = Slope(torch.where(going, now.margin, seen.margin), gradient)
        best.offer(z, seen.margin, forward=going.long(), backward=going.long())
        gradient = within_box(seen.gradient, z, box)
        missing = (-seen.margin).clamp_min(0) / gradient.norm(dim=1).clamp_min(tiny)
        promised = missing if step == 0 else promised
        beyond = torch.where(overshoot > 0, 1 + overshoot, 0.5)
        overshoot = torch.where(overshoot > 0, (2 * overshoot).clamp_max(1), _OVERSHOOT)
        ahead = (beyond * missing).nan_to_num(0.0, 0.0, 0.0)
        trial = box.clamp(torch.addcmul(z, ahead[:, None], unit(gradient)))
        z = torch.where(best.l2.isinf()[:, None], trial, z)
    return z, seen, overshoot, promised
