"""New examples for a pool: by the library's own searches, inside the layer's range and a radius."""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.distortion.attacks.steps import unit
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.search import Search
from intriguing.distortion.within import strongest_within
from intriguing.hardening.config import PoolConfig
from intriguing.measures import Box

_LENGTHENINGS = 8
"""Times that noise is made longer for what the box cut off; in between it doubles at most."""


def new_examples(
    above: nn.Module,
    phi: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    radius: float,
    box: Box,
    config: PoolConfig,
    generator: torch.Generator,
) -> Float[Tensor, "image ..."]:
    """One example for each image: harder to classify, within `radius` of φ, inside `box`.

    Where a method finds nothing, or the image is misclassified as it is, the example is φ itself.

    Args:
        above: What makes logits of φ, in evaluation mode.
        phi: Activations of the images, or the images themselves.
        labels: The true classes, which the examples keep.
        radius: The largest distance from φ.
        box: The range of the layer.
        config: Which search.
        generator: On the device of `phi`, for "gaussian".
    """
    if config.search == "steps":
        return strongest_within(above, phi, labels, radius, box=box, steps=config.steps)
    if config.search == "gaussian":
        return noisy(phi, radius, box, generator)
    search = Search(config.search, config.budget)
    found = minimum_distortion(above, phi, labels, "untargeted", search, box=box)
    adversarial = found.adversarial.to(phi)
    away = found.l2.to(phi)
    length = torch.where(found.success.to(phi.device) & (away > radius), radius / away, 1.0)
    shape = (-1, *[1] * (phi.ndim - 1))
    nearer = phi + length.view(shape) * (adversarial - phi)
    kept = torch.where(found.success.to(phi.device).view(shape), nearer, phi)
    return box.clamp(kept)


def noisy(
    phi: Float[Tensor, "image ..."], radius: float, box: Box, generator: torch.Generator
) -> Float[Tensor, "image ..."]:
    """φ plus Gaussian noise that is `radius` long after it was clamped to the box, if it can be."""
    rows = phi.flatten(1)
    drawn = torch.randn(rows.shape, generator=generator, dtype=rows.dtype, device=phi.device)
    direction = unit(drawn)
    limits = box.flat(rows)
    length = rows.new_full((len(rows), 1), radius)
    points = limits.clamp(rows + length * direction)
    for _ in range(_LENGTHENINGS):
        now = (points - rows).norm(dim=1, keepdim=True)
        length = length * (radius / now.clamp_min(torch.finfo(rows.dtype).tiny)).clamp_max(2)
        points = limits.clamp(rows + length * direction)
    r = points - rows
    r = r * (radius / r.norm(dim=1, keepdim=True).clamp_min(radius))
    return limits.clamp(rows + r).view(phi.shape)


def typical_distance(phi: Float[Tensor, "image ..."]) -> float:
    """The root mean square distance between two images there: √(2 Σ variances).

    >>> typical_distance(torch.tensor([[0.0, 0.0], [3.0, 4.0]]))
    5.0
    """
    rows = phi.flatten(1).double()
    spread = (rows - rows.mean(0)).square().sum() / max(len(rows) - 1, 1)
    return math.sqrt(2 * float(spread))
