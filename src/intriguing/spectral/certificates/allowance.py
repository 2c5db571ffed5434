"""What a network's own arithmetic can do to a margin, by what it does close to the image."""

from collections.abc import Iterator

import torch
from jaxtyping import Float, Float64
from torch import Tensor, fx

from intriguing.distortion.problem import rounding
from intriguing.graph.batch_independence import exact_logits
from intriguing.measures import Box
from intriguing.models.classifier import Classifier

_APART = 1 / 64
"""How far from the image, of the way to its own pixels in another order."""
_TIMES = 16
"""What a margin may lose, in largest differences of one logit seen."""


@torch.no_grad()
def allowance(
    network: Classifier,
    graph: fx.GraphModule,
    images: Float[Tensor, "n ..."],
    logits: Float[Tensor, "n k"],
    box: Box,
) -> Float64[Tensor, " n"]:
    """What rounding may take off the margins of an image and of any other near it, (n,).

    Rounding follows the sums that give the logits, not the logits: where large ones cancel it is
    many times what the logits' size says. So the network is asked at the image and at three points
    next to it, and what it says is compared with float64. That is measured, not proved: a bound of
    the worst that all roundings could do together, layer by layer, leaves deep networks nothing.

    Args:
        network: As it runs.
        graph: What it computes, in float64.
        images: In the box.
        logits: Of the images, by the network's own arithmetic.
        box: Where images lie.
    """
    seen = (logits.cpu().double() - exact_logits(graph, images).cpu()).abs()
    for point in _near(images.detach().to(network.dtype), box):
        own, exact = network.each(point).cpu().double(), exact_logits(graph, point).cpu()
        seen = torch.maximum(seen, (own - exact).abs().nan_to_num(0.0, 0.0, 0.0))
    most = seen.nan_to_num(0.0, 0.0, 0.0).amax(1)
    return torch.maximum(_TIMES * _few_digits(most), 2.0 * rounding(logits).cpu().double())


def _few_digits(values: Float64[Tensor, " n"]) -> Float64[Tensor, " n"]:
    """Rounded up to 8 bits, so that no last digit of float64 tells in which batch an image was."""
    share, power = torch.frexp(values)
    return torch.ldexp((share * 256.0).ceil() / 256.0, power)


def _near(images: Float[Tensor, "n ..."], box: Box) -> Iterator[Float[Tensor, "n ..."]]:
    """Points of the box whose sums are as large as those of the images, and rounded otherwise."""
    flat = images.flatten(1)
    for other in (flat.flip(1), flat.roll(flat.shape[1] // 3, 1), torch.zeros_like(flat)):
        yield box.clamp(torch.lerp(flat, other, _APART).view_as(images))
