"""The largest eigenvalue of many Hermitian matrices, proved from above by Cholesky factors.

A factor of λI − G exists only if λ bounds every eigenvalue of G. It costs n³/3, a sixth of squaring
G once, so that a matrix which cannot hold the maximum is done with at the first factor; eigenvalues
are computed of those few that can still win.
"""

import torch
from jaxtyping import Bool, Float, Shaped
from torch import Tensor

UNIT = torch.finfo(torch.float64).eps / 2
"""Unit roundoff of float64."""
CANDIDATES = 16
"""Matrices at most of which eigenvalues are computed at a time …"""
WORK = 5e7
"""… and the operations, in n³, that this may cost when they are more than one."""
SAMPLE = 512
"""Matrices at most among which the most promising are looked for at a time."""
ALL_EIGENVALUES = 384
"""Up to this size all eigenvalues are computed; beyond, Lanczos steps estimate the largest …"""
CONVERGED = 1e-8
"""… until 16 of them add less than this share."""


def largest_eigenvalue(
    matrices: Shaped[Tensor, "batch n n"], *, at_least: float = 0.0, tolerance: float = 1e-4
) -> float:
    """A number that all eigenvalues of positive semidefinite matrices are proved not to exceed.

    λ starts at what is known and is raised, a `tolerance` above the eigenvalue of the most
    promising matrices, until λI − G has a Cholesky factor in floating point for every G. G's
    largest eigenvalue is then at most λ + 8(n + 2)·u·tr(λI − G) (Rump 2006, Verification of
    positive definiteness, Theorem 2.3; the constant covers complex arithmetic), and the trace is at
    most n·λ.

    Args:
        matrices: Hermitian, positive semidefinite, float64 or complex128.
        at_least: What is known already; never less is returned.
        tolerance: Relative distance to the maximum, in λ, that is good enough.

    Returns:
        λ·(1 + 8(n + 2)·n·u): an upper bound, and within the tolerance of the larger of the maximum
        and `at_least` unless Lanczos steps fall short, in which case λ is raised in small steps.

    >>> round(largest_eigenvalue(torch.diag(torch.tensor([1.0, 4.0]).double())[None]), 3)
    4.0
    """
    size = matrices.shape[-1]
    allowance = 1.0 + 8.0 * (size + 2) * size * UNIT
    bound, step = at_least / allowance, tolerance
    undecided = _undecided(matrices, bound)
    while len(undecided):
        found = top_eigenvalue(promising(undecided)) * (1.0 + tolerance)
        if found <= bound:
            found, step = bound * (1.0 + step), 2.0 * step
        if found <= 0.0:
            break
        bound = found
        undecided = _undecided(undecided, bound)
    return bound * allowance


def exact_eigenvalue(matrices: Shaped[Tensor, "batch n n"], *, at_least: float = 0.0) -> float:
    """The largest eigenvalue of all matrices, or `at_least`, to float64's accuracy.

    Cholesky factors exclude the matrices that stay below the most promising ones.
    """
    undecided = _undecided(matrices, at_least)
    if len(undecided) > CANDIDATES:
        at_least = max(at_least, float(torch.linalg.eigvalsh(promising(undecided)).max()))
        undecided = _undecided(undecided, at_least)
    if len(undecided):
        at_least = max(at_least, float(torch.linalg.eigvalsh(undecided).max()))
    return at_least


def promising(matrices: Shaped[Tensor, "batch n n"]) -> Shaped[Tensor, "some n n"]:
    """The matrices of a sample whose Rayleigh quotients are highest after some power steps."""
    count = max(1, min(CANDIDATES, int(WORK / matrices.shape[-1] ** 3)))
    matrices = matrices[:: -(-len(matrices) // SAMPLE)]
    if len(matrices) <= count:
        return matrices
    vector = _start(matrices)
    for _ in range(5):
        image = matrices @ vector
        quotient = (vector.mH @ image).real[:, 0, 0]
        length = torch.linalg.vector_norm(image, dim=(1, 2), keepdim=True)
        vector = image / length.clamp_min(torch.finfo(torch.float64).tiny)
    return matrices[quotient.topk(count).indices]


def top_eigenvalue(matrices: Shaped[Tensor, "batch n n"], steps: int = 160) -> float:
    """The largest eigenvalue of some matrices; of large ones, their largest Ritz value."""
    size = matrices.shape[-1]
    if size <= ALL_EIGENVALUES:
        return float(torch.linalg.eigvalsh(matrices).max())
    vector = _start(matrices)
    basis = vector.new_zeros(len(matrices), size, min(steps, size))
    largest = 0.0
    projected = basis.real.new_zeros(len(matrices), basis.shape[2], basis.shape[2])
    for index in range(basis.shape[2]):
        basis[:, :, index : index + 1] = vector
        image = matrices @ vector
        projected[:, index, index] = (vector.mH @ image).real[:, 0, 0]
        span = basis[:, :, : index + 1]
        for _ in range(2):
            image = image - span @ (span.mH @ image)
        length = torch.linalg.vector_norm(image, dim=(1, 2))
        # Where the space is exhausted what is left is rounding, and no direction.
        length = torch.where(length > 1e-10 * projected[:, 0, 0], length, 0.0)
        if index + 1 == basis.shape[2] or not bool(length.any()):
            break
        projected[:, index, index + 1] = projected[:, index + 1, index] = length
        inverse = torch.where(length > 0.0, 1.0 / length, 0.0)
        vector = image * inverse[:, None, None]
        if index % 16 == 15:
            largest, before = float(torch.linalg.eigvalsh(projected).max()), largest
            if largest <= before * (1.0 + CONVERGED):
                break
    return float(torch.linalg.eigvalsh(projected).max())


def _undecided(matrices: Shaped[Tensor, "batch n n"], bound: float) -> Shaped[Tensor, "some n n"]:
    """The matrices that `bound` times the identity, less them, has no Cholesky factor for."""
    return matrices[~_bounded(matrices, bound)] if bound > 0.0 else matrices


def _bounded(matrices: Shaped[Tensor, "batch n n"], bound: float) -> Bool[Tensor, " batch"]:
    """Whether `bound` times the identity less each matrix has a Cholesky factor."""
    shifted = -matrices
    shifted.diagonal(dim1=-2, dim2=-1).add_(bound)
    factors, failed = torch.linalg.cholesky_ex(shifted)
    finite = factors.diagonal(dim1=-2, dim2=-1).real.isfinite().all(-1)
    return torch.logical_and(finite, failed == 0)


def _start(matrices: Shaped[Tensor, "batch n n"]) -> Float[Tensor, "batch n 1"]:
    """One random unit vector for all, the same in every run."""
    draw = torch.Generator().manual_seed(0)
    vector = torch.randn(matrices.shape[-1], 1, generator=draw, dtype=torch.float64)
    unit: Tensor = vector / vector.norm()
    return unit.to(matrices).expand(len(matrices), -1, -1)
