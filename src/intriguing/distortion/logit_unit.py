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

from intriguing.measures import Box
from intriguing.models.logit_scale import USUAL, spread

_NOISES, _LARGE = 16, 1 << 14
# A softmax, or a constant beside a margin, depends on the size of the logits by its definition. It
# takes them as they are where they are as networks have them; else, where it would be flat or a
# step, as if this were their unit, which is that of trained networks.
USUAL_UNIT = 2.0**4


def noise_in(box: Box, pixels: int, like: Tensor) -> Float[Tensor, "noise n"]:
    """A few rows of pixels drawn from the box, always the same."""
    count = _NOISES if pixels <= _LARGE else 2
    drawn = torch.rand(count, pixels, generator=torch.Generator().manual_seed(0)).to(like)
    return box.clamp(box.lower + drawn * (box.upper - box.lower))


def power_of_two(size: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The largest power of two that is at most `size`; 1 where that is not positive and finite.

    >>> power_of_two(torch.tensor([3.0, 0.25, 0.0]))
    tensor([2.0000, 0.2500, 1.0000])
    """
    usable = size.isfinite() & (size > 0)
    exponent = torch.where(usable, size, 1).frexp().exponent - 1
    return torch.ldexp(torch.ones_like(size), exponent)


def unit_of(logits: Float[Tensor, "b k"], at_least: float) -> Float[Tensor, " b"]:
    """The unit of images with these logits.

    Of two classes the logits of an image near the boundary are all alike, and say nothing of the
    size of the sums that gave them, which rounding follows: `at_least` does.
    """
    return power_of_two(spread(logits).clamp_min(at_least))


def natural(unit: Float[Tensor, " b"]) -> Float[Tensor, " b"]:
    """The unit itself where it is one that networks have, else the usual one."""
    low, high = USUAL
    return torch.where((unit >= low) & (unit < high), unit, USUAL_UNIT)
