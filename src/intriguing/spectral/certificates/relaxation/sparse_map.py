"""C, an affine map from the input or a curve to the next, and how large CᵀDC is for D ≥ 0 diagonal.

Its largest eigenvalue is proved by a Cholesky factor of λI − CᵀDC, whose entries lie near its
diagonal in an order that neighbours share (Cuthill & McKee 1969): convolutions reach only so far.
"""

from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky_banded
from scipy.sparse import coo_matrix, csr_matrix, diags
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import ArpackError, eigsh
from torch import Tensor

from intriguing.spectral.norms.eigenvalue import UNIT, largest_eigenvalue

_ABOVE = 1e-3
"""How far above what Lanczos steps find the proof is tried first, relatively; then twice as far."""
_DENSE = 1024
"""Pixels up to which all of the matrix is factored, which is faster than its band."""
_SERVES = 1.005
"""What was proved of one D, times the largest ratio of entries, serves another up to so much more
than the least that its eigenvalue can be."""


@dataclass(frozen=True)
class Peak:
    """The diagonal of D, what no eigenvalue of CᵀDC exceeds, and of which C."""

    weight: Float[Tensor, "rows units"]
    top: Float[Tensor, "rows 1"]
    of: "SparseMap"


@dataclass(frozen=True)
class SparseMap:
    """C, as a sparse matrix in several precisions.

    Attributes:
        place, before: The node that it gives, and what it is of.
        norm: ‖C‖ from above.
        terms: Of all sums in C itself.
    """

    place: int
    before: int
    matrix: csr_matrix
    absolute: csr_matrix
    norm: float
    terms: int
    kept: dict[object, tuple[csr_matrix, csr_matrix]] = field(default_factory=dict)
    orders: list[NDArray[np.int64]] = field(default_factory=list)
    grams: dict[object, Tensor] = field(default_factory=dict)

    def scaled(self, units: Float[Tensor, " pixels"]) -> "SparseMap":
        """C of numbers in these units."""
        columns = diags(units.cpu().numpy())
        matrix, absolute = (m @ columns for m in (self.matrix, self.absolute))
        return replace(self, matrix=matrix.tocsr(), absolute=absolute.tocsr(), kept={}, grams={})

    @property
    def noise(self) -> Float[Tensor, "1 pixels"]:
        """A direction that is the same for all."""
        draw = torch.Generator().manual_seed(0)
        return torch.randn(1, self.matrix.shape[1], generator=draw, dtype=torch.float64)

    def moved(self, d: Float[Tensor, "rows pixels"]) -> Float[Tensor, "rows units"]:
        """Cd, without derivatives."""
        there, _ = self._cast(self.matrix, d.dtype)
        return torch.from_numpy((there @ d.detach().cpu().numpy().T).T).to(d)

    def squared(
        self, d: Float[Tensor, "rows pixels"], weight: Float[Tensor, "rows units_or_1"]
    ) -> tuple[Tensor, Tensor]:
        """Cd and CᵀDCd, without derivatives."""
        return self._both(self.matrix, d, weight)

    def sizes(
        self, d: Float[Tensor, "rows pixels"], weight: Float[Tensor, "rows units_or_1"]
    ) -> tuple[Tensor, Tensor]:
        """The same of absolute values."""
        return self._both(self.absolute, d.abs(), weight)

    def steepest(
        self, weight: Float[Tensor, "rows units"], start: Float[Tensor, "rows _"] | None, steps: int
    ) -> tuple[Float[Tensor, "rows _"], Float[Tensor, "rows units"]]:
        """So many steps of the power method for CᵀDC; where they end, and C of that direction.

        Of few units the steps are taken among those, by CCᵀ: they end at v, and the direction is
        Cᵀ√Dv. Without derivatives.
        """
        weight = weight.detach()
        tiny = torch.finfo(weight.dtype).tiny
        short = self._short
        at = self.noise[:, : self.matrix.shape[0 if short else 1]] if start is None else start
        at, root = at.to(weight).expand(len(weight), -1), weight.sqrt()
        for _ in range(steps):
            on = root * ((root * at) @ self._gram(weight)) if short else self.squared(at, weight)[1]
            at = on / torch.linalg.vector_norm(on, dim=1, keepdim=True).clamp_min(tiny)
        if not short:
            return at, self.moved(at)
        moved = (root * at) @ self._gram(weight)
        length = (root * at * moved).sum(1, keepdim=True).clamp_min(tiny).sqrt()
        return at, moved / length

    @property
    def _short(self) -> bool:
        rows, columns = self.matrix.shape
        return bool(rows <= min(columns, _DENSE))

    def _gram(self, like: Tensor) -> Tensor:
        """CCᵀ, nearly."""
        name = (like.dtype, like.device)
        if name not in self.grams:
            gram = (self.matrix @ self.matrix.T).toarray()
            self.grams[name] = torch.from_numpy(gram).to(like)
        return self.grams[name]

    def top(
        self, weight: Float[Tensor, "rows units"], known: Peak | None = None
    ) -> Float[Tensor, "rows 1"]:
        """What no eigenvalue of CᵀDC exceeds, row by row.

        Args:
            known: Of D that may be nearly multiples of these; of another C it says nothing.
        """
        found = []
        for row, own in enumerate(weight.double().cpu()):
            scale = np.sqrt(own.numpy())
            matrix = diags(scale) @ self.matrix
            short = self._short  # √DCCᵀ√D has the same largest eigenvalue
            gram = (matrix @ matrix.T if short else matrix.T @ matrix).tocsr()
            least = _found(gram, self.noise[0, : gram.shape[0]].numpy())
            before = None
            if known is not None and known.of is self:
                held = known.weight[row].double().cpu()
                most = float((own / held).nan_to_num(nan=torch.inf).max())
                before = most * float(known.top[row]) * (1 + 8 * UNIT)
            if before is None or not before <= _SERVES * least:
                # What rounding makes of that matrix, and of C itself, by the sums of its rows.
                size = self._row_sums(own.numpy(), short)
                count = 2 * self.terms + sum(self.matrix.shape) + 16
                before = self._proved(gram, least) + 16 * count * UNIT * size
            found.append(before)
        return torch.tensor(found, dtype=torch.float64).to(weight)[:, None]

    def _row_sums(self, weight: NDArray[np.float64], short: bool) -> float:
        """The largest sum of a row of |C|ᵀD|C|, or of √D|C||C|ᵀ√D."""
        if short:
            scale = np.sqrt(weight)
            size = scale * (self.absolute @ (self.absolute.T @ scale))
        else:
            size = self.absolute.T @ (weight * (self.absolute @ np.ones(self.matrix.shape[1])))
        return float(size.max())

    def _proved(self, gram: csr_matrix, least: float) -> float:
        """What a Cholesky factor proves no eigenvalue to exceed (`largest_eigenvalue`)."""
        if gram.shape[0] <= _DENSE:
            dense = torch.from_numpy(gram.toarray())[None]
            return largest_eigenvalue(dense, at_least=least * (1 + _ABOVE), tolerance=_ABOVE)
        if not self.orders:
            order = reverse_cuthill_mckee(gram, symmetric_mode=True)
            self.orders.append(np.argsort(order))
        place, entries = self.orders[0], coo_matrix(gram)
        rows, columns = place[entries.row], place[entries.col]
        lower = rows >= columns
        count, width = gram.shape[0], int((rows - columns).max(initial=0)) + 1
        bands = np.zeros((width, count))
        bands[(rows - columns)[lower], columns[lower]] = -entries.data[lower]
        bound, above = max(least, 1e-300), _ABOVE
        while True:
            bound *= 1 + above
            shifted = bands.copy()
            shifted[0] += bound
            try:
                cholesky_banded(shifted, overwrite_ab=True, lower=True, check_finite=True)
            except (LinAlgError, ValueError):
                above *= 2
                if not bound < 1e300:
                    return float("inf")
                continue
            return float(bound * (1 + 8 * (count + 2) * count * UNIT))

    def _both(self, matrix: csr_matrix, d: Tensor, weight: Tensor) -> tuple[Tensor, Tensor]:
        there, back = self._cast(matrix, d.dtype)
        moved = there @ d.detach().cpu().numpy().T
        weighted = weight.detach().cpu().numpy().T * moved
        return torch.from_numpy(moved.T).to(d), torch.from_numpy((back @ weighted).T).to(d)

    def _cast(self, matrix: csr_matrix, dtype: torch.dtype) -> tuple[csr_matrix, csr_matrix]:
        name = ("C" if matrix is self.matrix else "|C|", dtype)
        if name not in self.kept:
            cast = matrix.astype(np.float32 if dtype == torch.float32 else np.float64)
            self.kept[name] = cast, cast.T.tocsr()
        return self.kept[name]


def _found(gram: csr_matrix, start: NDArray[np.float64]) -> float:
    """The largest eigenvalue, nearly."""
    try:
        return float(eigsh(gram, 1, v0=start, tol=1e-3, return_eigenvectors=False)[0])
    except (ArpackError, TypeError, ValueError):
        return float(abs(gram).sum(1).max())
