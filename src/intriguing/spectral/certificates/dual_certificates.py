"""Certified radii made larger by multipliers of all that holds around an image, and in its box."""

import math
import time

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.graph.operations.activations import slopes_of
from intriguing.measures import Box, Progress, ProgressCallback
from intriguing.spectral.certificates.feed_forward import activations_of, preactivations
from intriguing.spectral.certificates.pairwise import PairBounds
from intriguing.spectral.certificates.step import Walk
from intriguing.spectral.dual.around import Dense as DenseChain
from intriguing.spectral.dual.curve import followed
from intriguing.spectral.dual.search import longer, work
from intriguing.spectral.semidefinite.layers import Dense, Slope

OPERATIONS = 2e11
"""Floating-point operations that one image may cost at most: some ten seconds of one core."""
STEPS = 100
"""Of the search for multipliers, for each image: as many again gain a percent."""
FEWEST = 20
"""Steps below which the multipliers are not worth starting."""
CLASSES = 3
"""Whose leads are followed, usually, of each image."""


def dual_certificates(
    radii: Float[Tensor, "n k"],
    ahead: Float[Tensor, "n k"],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    bounds: PairBounds,
    box: Box,
    progress: ProgressCallback | None = None,
    *,
    seconds: float = math.inf,
) -> Float[Tensor, "n k"] | None:
    """Radii against each class, no smaller than those given, or None if the network has no such.

    They hold for images in the box. The network has to be a chain of dense layers with activations
    that are straight on both sides of 0, or smooth.

    Args:
        radii: Within which each class is known not to win; infinite for the image's own.
        ahead: Leads over each class, less what rounding can do to them.
        images, labels: Which images.
        bounds: The network.
        box: Where images lie: nothing is proved of others.
        progress: Called after each image.
        seconds: Of one core, after which no further ball is tried around an image.
    """
    made = _chain(bounds)
    if made is None:
        return None
    chain, last = made
    steps = min(STEPS, int(OPERATIONS / work(chain, CLASSES)))
    if steps < FEWEST:
        return None
    walk = bounds.analysed.walk
    radii = radii.clone()
    lower, upper = (_filled(bound, images[:1]) for bound in (box.lower, box.upper))
    low, high = (entering(walk, bound.double()) for bound in (lower, upper))
    if len(low) != chain.weights[0].shape[1]:
        return None
    for number, image in enumerate(images):
        waiting = radii[number].isfinite()
        if waiting.any() and bool((radii[number] > 0).all()):
            values = preactivations(bounds.analysed.graph, walk, image[None])
            if values is None:
                return None
            place = chain.weights[0].device
            here = entering(walk, image[None].double()).to(place)
            rows = (last[labels[number]] - last)[waiting.to(place)]
            larger = longer(
                chain, here, (low.to(place) - here).clamp_max(0.0),
                (high.to(place) - here).clamp_min(0.0), [value[0] for value in values], rows,
                ahead[number, waiting].to(place), radii[number, waiting].to(place), steps,
                time.process_time() + seconds,
            )  # fmt: skip
            radii[number, waiting] = larger.to(radii)
        if progress is not None:
            progress(Progress("certify by multipliers", number + 1, len(images)))
    return radii


def _chain(bounds: PairBounds) -> tuple[DenseChain, Tensor] | None:
    """The layers before activations, and the last one."""
    if bounds.layers is None or not bounds.guaranteed:
        return None
    layers = bounds.layers
    weights = [layer.weight.double() for layer in layers[::2] if isinstance(layer, Dense)]
    slopes = [layer for layer in layers[1::2] if isinstance(layer, Slope)]
    operations = activations_of(bounds.analysed.walk)
    alternating = len(weights) + len(slopes) == len(layers) == 2 * len(weights) - 1
    if not alternating or not slopes or len(operations) != len(slopes):
        return None
    if not all(map(followed, operations)) or any(slopes_of(o) is None for o in operations):
        return None
    return DenseChain(tuple(weights[:-1]), operations), weights[-1]


def _filled(bound: float | Tensor, image: Tensor) -> Tensor:
    return torch.as_tensor(bound, dtype=torch.float64, device=image.device).expand_as(image)


def entering(walk: Walk, image: Float[Tensor, "1 ..."]) -> Float[Tensor, " numbers"]:
    """What enters the first layer: the image, its numbers moved about."""
    for step in walk.steps[1:]:
        if step.kind != "shape" or step.own.upper > 1.0:
            break
        image = step.call.again(image)
    return image.flatten()
