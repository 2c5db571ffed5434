"""The first adversarial point: steps onto the boundary of the linearised network.

    z ← z + (1 + overshoot)·(|m|/‖g‖)·g/‖g‖,    clamped to the box,

with the margin m at z and the gradient g of the soft margin over the pixels that the box lets move
(DeepFool with all rivals at once; Moosavi-Dezfooli et al. 2016, arXiv 1511.04599). Everything is in
the network's own units: no length is assumed. The first step goes half way only, since where a
network saturates the slope at x promises too little; the overshoot begins at 2 % and doubles with
every step, since who has not arrived after a few has been stopped short by curvature.
"""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.distortion.attacks.steps import unit, within_box
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.uphill import uphill
from intriguing.measures import Box

_OVERSHOOT = 0.02
"""Beyond the linearised boundary, as DeepFool goes."""
_DOUBLED = 6
"""Doublings after which a step would go twice as far as the boundary, which is as far as it may."""


def approach(
    network: Network,
    goal: Goal,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    taken: Int64[Tensor, " b"],
    box: Box,
    steps: int,
) -> tuple[Float[Tensor, "b n"], Float[Tensor, " b"]]:
    """Walk `steps` steps of one pass each after those `taken`: where they end, and the last margin.

    A row that has an adversarial point stays where it is and counts no more passes.
    """
    tiny, z = torch.finfo(start.dtype).tiny, start
    margin = torch.full_like(best.l2, -torch.inf)
    for step in range(steps):
        going = best.l2.isinf().long()
        margin, gradient = uphill(network, goal, z, soft=True)
        best.offer(z, margin, forward=going, backward=going)
        gradient = within_box(gradient, z, box)
        missing = (-margin).clamp_min(0) / gradient.norm(dim=1).clamp_min(tiny)
        overshoot = (_OVERSHOOT * 2 ** (taken + step).clamp_max(_DOUBLED)).clamp_max(1)
        beyond = torch.where(taken + step == 0, 0.5, 1 + overshoot)
        ahead = (beyond * missing).nan_to_num(0.0, 0.0, 0.0)
        trial = box.clamp(torch.addcmul(z, ahead[:, None], unit(gradient)))
        z = torch.where(best.l2.isinf()[:, None], trial, z)
    return z, margin
