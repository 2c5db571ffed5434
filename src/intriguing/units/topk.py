"""The images that excite a direction most: x′ = argmax over I of ⟨φ(x), v⟩ (§3), in one stream."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast, overload

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.units.activations import Images, pieces
from intriguing.units.directions import Basis, check_units, gaussian, haar, natural
from intriguing.units.excitation import LayerStream
from intriguing.units.histogram import Histogram
from intriguing.units.ranking import Ranking, merge_rankings

Sign: TypeAlias = Literal["positive", "negative", "both"]
Directions: TypeAlias = str | Basis | Tensor
"""A basis, a matrix with a direction a column, or "natural", "random" (Haar) or "gaussian"."""
Several: TypeAlias = Directions | Sequence[Directions]


@dataclass(frozen=True)
class TopImages:
    """What excites each direction of one basis of one layer.

    The activation of a direction is ⟨φ(x), v⟩, in a layer with positions its maximum over them.

    Attributes:
        layer, basis: Their names; `directions` is the basis's matrix.
        sign: Which end was asked for: "negative" ranks by the activation of −v; of "both",
            `ranking` is of v and `opposite` of −v.
        grid: The layer's positions, (rows, columns); empty where it has none.
        images: How many images came; `invalid` of them gave NaN or infinity and were not ranked.
        histogram: Of the activations that `ranking` ranks by, with their range.
    """

    layer: str
    basis: str
    directions: Float[Tensor, "unit direction"]
    sign: Sign
    ranking: Ranking
    opposite: Ranking | None
    grid: tuple[int, ...]
    images: int
    invalid: int
    histogram: Histogram

    @property
    def indices(self) -> Int64[Tensor, "direction k"]:
        """The k most exciting images of each direction, the strongest first."""
        return self.ranking.indices

    @property
    def values(self) -> Float[Tensor, "direction k"]:
        """Their activations."""
        return self.ranking.values

    @property
    def positions(self) -> Int64[Tensor, "direction k"]:
        """Where in the grid they were reached, flat; −1 in a layer without positions."""
        return self.ranking.positions


@overload
def top_images(  # type: ignore[overload-overlap]
    model: nn.Module,
    layer: str,
    images: Images,
    directions: Directions = ...,
    *,
    k: int = ...,
    sign: Sign = ...,
    bins: int = ...,
    first_index: int = ...,
    batch_size: int | None = ...,
    seed: int = ...,
    progress: ProgressCallback | None = ...,
) -> TopImages: ...


@overload
def top_images(
    model: nn.Module,
    layer: str | Sequence[str],
    images: Images,
    directions: Several | Mapping[str, Several] = ...,
    *,
    k: int = ...,
    sign: Sign = ...,
    bins: int = ...,
    first_index: int = ...,
    batch_size: int | None = ...,
    seed: int = ...,
    progress: ProgressCallback | None = ...,
) -> dict[tuple[str, str], TopImages]: ...


def top_images(
    model: nn.Module,
    layer: str | Sequence[str],
    images: Images,
    directions: Several | Mapping[str, Several] = "natural",
    *,
    k: int = 9,
    sign: Sign = "both",
    bins: int = 64,
    first_index: int = 0,
    batch_size: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> TopImages | dict[tuple[str, str], TopImages]:
    """The k images that excite each direction of a layer most, x′ = argmax ⟨φ(x), v⟩ (§3).

    The images pass through the network once for all layers and bases, and what is kept is
    directions × k, so a million images can stream by. The result does not depend on the batch
    size, nor on the order of an `ImageSet`: ties go to the smaller id (of a stream without ids, to
    the earlier image).

    Args:
        model: A network in evaluation mode; the computation follows its device and dtype.
        layer: The name of a layer, or several; `list_layers` lists them.
        images: A tensor, an `ImageSet`, or pieces of images one after the other.
        directions: One basis or several; a mapping gives every layer its own.
        k: How many images a direction.
        sign: Whether the strongest activations of v, of −v ("negative"), or both.
        bins: Of the histograms of activations; 0 for none.
        first_index: The index of the first image, when these are a part of more.
        batch_size: How many images pass through the network at once.
        seed: Of the random bases.
        progress: Told after each batch.

    Returns:
        The result of one layer and one basis if each was given alone, else a dictionary by
        (layer, basis).

    Raises:
        InputError: If there is no such layer, a basis does not fit it, or there are no images.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(2, 2)).eval()
    >>> top_images(model, "0", torch.eye(2).view(2, 1, 1, 2), k=1).indices
    tensor([[0],
            [1]])
    """
    if k < 1 or bins < 0:
        raise InputError(f"k={k} and bins={bins}; give at least 1 image and no negative bins")
    if sign not in ("positive", "negative", "both"):
        raise InputError(f'sign={sign!r}; give "positive", "negative" or "both"')
    names = (layer,) if isinstance(layer, str) else tuple(layer)
    if not names or len(set(names)) < len(names):
        raise InputError(f"layers {names}; give at least one, and each once")
    keys = _keys(images)
    streams: dict[str, LayerStream] = {}
    bases: dict[str, list[Basis]] = {}
    seen = 0
    for piece in pieces(model, names, images, batch_size=batch_size, progress=progress):
        here = torch.arange(seen, seen + piece.count)
        for name, phi in piece.activations.items():
            if name not in streams:
                asked = directions[name] if isinstance(directions, Mapping) else directions
                bases[name] = resolve(asked, phi.shape[1], seed)
                matrices = [basis.matrix for basis in bases[name]]
                streams[name] = LayerStream(phi, matrices, k, sign, bins)
            order = here + first_index if keys is None else keys[here]
            streams[name].add(phi, piece.count, order, here + first_index)
        seen += piece.count
    ids = images.ids if isinstance(images, ImageSet) else None
    found = {
        (name, basis.name): TopImages(
            name,
            basis.name,
            basis.matrix,
            sign,
            _named(best, ids, first_index),
            other and _named(other, ids, first_index),
            streams[name].grid,
            seen,
            streams[name].invalid,
            histogram,
        )
        for name in names
        for basis, (best, other, histogram) in zip(
            bases[name], streams[name].results(), strict=True
        )
    }
    one = isinstance(layer, str) and isinstance(directions, str | Basis | Tensor)
    return found[next(iter(found))] if one else found


def merge_top_images(a: TopImages, b: TopImages) -> TopImages:
    """What one stream of the images of both would have given, exactly.

    Raises:
        InputError: If they are not of the same layer, directions, k and sign.
    """
    if (a.layer, a.basis, a.sign, a.grid) != (b.layer, b.basis, b.sign, b.grid) or not torch.equal(
        a.directions, b.directions
    ):
        raise InputError(
            f"results of {a.layer}/{a.basis} and {b.layer}/{b.basis} do not merge; merge parts of "
            "one layer, basis and sign"
        )
    return replace(
        a,
        ranking=merge_rankings(a.ranking, b.ranking),
        opposite=a.opposite and b.opposite and merge_rankings(a.opposite, b.opposite),
        images=a.images + b.images,
        invalid=a.invalid + b.invalid,
        histogram=a.histogram + b.histogram,
    )


def resolve(asked: Several, units: int, seed: int) -> list[Basis]:
    """The bases that were asked for, in the space of so many units."""
    several = (asked,) if isinstance(asked, str | Basis | Tensor) else tuple(asked)
    found = [_basis(one, units, seed) for one in several]
    names = [basis.name for basis in found]
    if not names or len(set(names)) < len(names):
        raise InputError(f"bases are named {names}; give at least one, and each its own name")
    return found


def _basis(asked: Directions, units: int, seed: int) -> Basis:
    if isinstance(asked, Tensor):
        matrix = asked[:, None] if asked.ndim == 1 else asked
        asked = Basis("directions", matrix.detach().cpu())
    if isinstance(asked, Basis):
        check_units(asked, units)
        return asked
    generator = torch.Generator().manual_seed(seed)
    if asked == "natural":
        return natural(units)
    if asked == "random":
        return haar(units, generator)
    if asked == "gaussian":
        return gaussian(units, units, generator)
    raise InputError(
        f'there is no basis {asked!r}; give "natural", "random", "gaussian", a Basis or a matrix'
    )


def _keys(images: Images) -> Int64[Tensor, " image"] | None:
    """What decides ties: the rank of an image's id in its set."""
    if not isinstance(images, ImageSet):
        return None
    ranks = np.unique(np.array(images.ids, dtype=str), return_inverse=True)[1]
    return torch.from_numpy(cast(np.ndarray, ranks).astype(np.int64))


def _named(ranking: Ranking, ids: tuple[str, ...] | None, first_index: int) -> Ranking:
    if ids is None:
        return ranking
    rows = (ranking.indices - first_index).tolist()
    return replace(ranking, ids=tuple(tuple(ids[i] if i >= 0 else "" for i in row) for row in rows))
