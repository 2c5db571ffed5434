"""The Lipschitz bound of a feed-forward chain, of semidefinite quality and without its solver.

A chain is a list of layers (`layers.py`), first to last. How it is bounded is described in
`ellipsoid.py` (the rules), `multipliers.py` (the best of them), `multiplier_search.py` (at what
cost), `cyclic.py` (convolutions) and `outward_rounding.py` (rounding).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.spectral.norms.bound import outward
from intriguing.spectral.norms.convolution import norm_of_convolution
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.matrix import matrix_norm
from intriguing.spectral.semidefinite.layers import Dense, Flatten, Layer, Pool, Slope, shapes
from intriguing.spectral.semidefinite.multiplier_search import Search, SemidefiniteConfig

__all__ = [
    "ChainBound",
    "Convolution",
    "Dense",
    "Flatten",
    "Layer",
    "Pool",
    "SemidefiniteConfig",
    "Slope",
    "chain_bound",
    "chain_product",
]


@dataclass(frozen=True)
class ChainBound:
    """Upper bounds on the L2 Lipschitz constant of a chain.

    Attributes:
        upper: For the whole map.
        pairs: For each direction of the output that was asked for.
        product: The product of the layers' norms, for the whole map: never less than `upper`.
        refined: How many of the pairs have multipliers of their own (or there are none); the others
            use the whole map's.
    """

    upper: float
    pairs: Float[Tensor, " pairs"] | None
    product: float
    refined: int


DEFAULT = SemidefiniteConfig()
LARGEST_IMAGE = 1024
"""Units of an output image up to which it is flattened, so that its directions can be refined."""


def chain_bound(
    layers: Sequence[Layer],
    differences: Float[Tensor, "pairs out"] | None = None,
    *,
    config: SemidefiniteConfig = DEFAULT,
    progress: ProgressCallback | None = None,
) -> ChainBound:
    """Bound the Lipschitz constant of a chain, and of directions of its output.

    The bound is LipSDP's with one multiplier a neuron (Fazlyab et al. 2019), or one a channel where
    there are convolutions; found by L-BFGS, not by a semidefinite solver, and then proved in
    float64 with all rounding outwards. It is never more than the product of the layers' norms.

    Args:
        layers: First to last, at least one.
        differences: Rows d: the scalar map d · chain(x) is bounded for each, for example
            e_c − e_j for the logits' differences.
        config: How much work the multipliers are worth.
        progress: Called while multipliers are improved.

    Raises:
        InputError: A layer is invalid or does not fit, or the differences do not fit the output.

    >>> identity, relu = torch.eye(2, dtype=torch.float64), Slope(0.0, 1.0)
    >>> shear = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    >>> bound = chain_bound([Dense(shear), relu, Dense(shear.inverse())])
    >>> f"{bound.upper:.3f} {bound.product:.3f}"
    '1.416 2.618'

    The truth is √2, where only the first unit is active.
    """
    layers = _closed(list(layers))
    out = shapes(layers)[-1]
    directions = None if differences is None else _directions(differences, out).to(_device(layers))
    norms = [_norm(layer) for layer in layers]
    product = _product(norms)
    simple = None if directions is None else _simple_pairs(layers, norms, directions)
    if product == 0.0:
        return ChainBound(0.0, None if simple is None else torch.zeros_like(simple), 0.0, 0)
    search = Search(layers, config, progress)
    upper, multipliers = search.whole()
    upper = min(upper, product)
    if directions is None or simple is None:
        return ChainBound(upper, None, product, 0)
    lengths = torch.linalg.vector_norm(directions, dim=1)
    simple = torch.minimum(simple, lengths * outward(upper))
    if multipliers is None or not _ends_in_matrix(layers):
        return ChainBound(upper, simple, product, 0)
    pairs, refined = search.pairs(directions, multipliers)
    return ChainBound(upper, torch.minimum(pairs, simple), product, refined)


def chain_product(layers: Sequence[Layer]) -> float:
    """The product of the layers' norms: what `chain_bound` improves on."""
    shapes(layers)
    return _product([_norm(layer) for layer in layers])


def _closed(layers: list[Layer]) -> list[Layer]:
    """The chain with an identity matrix after an image, so that its output is one axis."""
    out = shapes(layers)[-1]
    if out is None or _ends_in_matrix(layers) or math.prod(out) > LARGEST_IMAGE:
        return layers
    identity = torch.eye(math.prod(out), dtype=torch.float64, device=_device(layers))
    return [*layers, Flatten(), Dense(identity)]


def _ends_in_matrix(layers: Sequence[Layer]) -> bool:
    last = next((layer for layer in reversed(layers) if not isinstance(layer, Slope)), None)
    return isinstance(last, Dense)


def _directions(differences: Tensor, out: tuple[int, ...] | None) -> Float[Tensor, "pairs out"]:
    if out is None or differences.ndim != 2 or differences.shape[1] != math.prod(out):
        size = "unknown" if out is None else math.prod(out)
        raise InputError(
            f"differences of shape {tuple(differences.shape)} do not fit an output of size {size}; "
            "give (pairs, outputs)"
        )
    return differences.detach().double()


def _norm(layer: Layer) -> float:
    """The layer's norm, from above."""
    if isinstance(layer, Dense):
        return matrix_norm(layer.weight)
    if isinstance(layer, Convolution):
        return norm_of_convolution(layer)
    if isinstance(layer, Slope):
        return max(abs(layer.low), abs(layer.high))
    return layer.factor if isinstance(layer, Pool) else 1.0


def _product(norms: Sequence[float]) -> float:
    return outward(math.prod(norms))


def _simple_pairs(
    layers: Sequence[Layer], norms: Sequence[float], directions: Float[Tensor, "pairs out"]
) -> Float[Tensor, " pairs"]:
    """Each direction's product: the last matrix's own row, and the others' norms."""
    last = layers[-1]
    rows, rest = directions, norms
    rounding = torch.zeros_like(directions[:, 0])
    if isinstance(last, Dense):
        weight, rest = last.weight.detach().double(), norms[:-1]
        rows = directions @ weight
        size = torch.linalg.vector_norm(directions.abs() @ weight.abs(), dim=1)
        rounding = len(weight) * torch.finfo(torch.float64).eps * size
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1) + rounding
    return lengths * outward(_product(rest))


def _device(layers: Sequence[Layer]) -> torch.device:
    weights = (layer.weight for layer in layers if isinstance(layer, Dense | Convolution))
    return next((weight.device for weight in weights), torch.device("cpu"))
