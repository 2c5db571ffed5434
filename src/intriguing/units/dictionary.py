"""A layer's activations as sums of few features, of which there are more than units.

A sparse autoencoder with k active features (Makhzani and Frey 2014, arXiv:1312.5663; Gao et al.
2024, arXiv:2406.04093): z = TopK(max(0, E φ + b)) and φ ≈ D z, columns of D of length 1, φ less
its mean. The control is the same with D left as it was drawn, the frozen decoder of Korznikov et
al. (2026, arXiv:2602.14111): it learns to read, and nothing it writes was found in the data.
"""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.units.activations import Images, activations
from intriguing.units.directions import Basis, position_vectors, some_positions

OVERCOMPLETE = 2
"""Features a unit where nothing else is asked for."""
_UNITS_AN_ACTIVE = 16
"""Of so many units one feature is active, and two at least: one alone is a cluster, and no sum."""
_POSITIONS = 16
"""Of an image: neighbours in a layer are much alike."""
_HELD = 1 << 26
"""Numbers that are learned from at most: 256 MiB of float32."""
_STEPS, _BATCH, _RATE = 1000, 256, 2e-3
"""Of Adam; the rate falls to 0 over the last third. Rates from .001 to .004 find planted features;
the greater, the more of them, and the less the encoder reads what the decoder writes."""
_TRIED = 5
"""Steps that tell how long all of them take."""
_SILENT = 100
"""Steps without being active after which a feature is dead, and is taught the residual."""
_REVIVAL = 1 / 32
"""Weight of that loss, as in Gao et al. (§A.2)."""


@dataclass(frozen=True)
class Dictionary:
    """A sparse autoencoder that was learned.

    Attributes:
        reads: The encoder, a feature a column: its activation is ⟨φ(x), column⟩ up to a constant.
        writes: The decoder, a feature a column of length 1: what a feature adds to φ.
        alive: Which features are active on some of the vectors that were held out.
        explained: Share of their variance that the reconstruction explains.
        active: Features of a vector at most.
    """

    reads: Float[Tensor, "unit feature"]
    writes: Float[Tensor, "unit feature"]
    alive: Bool[Tensor, " feature"]
    explained: float
    active: int

    def basis(self, name: str) -> Basis:
        """What the living features read, as directions of length 1."""
        chosen = self.alive if bool(self.alive.any()) else ~self.alive
        return Basis(name, functional.normalize(self.reads[:, chosen].double(), dim=0))


def learn_dictionary(
    vectors: Float[Tensor, "vector unit"],
    held_out: Float[Tensor, "other unit"],
    features: int,
    *,
    active: int | None = None,
    frozen: bool = False,
    seed: int = 0,
    steps: int = _STEPS,
    progress: ProgressCallback | None = None,
) -> Dictionary:
    """Learn a dictionary from some vectors of a layer, and judge it on others.

    Args:
        vectors, held_out: By `layer_vectors`.
        features: How many features; more than units, or what they share cannot be taken apart.
        active: Of a vector at most; None for one of sixteen units, and two at least.
        frozen: Leave the decoder as it was drawn, and learn the encoder alone.
        seed: Of initial weights, which a frozen control shares, and of the order of vectors.
        steps: Of Adam.
        progress: Told now and then.

    Raises:
        InputError: If there are no vectors, or numbers make no sense.
    """
    units = vectors.shape[1]
    active = max(2, units // _UNITS_AN_ACTIVE) if active is None else active
    if not 1 <= active < features:
        raise InputError(f"{active} active of {features} features; give fewer active ones than all")
    if not len(vectors) or not len(held_out):
        raise InputError("a dictionary is learned from some vectors, judged on others; give both")
    generator = torch.Generator().manual_seed(seed)
    mean = vectors.mean(0)
    # Of one length on average, so that one rate of learning suits every layer.
    scale = (vectors - mean).square().sum(1).mean().sqrt().clamp_min(torch.finfo(mean.dtype).tiny)
    drawn = torch.randn(units, features, generator=generator, dtype=torch.float32)
    code = _Code((drawn / drawn.norm(dim=0)).to(vectors), active, frozen)
    taught = [p for p in code.parameters() if p.requires_grad]
    optimiser = torch.optim.Adam(taught, lr=_RATE)
    last = max(1, steps // 3)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = _RATE * min(1.0, (steps - step) / last)
        chosen = torch.randint(len(vectors), (_BATCH,), generator=generator)
        loss = code.loss((vectors[chosen] - mean) / scale)
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        optimiser.step()
        code.normalise()
        if progress is not None and (step + 1) % 100 == 0:
            progress(Progress("learning a dictionary", step + 1, steps))
    explained, alive = code.judge((held_out - mean) / scale)
    reads, writes = code.encoder.detach().T, code.decoder.detach()
    return Dictionary(reads.contiguous(), writes.clone(), alive, explained, active)


def learning_seconds(units: int, features: int) -> float:
    """Seconds that it takes to learn a dictionary of a layer of so many units, by a few steps."""
    vectors = torch.randn(_BATCH, units, generator=torch.Generator().manual_seed(0))
    start = time.perf_counter()
    learn_dictionary(vectors, vectors[:1], features, steps=_TRIED)
    return (time.perf_counter() - start) * _STEPS / _TRIED


def layer_vectors(
    model: nn.Module,
    layer: str,
    images: Images,
    count: int,
    seed: int = 0,
    progress: ProgressCallback | None = None,
) -> Float[Tensor, "vector unit"]:
    """φ at some random positions of each of `count` images, in float32 on the CPU.

    At most sixteen an image, and of very many images a random part of all vectors; what is not
    finite is left out.
    """
    generator = torch.Generator().manual_seed(seed)
    found: list[Tensor] = []
    for phi in activations(model, layer, images, progress=progress):
        most = max(1, _HELD // phi[layer].shape[1])
        some = some_positions(phi[layer], max(1, min(_POSITIONS, most // count)), generator)
        rows = position_vectors(some).float()
        found.append(rows[rows.isfinite().all(1)])
    vectors = torch.cat(found)
    return vectors[torch.randperm(len(vectors), generator=generator)[: _HELD // vectors.shape[1]]]


class _Code(nn.Module):
    """z = TopK(max(0, E φ + b)) and D z, with what is needed to learn them."""

    def __init__(self, directions: Float[Tensor, "unit feature"], active: int, frozen: bool):
        super().__init__()
        self.decoder = nn.Parameter(directions.clone(), requires_grad=not frozen)
        self.encoder = nn.Parameter(directions.T.clone())
        self.bias = nn.Parameter(directions.new_zeros(directions.shape[1]))
        self.active, self.silent = active, torch.zeros(directions.shape[1], dtype=torch.long)

    def encode(self, phi: Tensor) -> tuple[Tensor, Float[Tensor, "vector feature"]]:
        """What every feature reads, and the code: the greatest, where they are above 0."""
        read = phi @ self.encoder.T + self.bias
        return read, _greatest(read, self.active)

    def loss(self, phi: Tensor) -> Tensor:
        """Mean squared error, and of dead features the error in what the living leave over."""
        read, z = self.encode(phi)
        rest = phi - z @ self.decoder.T
        total = rest.square().sum(1).mean()
        used = (z > 0).any(0)
        self.silent = torch.where(used, 0, self.silent + 1)
        dead = self.silent > _SILENT
        if bool(dead.any()):
            count = min(int(dead.sum()), max(1, phi.shape[1] // 2))
            revived = _greatest(read.masked_fill(~dead, -torch.inf), count)
            missed = rest.detach() - revived @ self.decoder.T
            total = total + _REVIVAL * missed.square().sum(1).mean()
        return total

    @torch.no_grad()
    def normalise(self) -> None:
        """Columns of the decoder back to length 1, so that a code is not made small by them."""
        if self.decoder.requires_grad:
            self.decoder.div_(self.decoder.norm(dim=0).clamp_min(1e-12))

    @torch.no_grad()
    def judge(self, phi: Tensor) -> tuple[float, Bool[Tensor, " feature"]]:
        """Share of the variance explained, and which features are active on some."""
        left, alive = 0.0, torch.zeros(len(self.bias), dtype=torch.bool)
        for part in torch.split(phi, 4096):
            _, z = self.encode(part)
            left += float((part - z @ self.decoder.T).square().sum(dtype=torch.float64))
            alive |= (z > 0).any(0)
        all_of_it = float((phi - phi.mean(0)).square().sum(dtype=torch.float64))
        return (1 - left / all_of_it if all_of_it > 0 else 0.0), alive


def _greatest(read: Tensor, count: int) -> Tensor:
    """The so many greatest of each row, where they are above 0; the others 0."""
    values, where = read.topk(count, dim=1)
    return torch.zeros_like(read).scatter(1, where, values.relu())
