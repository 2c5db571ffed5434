"""Random search with squares, without gradients: raise the margin, then shrink the radius."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_PROBES = 12
"""Forward passes for a first length: doubling from 1/16 covers the box in 5, 7 halvings follow."""
_SHRINK = 0.95
"""Of the radius after a success: twenty successes leave a third of it."""
_BUMP = 0.3
"""Length of a square's change, in radii."""
_FIRST_AREA = 0.1
"""Part of the image that the first squares cover: the source's p."""
_HALVED_AT = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""Queries of 10,000 after which that part is halved: the source's schedule, stretched to ours."""


@attack(budget=1000, gradients=False)
def square(
    logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
) -> Incumbent:
    """Square attack, L2, of minimal norm (after Andriushchenko et al. 2020, arXiv:1912.00049).

    r begins as tiles of random signs, as long as it takes. A query adds a square of one sign a
    channel at a random place to r and brings r back to the radius and into the box; it is kept if
    the margin has risen. A success is made 5 % shorter, and the search goes on there. The source
    searches within one given radius, and moves its squares' mass from one window to another. Images
    are squares of 3 or 1 channels where their number of pixels allows it, else single rows. All
    images share the draws of `seed`, so they do not depend on their neighbours.
    """
    best = Incumbent(images)
    generator = torch.Generator().manual_seed(seed)
    queries = 2 * budget
    channels, height, width = _shape(images.shape[1])
    probes = min(_PROBES, queries)
    r = _tiles(channels, height, width, generator).to(images).expand_as(images)
    radius = torch.full_like(best.l2, math.sqrt(images.shape[1]) * box.width / 16)
    low, high = torch.zeros_like(radius), torch.full_like(radius, torch.inf)

    def ask(r: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
        points = box.clamp(images + r)
        with torch.no_grad():
            margin = goal.secure_margin(logits(points))
        best.offer(points, margin)
        return margin

    for _ in range(probes):
        margin = ask(_of_length(r, radius))
        high = torch.where(margin > 0, radius, high)
        low = torch.where(margin > 0, low, radius)
        radius = torch.where(high.isinf(), 2 * radius, (low + high) / 2)
    radius = torch.where(high.isinf(), radius, high)
    r, highest = _of_length(r, radius), torch.full_like(radius, -torch.inf)
    fresh = torch.ones_like(radius, dtype=torch.bool)
    for query in range(queries - probes):
        area = _FIRST_AREA / 2 ** sum(query * 10_000 > at * queries for at in _HALVED_AT)
        bump = _square(channels, height, width, area, generator).to(images)
        # What has just been made shorter is looked at as it is.
        tried = torch.where(fresh[:, None], r, r + _BUMP * radius[:, None] * bump)
        tried = _of_length(tried, radius)
        margin = ask(tried)
        better = margin > highest
        r = torch.where(better[:, None], tried, r)
        highest = torch.where(better, margin, highest)
        fresh = highest > 0
        # The box cuts off a part of r, and it is what is left that was adversarial.
        radius = torch.where(fresh, _SHRINK * torch.minimum(radius, best.l2), radius)
        highest = torch.where(fresh, -torch.inf, highest)
    return best


def _of_length(r: Float[Tensor, "b n"], radius: Float[Tensor, " b"]) -> Float[Tensor, "b n"]:
    scaled: Tensor = r * (radius / r.norm(dim=1).clamp_min(torch.finfo(r.dtype).tiny))[:, None]
    return scaled


def _shape(pixels: int) -> tuple[int, int, int]:
    """Channels, height and width of an image of so many numbers.

    >>> _shape(3072), _shape(784), _shape(50)
    ((3, 32, 32), (1, 28, 28), (1, 1, 50))
    """
    for channels in (3, 1):
        side = math.isqrt(pixels // channels)
        if channels * side**2 == pixels:
            return channels, side, side
    return 1, 1, pixels


def _tiles(channels: int, height: int, width: int, generator: torch.Generator) -> Tensor:
    """A row of pixels: tiles of a fifth of the image's sides, each of a random sign a channel."""
    sides = [max(1, side // 5) for side in (height, width)]
    counts = [-(-side // tile) for side, tile in zip((height, width), sides, strict=True)]
    signs = torch.randn(channels, *counts, generator=generator).sign()
    tiles = signs.repeat_interleave(sides[0], 1).repeat_interleave(sides[1], 2)
    return tiles[:, :height, :width].reshape(1, -1)


def _square(
    channels: int, height: int, width: int, area: float, generator: torch.Generator
) -> Tensor:
    """A row of pixels: one square of length 1 in L2, of a random sign a channel."""
    side = max(1, round(math.sqrt(area * height * width)))
    tall, wide = (side, side) if height > 1 else (1, max(1, round(area * width)))
    tall, wide = min(tall, height), min(wide, width)
    top = int(torch.randint(height - tall + 1, (), generator=generator))
    left = int(torch.randint(width - wide + 1, (), generator=generator))
    bump = torch.zeros(channels, height, width)
    signs = torch.randn(channels, 1, 1, generator=generator).sign()
    bump[:, top : top + tall, left : left + wide] = signs / math.sqrt(channels * tall * wide)
    return bump.view(1, -1)
