"""The first adversarial point: steps onto the boundary of the linearised network.

    z ← z + (1 + overshoot)·(|m|/‖g‖)·g/‖g‖,    clamped to the box,

with the margin m at z and the gradient g of the soft margin over the pixels that the box lets move
(DeepFool with all rivals at once; Moosavi-Dezfooli et al. 2016, arXiv 1511.04599). Everything is in
the network's own units: no length is assumed. The first step goes half way only, since where a
network saturates the slope at x promises too little; the overshoot begins at 2 % and doubles with
every step, since who has not arrived after a few has been stopped short by curvature.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.attacks.steps import unit, within_box
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.uphill import uphill
from intriguing.measures import Box

_OVERSHOOT = 0.02
"""Beyond the linearised boundary, as DeepFool goes."""


def approach(
    network: Network,
    goal: Goal,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    box: Box,
    *,
    first: int,
    steps: int,
) -> Float[Tensor, "b n"]:
    """Walk `steps` steps of one pass each, of which the first is number `first`; where they end.

    A row that has an adversarial point stays where it is and counts no more passes.
    """
    tiny, z = torch.finfo(start.dtype).tiny, start
    for step in range(first, first + steps):
        going = best.l2.isinf().long()
        margin, gradient = uphill(network, goal, z, soft=True)
        best.offer(z, margin, forward=going, backward=going)
        gradient = within_box(gradient, z, box)
        missing = (-margin).clamp_min(0) / gradient.norm(dim=1).clamp_min(tiny)
        beyond = 0.5 if step == 0 else 1 + min(_OVERSHOOT * 2**step, 1.0)
        # A ten-thousandth of the way more, so that rounding does not hold it up.
        ahead = (beyond + 1e-4) * missing.nan_to_num(0.0, 0.0, 0.0)
        trial = box.clamp(torch.addcmul(z, ahead[:, None], unit(gradient)))
        z = torch.where(best.l2.isinf()[:, None], trial, z)
    return z
