"""C, an affine map from the input or a curve to the next, and how large CᵀDC is for D ≥ 0 diagonal.

Its largest eigenvalue is proved by a Cholesky factor of λI − CᵀDC, whose entries lie near its
diagonal in an order that neighbours share (Cuthill & McKee 1969): convolutions reach only so far.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from scipy.linalg import LinAlgError, cholesky_banded
from scipy.sparse import coo_matrix, csr_matrix, dia_matrix, diags
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import ArpackError, eigsh
from torch import Tensor

from intriguing.spectral.norms.eigenvalue import UNIT, largest_eigenvalue

_ABOVE = 1e-3
"""How far above what Lanczos steps find the proof is tried first, relatively; then twice as far."""
_DENSE = 1024
"""Pixels up to which all of the matrix is factored, which is faster than its band."""
_MIXED = 0.05
"""Of noise in the direction from where steps of the power method go on: D may have grown where it
has nothing."""
_FULL = 0.2
"""Share of entries that are not 0 from which C is held as a dense matrix as well."""
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
    kept: dict[object, tuple[Tensor, Tensor]] = field(default_factory=dict)
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
        return _times(self._cast(self.matrix, d)[0], d.detach())

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
        self, weight: Float[Tensor, "rows units"], start: Float[Tensor, "rows _"] | None,
        steps: int, columns: Float[Tensor, "rows pixels"] | None = None,
    ) -> tuple[Float[Tensor, "rows _"], Float[Tensor, "rows pixels"], Tensor]:  # fmt: skip
        """So many steps of the power method for UCᵀDCU, U = diag(columns) or I.

        Of few units the steps are taken among those, by √D·CU²Cᵀ·√D. Without derivatives.

        Returns:
            Where the steps ended, the direction that this is of what C takes, of length 1, and CU
            of it.
        """
        weight = weight.detach()
        tiny = torch.finfo(weight.dtype).tiny
        short = self._short
        noise = self.noise[:, : self.matrix.shape[0 if short else 1]].to(weight)
        at = noise / torch.linalg.vector_norm(noise)
        at = at.expand(len(weight), -1) if start is None else start.to(weight) + _MIXED * at
        root = weight.sqrt()
        times = 1.0 if columns is None else columns.to(weight)

        def squared(at: Tensor) -> Tensor:
            if not short:
                return times * self._back(weight * self._there(times * at))
            if columns is None and len(self.matrix.indptr) <= _DENSE:
                return root * ((root * at) @ self._gram(weight))
            return root * self._there(times * times * self._back(root * at))

        for _ in range(steps):
            on = squared(at)
            at = on / torch.linalg.vector_norm(on, dim=1, keepdim=True).clamp_min(tiny)
        along = times * self._back(root * at) if short else at
        along = along / torch.linalg.vector_norm(along, dim=1, keepdim=True).clamp_min(tiny)
        return at, along, self._there(times * along)

    def _there(self, d: Float[Tensor, "rows pixels"]) -> Float[Tensor, "rows units"]:
        """Cd, nearly."""
        return d @ self._dense(d).T if self._full else self.moved(d)

    def _back(self, y: Float[Tensor, "rows units"]) -> Float[Tensor, "rows pixels"]:
        """Cᵀy, nearly."""
        if self._full:
            return y @ self._dense(y)
        return _times(self._cast(self.matrix, y)[1], y)

    @property
    def _short(self) -> bool:
        """Whether CCᵀ is smaller than CᵀC."""
        rows, columns = self.matrix.shape
        return bool(rows <= columns)

    @property
    def _full(self) -> bool:
        """Whether most entries are not 0, which makes a dense matrix several times faster."""
        rows, columns = self.matrix.shape
        return bool(self.matrix.nnz > _FULL * rows * columns)

    def _gram(self, like: Tensor) -> Tensor:
        """CCᵀ, nearly."""
        return self._held("CCᵀ", like, lambda: (self.matrix @ self.matrix.T).toarray())

    def _dense(self, like: Tensor) -> Tensor:
        """C."""
        return self._held("C", like, self.matrix.toarray)

    def _held(self, name: str, like: Tensor, made: Callable[[], NDArray[np.float64]]) -> Tensor:
        key = name, like.dtype, like.device
        if key not in self.grams:
            self.grams[key] = torch.from_numpy(made()).to(like)
        return self.grams[key]

    def top(
        self, weight: Float[Tensor, "rows units"], known: Peak | None = None,
        columns: Float[Tensor, "rows pixels"] | None = None,
    ) -> Float[Tensor, "rows 1"]:  # fmt: skip
        """What no eigenvalue of UCᵀDCU exceeds, row by row; U = diag(columns), or I.

        Args:
            known: Of D that may be nearly multiples of these; of another C or U it says nothing.
        """
        found = []
        for row, own in enumerate(weight.double().cpu()):
            right = None if columns is None else diags(columns[row].double().cpu().numpy())
            matrix = diags(np.sqrt(own.numpy())) @ self.matrix
            matrix = matrix if right is None else matrix @ right
            short = self._short  # the transpose has the same largest eigenvalue
            gram = (matrix @ matrix.T if short else matrix.T @ matrix).tocsr()
            least = _found(gram, self.noise[0, : gram.shape[0]].numpy())
            before = None
            if known is not None and known.of is self and right is None:
                held = known.weight[row].double().cpu()
                most = float((own / held).nan_to_num(nan=torch.inf).max())
                before = most * float(known.top[row]) * (1 + 8 * UNIT)
            if before is None or not before <= _SERVES * least:
                # What rounding makes of that matrix, and of C itself, by the sums of its rows.
                size = self._row_sums(own.numpy(), short, right)
                count = 2 * self.terms + sum(self.matrix.shape) + 16
                before = self._proved(gram, least) + 16 * count * UNIT * size
            found.append(before)
        return torch.tensor(found, dtype=torch.float64).to(weight)[:, None]

    def _row_sums(
        self, weight: NDArray[np.float64], short: bool, right: dia_matrix | None
    ) -> float:
        """The largest sum of a row of U|C|ᵀD|C|U, or of √D|C|U²|C|ᵀ√D."""
        absolute = self.absolute if right is None else self.absolute @ right
        if short:
            scale = np.sqrt(weight)
            size = scale * (absolute @ (absolute.T @ scale))
        else:
            size = absolute.T @ (weight * (absolute @ np.ones(self.matrix.shape[1])))
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
        there, back = self._cast(matrix, d)
        moved = _times(there, d.detach())
        return moved, _times(back, weight.detach() * moved)

    def _cast(self, matrix: csr_matrix, like: Tensor) -> tuple[Tensor, Tensor]:
        """It and its transpose, as PyTorch multiplies them: three times as fast as scipy."""
        name = ("C" if matrix is self.matrix else "|C|", like.dtype)
        if name not in self.kept:
            both = _compressed(matrix), _compressed(matrix.T.tocsr())
            self.kept[name] = both[0].to(like.dtype), both[1].to(like.dtype)
        return self.kept[name]


def _times(matrix: Tensor, rows: Tensor) -> Tensor:
    """A product for each row, on the CPU: few accelerators have sparse ones in float64."""
    return (matrix @ rows.cpu().T).T.contiguous().to(rows)


def _compressed(matrix: csr_matrix) -> Tensor:
    matrix = matrix.copy()
    matrix.sum_duplicates()
    rows, columns, data = matrix.indptr, matrix.indices, matrix.data
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Sparse CSR tensor support is in beta")
        return torch.sparse_csr_tensor(
            torch.from_numpy(rows.astype(np.int32)), torch.from_numpy(columns.astype(np.int32)),
            torch.from_numpy(data.astype(np.float64)), size=matrix.shape, check_invariants=True,
        )  # fmt: skip


def _found(gram: csr_matrix, start: NDArray[np.float64]) -> float:
    """The largest eigenvalue, nearly."""
    try:
        return float(eigsh(gram, 1, v0=start, tol=1e-3, return_eigenvectors=False)[0])
    except (ArpackError, TypeError, ValueError):
        return float(abs(gram).sum(1).max())
