"""One layer's stream: activations in, each direction's excitation, the greatest of them kept."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.units.activations import ROWS
from intriguing.units.histogram import Histogram, RunningHistogram, join_histograms
from intriguing.units.ranking import Ranking, RunningBest, join_rankings

# Products are formed in blocks that stay in the processor's cache, of a multiple of ROWS columns,
# so that they round alike whichever other directions stand beside them.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class _Block:
    """Consecutive directions (None: the units themselves) and what is known of them so far."""

    directions: Float[Tensor, "direction unit"] | None
    count: int
    best: RunningBest
    other: RunningBest | None
    histogram: RunningHistogram


class LayerStream:
    """Ranks the images of one stream for all bases of one layer.

    Args:
        phi: Some of the layer's activations, for their shape, device and dtype.
        matrices: The bases, directions as columns.
        k: How many images are kept a direction.
        sign: "positive", "negative" or "both".
        bins: Of the histograms.
    """

    def __init__(
        self, phi: Tensor, matrices: Sequence[Tensor], k: int, sign: str, bins: int
    ) -> None:
        self.grid = tuple(phi.shape[2:])
        self.invalid = 0
        self._sign = sign
        width = max(ROWS, _BLOCK // max(1, phi[:, :1].numel()) // ROWS * ROWS)
        self._blocks: list[list[_Block]] = []
        for matrix in matrices:
            blocks = []
            for count, directions in _columns(matrix, phi, width):
                best = RunningBest(count, k, phi)
                other = RunningBest(count, k, phi) if sign == "both" else None
                blocks.append(_Block(directions, count, best, other, RunningHistogram(count, bins)))
            self._blocks.append(blocks)

    def add(
        self,
        phi: Float[Tensor, "padded unit ..."],
        count: int,
        keys: Int64[Tensor, " batch"],
        indices: Int64[Tensor, " batch"],
    ) -> None:
        """Let the first `count` images in."""
        flat = phi.flatten(2) if self.grid else phi.T.contiguous()
        broken = _broken(phi[:count])
        self.invalid += int(broken.count_nonzero()) if broken is not None else 0
        for block in (block for blocks in self._blocks for block in blocks):
            full = flat if block.directions is None else torch.matmul(block.directions, flat)
            full = full[:count, : block.count] if self.grid else full[: block.count, :count]
            highest = self._sign != "negative"
            scores = self._excitation(full, highest)
            block.histogram.add(scores if broken is None else scores[:, ~broken])
            self._rank(block.best, scores, full, highest, broken, keys, indices)
            if block.other is not None:
                scores = self._excitation(full, False)
                self._rank(block.other, scores, full, False, broken, keys, indices)

    def results(self) -> Iterator[tuple[Ranking, Ranking | None, Histogram]]:
        """For each basis its ranking, that of the other sign if asked for, and its histogram."""
        for blocks in self._blocks:
            others = [block.other.frozen() for block in blocks if block.other is not None]
            yield (
                join_rankings([block.best.frozen() for block in blocks]),
                join_rankings(others) if others else None,
                join_histograms([block.histogram.frozen() for block in blocks]),
            )

    def _excitation(self, full: Tensor, highest: bool) -> Float[Tensor, "direction batch"]:
        """⟨φ(x), v⟩, or ⟨φ(x), −v⟩; in a layer with positions, the maximum over them."""
        if not self.grid:
            return full if highest else full.neg()
        return full.amax(2).T if highest else full.amin(2).T.neg()

    def _rank(
        self,
        best: RunningBest,
        scores: Tensor,
        full: Tensor,
        highest: bool,
        broken: Tensor | None,
        keys: Tensor,
        indices: Tensor,
    ) -> None:
        if broken is not None:
            scores = scores.masked_fill(broken, -torch.inf)

        def locate(rows: Tensor, columns: Tensor) -> Tensor:
            reached = full[columns, rows]
            return reached.argmax(1) if highest else reached.argmin(1)

        best.add(scores, keys, indices, locate if self.grid else None)


def _columns(
    matrix: Tensor, phi: Tensor, width: int
) -> Iterator[tuple[int, Float[Tensor, "direction unit"] | None]]:
    """The directions as rows, in blocks filled up with zeros; None for the natural basis."""
    units, count = matrix.shape
    if units == count and torch.equal(matrix, torch.eye(units, dtype=matrix.dtype)):
        yield count, None
        return
    for start in range(0, count, width):
        some = matrix[:, start : start + width].T.to(phi)
        missing = some.new_zeros(-len(some) % ROWS, units)
        yield len(some), torch.cat((some, missing))


def _broken(phi: Tensor) -> Tensor | None:
    """Which images have NaN or infinity in their activations, if any."""
    if bool(phi.sum().isfinite()):
        return None
    broken = ~phi.flatten(1).isfinite().all(1)
    return broken if bool(broken.any()) else None
