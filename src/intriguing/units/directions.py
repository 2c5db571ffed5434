"""Bases of a layer's space as matrices: a column is a direction v, and ⟨φ(x), v⟩ its activation."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.linalg import schur
from torch import Tensor, nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.measures import ProgressCallback
from intriguing.models.weights import read_tensors
from intriguing.units.activations import Images, activations

_ORTHOGONAL = 1e-8
"""Entries of QᵀQ − 1 that count as rounding: far above float64's own, far below what matters."""


@dataclass(frozen=True)
class Basis:
    """Named directions in the space of a layer's units, one a column."""

    name: str
    matrix: Float[Tensor, "unit direction"]

    def __post_init__(self) -> None:
        if self.matrix.ndim != 2 or not self.matrix.numel():
            raise InputError(
                f"basis {self.name!r} has shape {tuple(self.matrix.shape)}; give a matrix with one "
                "direction a column, (units, directions)"
            )
        if not self.matrix.is_floating_point() or not bool(self.matrix.isfinite().all()):
            raise InputError(f"basis {self.name!r} is not all finite floating-point numbers")

    @property
    def units(self) -> int:
        """Number of units of the layer."""
        return self.matrix.shape[0]

    def __len__(self) -> int:
        return self.matrix.shape[1]


def natural(units: int) -> Basis:
    """The natural basis e_i of §3: the units themselves."""
    return Basis("natural", torch.eye(units, dtype=torch.float64))


def haar(units: int, generator: torch.Generator, columns: int | None = None) -> Basis:
    """A uniformly random rotation (Haar measure on SO(units)): the random basis of §3.

    The orthogonal factor of a Gaussian matrix, the signs of R's diagonal divided out (Mezzadri,
    2007), and one direction negated where the determinant is −1.  With `columns`, only so many of
    its directions.
    """
    count = units if columns is None else columns
    if not 1 <= count <= units:
        raise InputError(f"a rotation of {units} units has no {count} columns; give 1 … {units}")
    gauss = torch.randn(units, count, generator=generator, dtype=torch.float64)
    reflections, scales = torch.geqrf(gauss)
    negative = reflections.diagonal() < 0
    q = torch.linalg.householder_product(reflections, scales) * torch.where(negative, -1.0, 1.0)
    # Each reflection of the factor mirrors once, as each sign does: no determinant is needed.
    if count == units and int((scales != 0).sum() + negative.sum()) % 2:
        q[:, 0] = -q[:, 0]
    return Basis("random", q)


def gaussian(units: int, count: int, generator: torch.Generator) -> Basis:
    """Independent uniformly random directions of length 1: the paper's v, `count` of them."""
    draw = torch.randn(units, count, generator=generator, dtype=torch.float64)
    return Basis("gaussian", draw / draw.norm(dim=0))


def rotation_path(rotation: Float[Tensor, "unit unit"], alpha: float) -> Basis:
    """Q^α on the way from the natural basis (α = 0) to the rotation Q (α = 1).

    Q turns each of some orthogonal planes by an angle in (−π, π]; Q^α by α times that angle, so
    that Q^α Q^β = Q^(α+β), as in Network Dissection (Bau et al., 2017).

    Raises:
        InputError: If Q is not orthogonal, has determinant −1 (no real power leads there) or α is
            outside [0, 1].
    """
    return rotation_powers(rotation, (alpha,))[0]


def rotation_powers(
    rotation: Float[Tensor, "unit unit"], alphas: Sequence[float]
) -> tuple[Basis, ...]:
    """Several points of `rotation_path`: the planes of Q are found once."""
    for alpha in alphas:
        if not 0 <= alpha <= 1:
            raise InputError(f"alpha={alpha} is not on the path; give a number from 0 to 1")
    q = rotation.to("cpu", torch.float64)
    if q.ndim != 2 or q.shape[0] != q.shape[1]:
        raise InputError(f"a rotation of shape {tuple(q.shape)}; give a square matrix")
    if (q.T @ q - torch.eye(len(q), dtype=q.dtype)).abs().max() > _ORTHOGONAL:
        raise InputError("the matrix is not orthogonal; give a rotation, such as haar(...).matrix")
    if torch.linalg.det(q) < 0:
        raise InputError("the matrix mirrors (determinant −1); negate one column of it")
    form, z = schur(q.numpy(), output="real")
    powers = (
        # The identity to the last digit: a silent unit beside a trace of another is not silent.
        torch.eye(len(q), dtype=q.dtype)
        if alpha == 0
        else torch.from_numpy(z @ _power(form, alpha) @ z.T)
        for alpha in alphas
    )
    return tuple(
        Basis(f"rotated {alpha:g}", power) for alpha, power in zip(alphas, powers, strict=True)
    )


def _power(form: np.ndarray, alpha: float) -> np.ndarray:
    """α-th power of a rotation in real Schur form: blocks of one plane, of 1, and pairs of −1."""
    size = len(form)
    power = np.eye(size)
    mirrored: list[int] = []
    i = 0
    while i < size:
        if i + 1 < size and abs(form[i + 1, i]) > _ORTHOGONAL:
            angle = float(np.arctan2(form[i + 1, i], form[i, i]))
            _turn(power, i, i + 1, alpha * angle)
            i += 2
            continue
        if form[i, i] < 0:
            mirrored.append(i)
        i += 1
    for a, b in zip(mirrored[::2], mirrored[1::2], strict=True):
        _turn(power, a, b, alpha * np.pi)
    return power


def _turn(matrix: np.ndarray, a: int, b: int, angle: float) -> None:
    cosine, sine = np.cos(angle), np.sin(angle)
    matrix[a, a], matrix[a, b], matrix[b, a], matrix[b, b] = cosine, -sine, sine, cosine


def pca(
    model: nn.Module,
    layer: str,
    images: Images,
    count: int | None = None,
    *,
    batch_size: int | None = None,
    progress: ProgressCallback | None = None,
) -> Basis:
    """Directions of the greatest variance of φ(x), the first `count`, from a streamed covariance.

    Every position of a convolutional layer counts as one vector. Signs are such that each
    direction's largest weight is positive.
    """
    vectors, total, square = 0, torch.zeros(()), torch.zeros(())
    stream = activations(model, layer, images, batch_size=batch_size, progress=progress)
    for phi in stream:
        rows = position_vectors(phi[layer])
        vectors += len(rows)
        total = total + rows.sum(0)
        square = square + rows.T @ rows
    mean = total / vectors
    covariance = square / vectors - mean.outer(mean)
    wanted = len(mean) if count is None else count
    if not 1 <= wanted <= len(mean):
        raise InputError(f"count={count}; the layer has {len(mean)} units, give 1 … {len(mean)}")
    directions = torch.linalg.eigh(covariance).eigenvectors.flip(1)[:, :wanted]
    largest = directions.gather(0, directions.abs().argmax(0, keepdim=True))
    return Basis("pca", directions * largest.sign())


def kmeans(
    model: nn.Module,
    layer: str,
    images: Images,
    count: int,
    *,
    positions: int = 16,
    batch_size: int | None = None,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Basis:
    """Unit vectors from the mean of φ(x) to each of `count` cluster centres (mini-batch k-means).

    Of a convolutional layer, at most `positions` random ones an image are clustered.
    """
    from sklearn.cluster import MiniBatchKMeans  # slow to import, and needed here only

    if count < 2:
        raise InputError(f"count={count} clusters; give 2 or more")
    generator = torch.Generator().manual_seed(seed)
    clusters = MiniBatchKMeans(count, random_state=seed, n_init=3)
    held: list[Tensor] = []
    vectors, total = 0, torch.zeros(())
    stream = activations(model, layer, images, batch_size=batch_size, progress=progress)
    for phi in stream:
        held.append(position_vectors(some_positions(phi[layer], positions, generator)))
        vectors, total = vectors + len(held[-1]), total + held[-1].sum(0)
        if sum(map(len, held)) >= 4 * count:  # the first piece must hold enough to start from
            clusters.partial_fit(torch.cat(held).numpy())
            held = []
    if vectors < 4 * count:
        raise InputError(
            f"{vectors} vectors are too few for {count} clusters; give at least {4 * count}"
        )
    centres = torch.from_numpy(clusters.cluster_centers_).double() - total / vectors
    return Basis("k-means", (centres / centres.norm(dim=1, keepdim=True).clamp_min(1e-12)).T)


def load_directions(path: Path | str, units: int | None = None) -> Basis:
    """The matrix in a .npy or .safetensors file: a dictionary, a probe's weights, anything.

    Args:
        path: One matrix with a direction a column; nothing in it is unpickled.
        units: If given, what its number of rows must be.

    Raises:
        InputError: If the file is missing, holds no or several matrices, or does not fit.
    """
    path = Path(path)
    readers: dict[str, Callable[[Path], Sequence[Tensor]]] = {
        ".npy": _read_npy,
        ".safetensors": lambda file: list(read_tensors(file)[0].values()),
    }
    if path.suffix not in readers:
        raise InputError(f"{path} is no {' or '.join(readers)} file; save the matrix as one")
    check_regular(path, "save the matrix as one")
    try:
        tensors = readers[path.suffix](path)
    except InputError:
        raise
    except Exception as error:  # numpy's reader parses the head, and raises what parsers do
        raise InputError(
            f"cannot read {path}: {str(error).splitlines()[0]}; save one plain matrix of numbers"
        ) from error
    if len(tensors) != 1:
        raise InputError(f"{path} holds {len(tensors)} tensors; give exactly one matrix")
    matrix = tensors[0].double() if not tensors[0].is_complex() else tensors[0]
    basis = Basis(path.stem, matrix)
    check_units(basis, units)
    return basis


def check_units(basis: Basis, units: int | None) -> None:
    """Refuse directions that are not in the space of so many units."""
    if units is not None and basis.units != units:
        advice = "; transpose it" if len(basis) == units else ""
        raise InputError(
            f"basis {basis.name!r} has {basis.units} rows but the layer has {units} units{advice}; "
            "a basis has a row a unit and a direction a column"
        )


def nearest_directions(
    basis: Basis, others: Basis, count: int = 5
) -> tuple[Tensor, Float[Tensor, "direction count"]]:
    """For each direction the `count` of `others` at the smallest angle: their columns and cosines.

    A direction compared with its own basis does not count itself.
    """
    a, b = (functional.normalize(x.matrix.double(), dim=0) for x in (basis, others))
    cosines = a.T @ b
    if basis is others:
        cosines.fill_diagonal_(-torch.inf)
    best = cosines.topk(min(count, cosines.shape[1] - int(basis is others)), dim=1)
    return best.indices, best.values


def _read_npy(path: Path) -> list[Tensor]:
    # Mapped: its header may announce more than the file, and than memory, holds.
    return [torch.from_numpy(np.array(np.load(path, mmap_mode="r", allow_pickle=False)))]


def position_vectors(phi: Float[Tensor, "batch unit ..."]) -> Float[Tensor, "vector unit"]:
    """Every position's vector, in float64 on the CPU."""
    return phi.unsqueeze(2).flatten(2).transpose(1, 2).flatten(0, 1).cpu().double()


def some_positions(phi: Tensor, positions: int, generator: torch.Generator) -> Tensor:
    """At most `positions` of each image's positions, the same for all of a batch."""
    if phi.ndim == 2:
        return phi
    flat = phi.flatten(2)
    chosen = torch.randperm(flat.shape[2], generator=generator)[:positions]
    return flat[:, :, chosen.to(flat.device)]
