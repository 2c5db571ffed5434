"""Gaussian noise of a stated size: the control that Tables 2 and 4 and Figure 7 put beside r."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Box, as_box


def gaussian_noise(
    images: Float[Tensor, "batch ..."],
    stddev: float,
    generator: torch.Generator,
    box: Box | Sequence[float | Tensor] | None = None,
) -> Float[Tensor, "batch ..."]:
    """Images plus independent Gaussian noise of standard deviation `stddev` on every pixel (§4.2).

    Without a `box` the noise is not clipped, so that its distortion is `stddev` itself (up to
    chance), as the last column of Table 2 prints; with one, the result is clipped to it.

    Raises InputError for a negative `stddev`.
    """
    if stddev < 0:
        raise InputError(f"stddev={stddev} is negative; give a standard deviation of 0 or more")
    device = generator.device
    noise = torch.randn(images.shape, generator=generator, dtype=images.dtype, device=device)
    noisy = images + stddev * noise.to(images.device)
    return noisy if box is None else as_box(box).clamp(noisy)
