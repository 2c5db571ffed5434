"""The margin of a point and the way up it: what every search along gradients asks the network.

The margin itself, f_l − max f_j, has the gradient of one rival only. The soft margin looks at all:

    f_l − log Σ_{j≠l} exp f_j   (targeted),    log Σ_{j≠l} exp f_j − f_l   (untargeted)

Its gradient is that of the cross-entropy divided by how sure the network is to be wrong or right,
so it points the same way and vanishes with no softmax.
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.distortion.logit_unit import USUAL_UNIT
from intriguing.distortion.margins import one_of
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.rows import only, spread_out, width_of
from intriguing.models.backward import full_gradient


class Slope(NamedTuple):
    """The secure margin of points, and the way up it or the soft one."""

    margin: Float[Tensor, " b"]
    gradient: Float[Tensor, "b n"]


def uphill(
    network: Network,
    goal: Goal,
    z: Float[Tensor, "b n"],
    soft: bool,
    going: Bool[Tensor, " b"] | None = None,
) -> Slope:
    """The goal's secure margin at z, and the gradient of the margin or of the soft one: a pass.

    The margin is −∞ for NaN logits, the gradient 0 where it is not finite; and so they are of rows
    that are not `going`, which the network need not be asked about.
    """
    few = None if going is None else only(going, width_of(z))
    if few is not None:
        part = uphill(network, goal[few], z[few], soft) if len(few) else Slope(z[:0, 0], z[:0])
        return Slope(
            spread_out(part.margin, few, len(z), -torch.inf),
            spread_out(part.gradient, few, len(z), 0.0),
        )
    with torch.enable_grad():
        z = z.detach().requires_grad_()
        logits = network.logits(z)
    scaled = goal.scaled(logits.detach())
    margin, rival = goal.aim(scaled)
    wanted = one_of(goal.classes, scaled.shape[1])
    others = soft_share(scaled, wanted) if soft else torch.zeros_like(scaled)
    others = others if soft else others.scatter(1, rival, 1.0)
    slope = goal.ahead(wanted.to(scaled.dtype), others)
    slope = slope if goal.unit is None else slope / goal.unit[:, None]
    gradient = full_gradient(logits, z, slope=slope).nan_to_num(0.0, 0.0, 0.0)
    secure = (margin - goal.rounding_of(scaled)).nan_to_num(nan=-torch.inf)
    return Slope(secure, gradient)


def soft_share(scaled: Float[Tensor, "b k"], left_out: Bool[Tensor, "b k"]) -> Float[Tensor, "b k"]:
    """The softmax of logits in units, as sharp as trained networks have it, over all but some."""
    # In float64, since exp of the last few of many float32 values rounds otherwise.
    others = (USUAL_UNIT * scaled.double()).masked_fill(left_out, -torch.inf)
    share: Tensor = others.softmax(1).to(scaled.dtype)
    return share
