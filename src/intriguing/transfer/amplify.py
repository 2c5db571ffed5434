"""Adversarial changes made larger: the lower half of Table 4."""

import math
from collections.abc import Sequence

from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Box, as_box, l2


def amplify(
    images: Float[Tensor, "batch ..."],
    adversarial: Float[Tensor, "batch ..."],
    stddev: float,
    box: Box | Sequence[float | Tensor] | None = None,
) -> Float[Tensor, "batch ..."]:
    """Scale r = x′ − x so that its distortion is `stddev`: x + stddev·√n·r/‖r‖₂.

    §4.2 prints x + 0.1 (x′ − x)/‖x′ − x‖₂, a change of length 0.1, whose distortion would be
    0.1/√784 = 0.0036: smaller than x′ − x itself.  Its text says that this "magnifies the
    distortion on average by 40%, from stddev 0.06 to 0.1", and Table 4 says "amplified to
    stddev=0.1".  Formula and text disagree by the factor √n; the text is followed here.
    Every change gets the same size, so one that was larger than `stddev` becomes smaller.

    Args:
        images: x.
        adversarial: x′, of the same shape.
        stddev: The wanted distortion sqrt(Σ r² / n), in pixel units.
        box: Clip the result to it; None leaves the distortion at exactly `stddev`.

    Returns:
        The amplified images; where x′ = x there is no direction, and the image stays as it is.

    >>> import torch
    >>> amplify(torch.zeros(1, 4), torch.tensor([[0.0, 0.0, 0.0, 0.01]]), 0.1)
    tensor([[0.0000, 0.0000, 0.0000, 0.2000]])
    """
    if images.shape != adversarial.shape:
        raise InputError(
            f"images have shape {tuple(images.shape)} and adversarial images "
            f"{tuple(adversarial.shape)}; give one adversarial image an image"
        )
    if not stddev >= 0:
        raise InputError(f"stddev={stddev}; give a standard deviation of 0 or more")
    r = adversarial - images
    length = l2(images, adversarial)
    pixels = images[0].numel() if len(images) else 1
    scale = (stddev * math.sqrt(pixels) / length).nan_to_num(posinf=0.0)
    amplified = images + scale.view(-1, *[1] * (images.ndim - 1)) * r
    return amplified if box is None else as_box(box).clamp(amplified)
