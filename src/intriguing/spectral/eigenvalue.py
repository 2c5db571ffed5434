"""The largest eigenvalue of many Hermitian matrices, proved from above by a Cholesky factor.

A factor of λI − G exists only if λ bounds every eigenvalue of G. It costs n³/3, a seventh of one
squaring, so that a lower estimate and one factor a matrix replace a singular value decomposition
each: matrices that cannot hold the maximum are done with their first factor.
"""

import torch
from jaxtyping import Float, Shaped
from torch import Tensor

UNIT = torch.finfo(torch.float64).eps / 2
"""Unit roundoff of float64."""
DIRECT = 24
"""Up to this size all eigenvalues cost no more than estimating the largest."""
EXACT_WORK = 3e9
"""Operations, in n³, worth spending on the exact eigenvalues of what a factor left undecided."""


def largest_eigenvalue(
    matrices: Shaped[Tensor, "batch n n"],
    *,
    at_least: float = 0.0,
    tolerance: float = 1e-4,
    steps: int = 24,
) -> float:
    """A number that all eigenvalues of positive semidefinite matrices are proved not to exceed.

    λ starts `tolerance` above a lower estimate of the maximum. Where λI − G has a Cholesky factor
    in floating point, G's largest eigenvalue is at most λ + 8(n + 2)·u·tr(λI − G) (Rump 2006,
    Verification of positive definiteness, Theorem 2.3; complex arithmetic triples its constant),
    and the trace is at most n·λ. Where it has none, the exact eigenvalue raises λ.

    Args:
        matrices: Hermitian, positive semidefinite, float64 or complex128.
        at_least: What is known already; never less is returned.
        tolerance: Relative distance to the maximum, in λ, that is good enough.
        steps: Lanczos steps of the lower estimate.

    Returns:
        λ times 1 + 8(n + 2)·n·u: an upper bound, within the tolerance of the maximum where the
        estimate is, and in any case within the steps by which λ was raised.

    >>> largest_eigenvalue(torch.diag(torch.tensor([1.0, 4.0], dtype=torch.float64))[None])
    4.0004000...
    """
    size = matrices.shape[-1]
    allowance = 1.0 + 8.0 * (size + 2) * size * UNIT
    lower = float(lower_estimates(matrices, steps).max())
    bound = max(at_least / allowance, lower * (1.0 + tolerance))
    undecided, step = matrices, tolerance
    while bound > 0.0:
        undecided = undecided[~_bounded(undecided, bound)]
        if not len(undecided):
            break
        if step == tolerance and len(undecided) * size**3 <= EXACT_WORK:
            exact = float(torch.linalg.eigvalsh(undecided)[:, -1].max())
            bound = max(bound, exact * (1.0 + tolerance))
        bound *= 1.0 + step
        step *= 2.0
    return bound * allowance


def exact_eigenvalue(matrices: Shaped[Tensor, "batch n n"], *, at_least: float = 0.0) -> float:
    """The largest eigenvalue of all matrices, or `at_least`, to float64's accuracy.

    The matrix whose lower estimate is highest is solved, a Cholesky factor excludes those that stay
    under its eigenvalue, and the rest are solved as well.
    """
    best = at_least
    if matrices.shape[-1] > DIRECT and len(matrices) > 1:
        first = int(lower_estimates(matrices, 12).argmax())
        best = max(best, float(torch.linalg.eigvalsh(matrices[first])[-1]))
        if best > 0.0:
            matrices = matrices[~_bounded(matrices, best)]
    if len(matrices):
        best = max(best, float(torch.linalg.eigvalsh(matrices)[:, -1].max()))
    return best


def lower_estimates(matrices: Shaped[Tensor, "batch n n"], steps: int) -> Float[Tensor, " batch"]:
    """Each matrix's largest Ritz value of a Krylov space: at most its largest eigenvalue."""
    size = matrices.shape[-1]
    if size <= DIRECT:
        exact: Tensor = torch.linalg.eigvalsh(matrices)[:, -1]
        return exact
    draw = torch.Generator().manual_seed(0)
    start = torch.randn(size, 1, generator=draw, dtype=torch.float64)
    vector = (start / start.norm()).to(matrices).expand(len(matrices), -1, -1)
    basis, diagonal, beside = [vector], [], []
    for _ in range(min(steps, size)):
        image = matrices @ basis[-1]
        diagonal.append((basis[-1].mH @ image).real[:, 0, 0])
        span = torch.cat(basis, 2)
        for _ in range(2):
            image = image - span @ (span.mH @ image)
        length = torch.linalg.vector_norm(image, dim=(1, 2), keepdim=True)
        beside.append(length[:, 0, 0].real)
        basis.append(image / length.clamp_min(torch.finfo(torch.float64).tiny))
    off = torch.stack(beside[:-1], 1) if len(beside) > 1 else matrices.real.new_zeros(1, 0)
    tridiagonal = torch.diag_embed(torch.stack(diagonal, 1))
    tridiagonal = tridiagonal + torch.diag_embed(off, 1) + torch.diag_embed(off, -1)
    largest: Tensor = torch.linalg.eigvalsh(tridiagonal)[:, -1]
    return largest


def _bounded(matrices: Shaped[Tensor, "batch n n"], bound: float) -> Shaped[Tensor, " batch"]:
    """Whether `bound` times the identity less each matrix has a Cholesky factor."""
    shifted = -matrices
    shifted.diagonal(dim1=-2, dim2=-1).add_(bound)
    factors, failed = torch.linalg.cholesky_ex(shifted)
    finite: Tensor = factors.diagonal(dim1=-2, dim2=-1).real.isfinite().all(-1)
    return finite & (failed == 0)
