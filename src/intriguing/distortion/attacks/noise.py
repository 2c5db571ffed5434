"""Gaussian noise: how much of it changes the class, the control for every other method."""

import zlib

import torch
from torch import Tensor

from intriguing.distortion.attack import attack
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.problem import Goal, Logits
from intriguing.measures import Box

_PROBES = 12
"""Forward passes a draw: doubling from 1/16 covers the box in 5, 7 halvings leave 1 % of σ."""


@attack(budget=50, gradients=False)
def noise(
    logits: Logits, goal: Goal, images: Tensor, box: Box, budget: int, seed: int
) -> Incumbent:
    """The smallest σ for which x + σ·N(0, 1), clipped to the box, is adversarial; best of draws.

    The paper adds Gaussian noise as a control (§4.2, Table 2). Here each draw's σ starts at 1/16 of
    the box's width, doubles until it succeeds and is then bisected, with 12 forward passes a draw
    and no gradient. The draws of an image follow from `seed` and its own pixels, so they do not
    depend on its neighbours.
    """
    best = Incumbent(images)
    generators = [_generator(image, seed) for image in images.cpu()]
    probes = min(_PROBES, 2 * budget)
    for _ in range(2 * budget // probes):
        drawn = [torch.randn(images.shape[1], generator=generator) for generator in generators]
        direction = torch.stack(drawn).to(images)
        sigma = torch.full_like(best.l2, box.width / 16)
        low, high = torch.zeros_like(sigma), torch.full_like(sigma, torch.inf)
        for _ in range(probes):
            points = box.clamp(images + sigma[:, None] * direction)
            with torch.no_grad():
                margin = goal.secure_margin(logits(points))
            best.offer(points, margin)
            high = torch.where(margin > 0, sigma, high)
            low = torch.where(margin > 0, low, sigma)
            sigma = torch.where(high.isinf(), 2 * sigma, (low + high) / 2)
    return best


def _generator(image: Tensor, seed: int) -> torch.Generator:
    """A generator that belongs to this image and seed."""
    pixels = image.contiguous().view(torch.uint8).numpy().tobytes()
    return torch.Generator().manual_seed(zlib.crc32(pixels, seed & 0xFFFFFFFF))
