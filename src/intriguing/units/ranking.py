"""The k greatest values of every direction, kept while images stream by, ties to the first id."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.errors import InputError

_LAST = np.iinfo(np.int64).max
_CROWD = 4
"""Of more newcomers a direction than so many times k only the best k are sorted in."""

Locate = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Ranking:
    """For each direction its k most exciting images, the strongest first.

    `indices` count images in the order in which they came, `values` are activations, `positions`
    where in the layer's grid each was reached (flat, row by row; −1 for layers without positions).
    Where fewer than k images came, the rest has index −1 and value −∞. `ids` names the images.
    """

    indices: Int64[Tensor, "direction k"]
    values: Float[Tensor, "direction k"]
    positions: Int64[Tensor, "direction k"]
    ids: tuple[tuple[str, ...], ...] | None = None


def merge_rankings(a: Ranking, b: Ranking) -> Ranking:
    """The k greatest of both, as if all images had come in one stream; ties by id, or by index."""
    if a.indices.shape != b.indices.shape or (a.ids is None) != (b.ids is None):
        raise InputError(
            f"rankings of shape {tuple(a.indices.shape)} and {tuple(b.indices.shape)} do not merge;"
            " merge results of one call's arguments, all with ids or all without"
        )
    k = a.indices.shape[1]
    indices, values, positions = (
        torch.cat(pair, 1)
        for pair in zip(
            (a.indices, a.values, a.positions), (b.indices, b.values, b.positions), strict=True
        )
    )
    keys = indices.numpy()
    names: np.ndarray | None = None
    if a.ids is not None and b.ids is not None:
        names = np.array([[*x, *y] for x, y in zip(a.ids, b.ids, strict=True)], dtype=object)
        keys = np.unique(names, return_inverse=True)[1].reshape(names.shape)
    keys = np.where(indices.numpy() < 0, _LAST, keys)
    order = np.lexsort((keys, -values.numpy()), axis=1)[:, :k]
    best = torch.from_numpy(order)
    ids = None
    if names is not None:
        ids = tuple(map(tuple, np.take_along_axis(names, order, 1).tolist()))
    return Ranking(indices.gather(1, best), values.gather(1, best), positions.gather(1, best), ids)


def join_rankings(parts: Sequence[Ranking]) -> Ranking:
    """One ranking of all the directions of several without ids, in their order."""
    return Ranking(
        torch.cat([part.indices for part in parts]),
        torch.cat([part.values for part in parts]),
        torch.cat([part.positions for part in parts]),
    )


class RunningBest:
    """The state of one stream: directions × k, whatever the number of images."""

    def __init__(self, directions: int, k: int, like: Tensor) -> None:
        dtype = np.float32 if like.dtype == torch.float32 else np.float64
        self.values = np.full((directions, k), -np.inf, dtype)
        self.keys = np.full((directions, k), _LAST)
        self.indices = np.full((directions, k), -1)
        self.positions = np.full((directions, k), -1)
        self._like = like
        self._latest = -1
        self._share()

    def add(
        self,
        scores: Float[Tensor, "direction batch"],
        keys: Int64[Tensor, " batch"],
        indices: Int64[Tensor, " batch"],
        locate: Locate | None = None,
    ) -> None:
        """Let images in: their `scores` (−∞: not ranked), `keys` that decide ties, and `indices`.

        `locate(directions, images)` says where in the grid some of the scores were reached.
        """
        enters = scores > self._threshold[:, None]
        if int(keys.min()) < self._latest:  # else everything here comes after all that was kept
            at_threshold = scores == self._threshold[:, None]
            enters |= at_threshold & (keys.to(scores.device) < self._threshold_key[:, None])
        self._latest = max(self._latest, int(keys.max()))
        k = self.values.shape[1]
        count = int(enters.count_nonzero())
        if count > _CROWD * k * len(scores) and scores.shape[1] > k:
            enters &= scores >= scores.topk(k, dim=1).values[:, -1:]
        elif not count:
            return
        rows, columns = enters.nonzero(as_tuple=True)
        positions = locate(rows, columns).cpu() if locate else torch.full((len(rows),), -1)
        values = scores[rows, columns].to("cpu", torch.from_numpy(self.values).dtype)
        who = columns.cpu()
        self._merge(
            rows.cpu().numpy(),
            values.numpy(),
            keys.cpu()[who].numpy(),
            indices.cpu()[who].numpy(),
            positions.numpy(),
        )

    def frozen(self) -> Ranking:
        """The ranking so far."""
        return Ranking(
            torch.from_numpy(self.indices.copy()),
            torch.from_numpy(self.values.copy()),
            torch.from_numpy(self.positions.copy()),
        )

    def _merge(self, rows: np.ndarray, *entrants: np.ndarray) -> None:
        k = self.values.shape[1]
        touched = np.unique(rows)
        kept = (self.values, self.keys, self.indices, self.positions)
        rows = np.concatenate((np.repeat(touched, k), rows))
        values, keys, indices, positions = (
            np.concatenate((old[touched].ravel(), new))
            for old, new in zip(kept, entrants, strict=True)
        )
        order = np.lexsort((keys, -values, rows))
        starts = np.searchsorted(rows[order], touched)
        best = order[starts[:, None] + np.arange(k)]
        for old, new in zip(kept, (values, keys, indices, positions), strict=True):
            old[touched] = new[best]
        self._share(touched)

    def _share(self, touched: np.ndarray | None = None) -> None:
        """Show the last places to the device that compares with them."""
        self._threshold = torch.from_numpy(self.values[:, -1].copy()).to(self._like)
        self._threshold_key = torch.from_numpy(self.keys[:, -1].copy()).to(self._like.device)
