"""Certified radii made larger by bounds around each image: its weakest lead first."""

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.measures import Box, Progress, ProgressCallback
from intriguing.spectral.certificates.feed_forward import activations_of, preactivations
from intriguing.spectral.certificates.pairwise import PairBounds
from intriguing.spectral.semidefinite.local_chain import LocalChain, local_chain
from intriguing.spectral.semidefinite.multiplier_search import SemidefiniteConfig

_IMAGES = 64
"""Images between two reports of progress, some seconds."""


def local_certificates(
    radii: Float[Tensor, "n k"],
    ahead: Float[Tensor, "n k"],
    images: Float[Tensor, "n ..."],
    labels: Int64[Tensor, " n"],
    bounds: PairBounds,
    box: Box,
    progress: ProgressCallback | None = None,
) -> Float[Tensor, "n k"] | None:
    """Radii against each class, no smaller than those given, or None if the network has no such.

    Of each image the class with the smallest radius is taken, and the next one as long as it is
    smaller than what has been treated: the others do not matter.

    Args:
        radii: Within which each class is known not to win; infinite for the image's own.
        ahead: Leads over each class.
        images, labels: Which images.
        bounds: The network.
        box: Where images lie; these bounds hold outside, too.
    """
    if bounds.layers is None or not bounds.guaranteed:
        return None
    walk = bounds.analysed.walk
    chain = local_chain(bounds.layers, activations_of(walk), SemidefiniteConfig())
    if chain is None:
        return None
    radii = radii.clone()
    for first in range(0, len(images), _IMAGES):
        rows = slice(first, first + _IMAGES)
        values = preactivations(bounds.analysed.graph, walk, images[rows])
        if values is None:
            return None
        radii[rows] = _part(chain, radii[rows], ahead[rows], labels[rows], values)
        if progress is not None:
            done = min(first + _IMAGES, len(images))
            progress(Progress("certify around each image", done, len(images)))
    return radii


def _part(
    chain: LocalChain, radii: Tensor, ahead: Tensor, labels: Tensor, values: tuple[Tensor, ...]
) -> Tensor:
    treated = torch.zeros_like(radii, dtype=torch.bool)
    for _ in range(radii.shape[1]):
        weakest, against = radii.min(1)
        waiting = weakest.isfinite() & (weakest > 0)
        waiting &= ~treated.gather(1, against[:, None])[:, 0]
        rows = torch.nonzero(waiting)[:, 0]
        if not len(rows):
            break
        chosen = against[rows]
        directions = torch.zeros(len(rows), radii.shape[1], dtype=torch.float64)
        place = torch.arange(len(rows))
        directions[place, labels[rows]], directions[place, chosen] = 1.0, -1.0
        device = chain.start.device
        larger = chain.radii(
            [value[rows.to(value.device)].to(device) for value in values],
            directions.to(device),
            ahead[rows, chosen].to(device),
            radii[rows, chosen].to(device),
        )
        radii[rows, chosen] = larger.cpu()
        treated[rows, chosen] = True
    return radii
