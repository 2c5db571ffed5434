"""The ranking of a set's images in parts: what each part finds as tensors, and all parts joined."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.scale.shards import Columns
from intriguing.units.activations import ROWS, activations, pieces
from intriguing.units.directions import Basis
from intriguing.units.histogram import Histogram
from intriguing.units.ranking import Ranking
from intriguing.units.topk import TopImages, merge_top_images, top_images

STRONGEST = 6
"""Directions listed for an image."""
_PART, _PARTS = 250, 64
"""Images of a part, or more where there would be more than so many parts."""
_TOGETHER = 32
"""Images of a batch, whose scores in every direction are in memory."""
_PRODUCTS = 1 << 21
"""Numbers of a product that stay in a processor's cache."""


def part_size(images: int) -> int:
    """So many images are ranked together."""
    return max(_PART, -(-images // _PARTS))


@dataclass(frozen=True)
class Ranked:
    """Ranks images in the order of their ids, by which ties are decided.

    Attributes:
        model, images: Of which.
        layers: Their names.
        bases: Of each layer.
        k: Images a direction.
        order: The images by id.
    """

    model: nn.Module
    images: ImageSet
    layers: tuple[str, ...]
    bases: Mapping[str, Sequence[Basis]]
    k: int
    order: Tensor

    @classmethod
    def of(
        cls, model: nn.Module, images: ImageSet, layers: Sequence[str],
        bases: Mapping[str, Sequence[Basis]], k: int,
    ) -> "Ranked":  # fmt: skip
        """With the images in their order."""
        order = np.argsort(np.array(images.ids, dtype=str), kind="stable")
        return cls(model, images, tuple(layers), bases, k, torch.from_numpy(order))

    def part(self, items: slice, report: Callable[[int], None]) -> Columns:
        """What some of the images, by their places in the order, excite."""
        pixels, columns = self.images.images[self.order[items]], {}
        found = top_images(
            self.model, self.layers, pixels, self.bases, k=self.k, sign="both",
            first_index=items.start, batch_size=_TOGETHER,
            progress=lambda step: report(step.done),
        )  # fmt: skip
        for place, top in enumerate(found.values()):
            assert top.opposite is not None
            for name, ranking in (("ranking", top.ranking), ("opposite", top.opposite)):
                for kind in _RANKING:
                    columns[f"{place}/{name}/{kind}"] = getattr(ranking, kind)
            for kind in _HISTOGRAM:
                columns[f"{place}/histogram/{kind}"] = getattr(top.histogram, kind)
            columns[f"{place}/seen"] = torch.tensor([top.images, top.invalid, *top.grid])
        spaces: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        for phi in activations(self.model, self.layers, pixels):
            for name, one in phi.items():
                spaces[name].append(one.unsqueeze(2).flatten(2).mean(2).cpu())
        return columns | {f"own/{name}": torch.cat(some) for name, some in spaces.items()}

    def joined(
        self, parts: Iterable[Columns]
    ) -> tuple[dict[tuple[str, str], TopImages], dict[str, Tensor]]:
        """What all images excite; and the images in every layer's own space, over positions."""
        tops: dict[tuple[str, str], TopImages] = {}
        spaces: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        for columns in parts:
            for place, key in enumerate(self._keys):
                top = self._top(columns, place, *key)
                tops[key] = merge_top_images(tops[key], top) if key in tops else top
            for name, some in spaces.items():
                some.append(columns[f"own/{name}"])
        # A part may have fewer images than are shown; all of them together have not.
        back = {key: _replaced(top, self.order) for key, top in tops.items()}
        places = self.order.argsort()
        return back, {name: torch.cat(some)[places] for name, some in spaces.items()}

    @property
    def _keys(self) -> list[tuple[str, str]]:
        return [(name, basis.name) for name in self.layers for basis in self.bases[name]]

    def _top(self, columns: Columns, place: int, layer: str, basis: str) -> TopImages:
        matrix = next(one.matrix for one in self.bases[layer] if one.name == basis)

        def ranking(name: str) -> Ranking:
            indices, values, positions = (columns[f"{place}/{name}/{kind}"] for kind in _RANKING)
            return Ranking(indices, values, positions)

        histogram = Histogram(*(columns[f"{place}/histogram/{kind}"] for kind in _HISTOGRAM))
        count, invalid, *grid = columns[f"{place}/seen"].tolist()
        return TopImages(
            layer, basis, matrix, "both", ranking("ranking"), ranking("opposite"), tuple(grid),
            count, invalid, histogram,
        )  # fmt: skip


_RANKING = ("indices", "values", "positions")
_HISTOGRAM = ("width", "first", "counts", "lowest", "highest")


def _replaced(top: TopImages, order: Tensor) -> TopImages:
    """With indices of images in their set, not in the order of their ids."""

    def moved(ranking: Ranking) -> Ranking:
        return replace(ranking, indices=order[ranking.indices])

    assert top.opposite is not None
    return replace(top, ranking=moved(top.ranking), opposite=moved(top.opposite))


@dataclass(frozen=True)
class Strongest:
    """Of each image the directions that it excites most beside what other images do.

    In standard deviations above the mean, both by the histogram of all images.

    Attributes:
        model: Of which.
        pixels: Of the images.
        found: What all images excite.
    """

    model: nn.Module
    pixels: Tensor
    found: Mapping[tuple[str, str], TopImages]

    def part(self, items: slice, report: Callable[[int], None]) -> Columns:
        """Of some of the images: the directions, and how far they are above the mean."""
        best: dict[tuple[str, str], list[tuple[Tensor, Tensor]]] = {key: [] for key in self.found}
        names = tuple(dict.fromkeys(layer for layer, _ in self.found))
        scale = {key: _mean_and_deviation(top) for key, top in self.found.items()}
        done = 0
        for piece in pieces(self.model, names, self.pixels[items], batch_size=_TOGETHER):
            for (layer, basis), top in self.found.items():
                phi = piece.activations[layer][: piece.count].unsqueeze(2).flatten(2)
                mean, deviation = scale[layer, basis]
                z = (_excited(phi, top.directions) - mean) / deviation
                chosen = z.topk(min(STRONGEST, z.shape[1]), dim=1)
                best[layer, basis].append((chosen.indices, chosen.values))
            done += piece.count
            report(done)
        return {
            f"{place}/{name}": torch.cat([pair[which] for pair in some])
            for place, some in enumerate(best.values())
            for which, name in enumerate(("direction", "strength"))
        }


def _excited(phi: Tensor, directions: Tensor) -> Tensor:
    """⟨φ(x), v⟩ of each image and direction, the largest over positions; on the CPU."""
    width = max(ROWS, _PRODUCTS // max(1, phi[:, :1].numel()) // ROWS * ROWS)
    rows = directions.T.to(phi.device, phi.dtype)
    parts = [torch.matmul(some, phi).amax(2).cpu() for some in torch.split(rows, width)]
    return torch.cat(parts, 1).double()


def _mean_and_deviation(top: TopImages) -> tuple[Tensor, Tensor]:
    counts = top.histogram.counts.double()
    bins = torch.arange(counts.shape[1]) + 0.5
    middle = (top.histogram.first[:, None] + bins) * top.histogram.width[:, None]
    total = counts.sum(1).clamp_min(1)
    mean = (counts * middle).sum(1) / total
    variance = (counts * (middle - mean[:, None]).square()).sum(1) / total
    return mean, variance.sqrt().clamp_min(1e-12) + top.histogram.width * 1e-3
