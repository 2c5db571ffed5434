"""QuocNet's layers: filters without shared weights, L2 pooling, local contrast normalisation."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.models.local_contrast import LocalContrast2d, band_matrix
from intriguing.models.tiles import Layout, dense
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.matrix import matrix_norm
from intriguing.spectral.norms.pooling import max_pool_norm

LARGEST = 6000
"""The smaller side of a matrix that is bounded in some seconds …"""
_ENTRIES = 60_000_000
"""… and its entries: half a gigabyte in float64."""
_TILE = 1500
"""The smaller side of a tile: many are bounded in the time of one large matrix."""


def locally_connected_norm(
    weight: Float[Tensor, "p q map i j channel"],
    stride: int | Sequence[int] = 1,
    *,
    largest: int = LARGEST,
) -> tuple[float, bool]:
    """The norm of untied filtering from above, and whether it is exact.

    A layer whose matrix is small enough is written out.  Of a larger one, tiles of outputs are:
    with nₜ the norm of tile t, which sees the window wₜ,

        ‖W·x‖² = Σₜ ‖Wₜ·x|wₜ‖² ≤ Σₜ nₜ²·‖x|wₜ‖² ≤ ‖x‖²·max over pixels of Σ nₜ², t that see it.

    Args:
        weight: As `LocallyConnected2d` has it.
        stride: As there.
        largest: The most rows or columns, whichever are fewer, of a matrix that is written out.

    >>> weight = torch.zeros(2, 2, 1, 1, 1, 1)
    >>> weight[0, 1] = 3.0
    >>> round(locally_connected_norm(weight)[0], 6)
    3.0
    """
    steps = (stride, stride) if isinstance(stride, int) else (int(stride[0]), int(stride[1]))
    layout = Layout.of(weight, steps)
    rows = math.prod(layout.outputs) * layout.maps
    columns = math.prod(layout.inputs) * layout.channels
    if min(rows, columns) <= largest and rows * columns <= _ENTRIES:
        return matrix_norm(dense(weight.detach(), steps)), True
    side = _tile_side(layout, min(largest, _TILE))
    squares = torch.zeros(layout.inputs, dtype=torch.float64)
    for top in range(0, layout.outputs[0], side):
        for left in range(0, layout.outputs[1], side):
            tile = weight[top : top + side, left : left + side].detach()
            norm = matrix_norm(dense(tile, steps))
            seen = layout.window(tile.shape[0], tile.shape[1])
            y, x = top * steps[0], left * steps[1]
            squares[y : y + seen[0], x : x + seen[1]] += norm**2
    return outward(math.sqrt(float(squares.max()))), False


def _tile_side(layout: Layout, largest: int) -> int:
    """The largest tile whose matrix has so many rows or columns at most; one output at least."""
    side = 1
    while True:
        window = math.prod(layout.window(side + 1, side + 1)) * layout.channels
        if min((side + 1) ** 2 * layout.maps, window) > largest or side >= max(layout.outputs):
            return side
        side += 1


def l2_pool_norm(window: Sequence[int], stride: Sequence[int]) -> float:
    """The Lipschitz constant of L2 pooling: sqrt(windows over one value), as of max pooling.

    |sqrt(ε + ‖a‖²) − sqrt(ε + ‖b‖²)| ≤ ‖a − b‖ in each window.

    >>> round(l2_pool_norm((5, 5), (1, 1)), 6)
    5.0
    """
    return max_pool_norm(window, stride)


def local_contrast_norm(layer: LocalContrast2d, maps: int, size: Sequence[int]) -> float:
    """Contrast normalisation from above: ‖1 − G‖·(1 + 1/sqrt(k₀))/c, k₀ the middle of the window.

    With N = max(c, sqrt(ΣG·g²)), the change of y = g/N is δg/N − g·δN/N².  By Cauchy and Schwarz
    |δN_p|² ≤ Σ_q G_pq·|δg_q|², and N_p² ≥ G_pp·|g_p|² makes |g_p|/N_p² ≤ 1/(c·sqrt(G_pp)); over
    all p the second part is at most Σ_p G_pq/G_pp ≤ 1/k₀ of |δg_q|²/c².  (The maps' mean cancels.)

    Args:
        layer: The layer.
        maps: Channels of its input.
        size: (rows, columns) of its input.
    """
    kernel = layer.kernel()
    middle = float(kernel[layer.window // 2]) ** 2
    return outward(
        _centring_norm(kernel, maps, size) * (1 + 1 / math.sqrt(middle)) / layer.floor, 1e-6
    )


def _centring_norm(kernel: Tensor, maps: int, size: Sequence[int]) -> float:
    """‖1 − J⊗K‖, J the mean over maps, K = D·S the window, rows divided by what lies inside.

    On what J removes it is 1.  Small K are written out; else 1 − K = √D·(1 − √D·S·√D)/√D, whose
    middle has eigenvalues 1 − λ, and K's, being a mean's, are at most 1.
    """
    matrices = [band_matrix(kernel, side) for side in size]
    insides = [matrix.sum(1) for matrix in matrices]
    alone = 1.0 if maps > 1 else 0.0
    if math.prod(size) <= 1024:
        means = [m / inside[:, None] for m, inside in zip(matrices, insides, strict=True)]
        whole = torch.kron(*means)
        return max(alone, matrix_norm(torch.eye(len(whole), dtype=whole.dtype) - whole))
    values = [torch.linalg.eigvalsh(matrix) for matrix in matrices]
    products = torch.outer(values[0][[0, -1]], values[1][[0, -1]])
    least = min(float(products.min()), 0.0)
    ratio, most = 1.0, 1.0
    for inside in insides:
        ratio *= float(inside.max() / inside.min())
        most /= float(inside.min())
    return max(alone, outward(math.sqrt(ratio) * (1.0 - least * most)))
