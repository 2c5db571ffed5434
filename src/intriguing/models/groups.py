"""Images go through a network in groups of one size: no answer depends on how many there are.

Products of few rows, of more rows, and of many take different kernels, and so do the last few
values of an elementwise function; each rounds otherwise. On a CPU a network is therefore only ever
given groups of one size, the last one filled up: what it computes for an image then has one shape,
whatever the batch. (Measured with MKL on AVX-512: with two threads a layer of 784 → 10 rounds
otherwise for 16 rows than for 32, and one of 784 → 1200 than for 128.)
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

_DENSE = 32
"""A weight used once an image is read from memory for every group: 32 images repay it. 32 float32
values are also what a loop of AVX-512 takes at once, so that no value of a layer comes last."""

_SPATIAL = 16
"""A kernel used at many places of an image repays itself: larger groups would only cost more where
there is one image."""

LARGE = 1 << 14
"""Values of an image above which it goes alone: it fills the machine, and copies would be dear."""


@dataclass(frozen=True)
class Sizes:
    """How many images go through a network together: `most`, and the last ones fewer.

    Down to `least` they are rounded as among the most.
    """

    most: int
    least: int

    def of(self, count: int) -> list[int]:
        """The groups of so many images, the last of them perhaps with copies.

        >>> Sizes(8, 4).of(15), Sizes(8, 4).of(9), Sizes(8, 4).of(3), Sizes(8, 8).of(9)
        ([8, 7], [5, 4], [4], [8, 8])
        """
        whole, rest = divmod(count, self.most)
        sizes = [self.most] * whole
        if not rest:
            return sizes
        if rest < self.least and whole and self.most + rest >= 2 * self.least:
            both = sizes.pop() + rest
            return [*sizes, both - both // 2, both // 2]
        return [*sizes, max(rest, self.least)]


def group_size(model: nn.Module, shape: Sequence[int]) -> int:
    """How many images of this shape go through the network together, unless fewer do.

    See `small_groups`.

    >>> group_size(nn.Linear(4, 2), (4,)), group_size(nn.Conv2d(1, 2, 3), (1, 8, 8))
    (32, 16)
    """
    if math.prod(shape) > LARGE:
        return 1
    return _SPATIAL if any(p.ndim > 2 for p in model.parameters()) else _DENSE


def in_groups(
    model: Callable[[Tensor], Tensor], images: Float[Tensor, "b ..."], sizes: Sizes
) -> Float[Tensor, "b ..."]:
    """The network's answer to every image, rounded alike whatever their number; differentiable.

    On an accelerator, whose kernels cost more to launch than to fill, the images go in one batch
    filled up to a multiple of the largest group.

    Args:
        model: From images to rows of anything; in evaluation mode.
        images: On the model's device. Where there are none, the network is asked about zeros.
        sizes: Of the groups.
    """
    most, count, one_batch = sizes.most, len(images), images.device.type != "cpu"
    groups = [-(-count // most) * most or most] if one_batch else sizes.of(count) or [sizes.least]
    missing = sum(groups) - count
    if missing:
        filler = images[:1] if count else images.new_zeros(1, *images.shape[1:])
        images = torch.cat((images, filler.expand(missing, *images.shape[1:])))
    if len(groups) == 1 and most > 1:
        answers: Tensor = model(images)
    else:
        # Alone, an image begins where memory is aligned, as every group does.
        parts = torch.split(images, groups)
        answers = torch.cat([model(part.clone() if most == 1 else part) for part in parts])
    return answers[:count] if missing else answers
