"""The unit that an image's logits are measured in, so that multiplying them changes nothing.

A network whose logits are multiplied by a constant decides as before, so D(x, l) is as before. But
searches know constants: what rounding may take of a margin, how sharp a softmax is, the first
weight of a hinge. All of these are in units of how far apart the logits of the image itself are,
as a power of two: dividing by it rounds nothing, and a search of logits times 2ᵏ does, to the bit,
what it does at k = 0.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.models.logit_scale import USUAL

# A softmax, or a constant beside a margin, depends on the size of the logits by its definition. It
# takes them as they are where they are as networks have them; else, where it would be flat or a
# step, as if this were their unit, which is that of trained networks.
USUAL_UNIT = 2.0**4


def power_of_two(size: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The largest power of two that is at most `size`; 1 where that is not positive and finite.

    >>> power_of_two(torch.tensor([3.0, 0.25, 0.0]))
    tensor([2.0000, 0.2500, 1.0000])
    """
    usable = size.isfinite() & (size > 0)
    size = torch.where(usable, size, 1)
    # A number over its mantissa, which is between ½ and 1; `ldexp` may round its powers.
    return size / (2 * size.frexp().mantissa)


def natural(unit: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The unit itself where it is one that networks have, else the usual one."""
    low, high = USUAL
    return torch.where((unit >= low) & (unit < high), unit, USUAL_UNIT)
