"""Norms of padding, cropping and resizing: products of one matrix an axis."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.matrix import matrix_norm

LARGE = 4096
"""From this many pixels an axis on, Schur's test replaces the matrix' singular value."""


def pad_norm(
    pads: Sequence[int], mode: str = "constant", input_size: Sequence[int] | None = None
) -> float:
    """The exact norm of `torch.nn.functional.pad`: the square root of the most copies of a pixel.

    Each row of the padding matrix E has one 1 at most, so that EᵀE is diagonal and counts copies.
    Negative pads crop. A constant other than 0 shifts outputs only and changes no distance.

    Args:
        pads: Before and after, the last axis first, as torch has them.
        mode: "constant", "reflect", "replicate" or "circular".
        input_size: Pixels of the padded axes, the last axis last; None covers every size.

    Returns:
        1 for a constant.

    >>> pad_norm((1, 1), "replicate", (5,)) ** 2
    2.0000000...
    """
    if len(pads) % 2:
        raise InputError(f"{len(pads)} pads are not two an axis; give before and after for each")
    pairs = [(int(pads[i]), int(pads[i + 1])) for i in range(0, len(pads), 2)]
    sizes = (None,) * len(pairs) if input_size is None else tuple(input_size)[::-1]
    copies = math.prod(
        most_copies(pair, mode, size) for pair, size in zip(pairs, sizes, strict=False)
    )
    return outward(math.sqrt(copies))


def most_copies(pads: tuple[int, int], mode: str, size: int | None) -> int:
    """How often the most copied pixel of an axis appears after padding; over all sizes if None."""
    if mode in ("zeros", "constant"):
        return 1
    before, after = pads
    if size is None:
        grown = [max(0, before), max(0, after)]
        return 1 + sum(grown) if mode == "replicate" else 1 + sum(pad > 0 for pad in grown)
    pixels = torch.arange(size, dtype=torch.float64)[None, None]
    try:
        padded = functional.pad(pixels, (before, after), mode=mode)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise InputError(f"padding {pads} of mode {mode!r} on {size} pixels: {error}") from error
    return int(torch.bincount(padded.long().flatten()).max())


def interpolate_norm(input_size: Sequence[int], **options: Any) -> float:
    """The norm of `torch.nn.functional.interpolate`: the product of one matrix' norm an axis.

    Args:
        input_size, options: As for `interpolation_matrices`.

    >>> round(interpolate_norm((8, 8), scale_factor=2), 6)
    2.0
    """
    return math.prod(axis_norm(m) for m in interpolation_matrices(input_size, **options))


def interpolation_matrices(
    input_size: Sequence[int],
    *,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> list[Float[Tensor, "inputs outputs"]]:
    """The matrix of each axis: every mode is separable, and shows what it makes of unit vectors.

    Args:
        input_size: Pixels an axis.
        size, scale_factor, mode, align_corners, recompute_scale_factor, antialias: As in torch.

    Raises:
        InputError: torch refuses the arguments.
    """
    sizes = _per_axis(size, len(input_size))
    factors = _per_axis(scale_factor, len(input_size))
    flat = {"linear": "linear", "bilinear": "linear", "trilinear": "linear", "bicubic": "bicubic"}
    line = flat.get(mode, mode)
    matrices = []
    for pixels, out, factor in zip(input_size, sizes, factors, strict=True):
        options: dict[str, Any] = {"mode": line, "recompute_scale_factor": recompute_scale_factor}
        if line in ("linear", "bicubic"):
            options["align_corners"] = align_corners
        units = torch.eye(pixels, dtype=torch.float64)[:, None]
        if line == "bicubic" or antialias:
            # These exist in the plane only: a second axis keeps its two pixels. (Of one pixel it
            # makes torch confuse the axes.)
            options["mode"] = "bicubic" if line == "bicubic" else "bilinear"
            options["antialias"] = antialias
            units = units[..., None].repeat(1, 1, 1, 2)
            out = None if out is None else (out, 2)
            factor = None if factor is None else (factor, 1.0)
        try:
            images = functional.interpolate(units, size=out, scale_factor=factor, **options)
        except (RuntimeError, NotImplementedError, ValueError) as error:
            raise InputError(f"interpolation of {tuple(input_size)}: {error}") from error
        matrices.append((images[..., 0] if images.ndim == 4 else images)[:, 0])
    return matrices


def axis_norm(matrix: Float[Tensor, "inputs outputs"]) -> float:
    """An upper bound on the norm of one axis' matrix, exact up to `LARGE` pixels.

    Beyond, sqrt(max row sum · max column sum) of the absolute values (Schur's test).
    """
    if min(matrix.shape) <= LARGE:
        return matrix_norm(matrix)
    sums = matrix.abs().sum(0).max() * matrix.abs().sum(1).max()
    return outward(float(sums.sqrt()))


def _per_axis(value: Any, axes: int) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,) * axes
