"""Convolutions with zeros around them, bounded at every frequency of a lattice without an edge.

*Statement.* Take convolutions with zero padding and, between them, slopes in [α, β] that contains
0. Give every layer a cyclic lattice that holds its positions and all zeros that are read around
them (`lattices`), lattices divided by the strides. A bound on the cyclic network for all slopes in
[α, β], one a unit of the lattice, bounds the zero-padded network.

*Proof.* Place a change of the input on its lattice, zeros elsewhere. At the layer's own positions
the cyclic convolution gives what the zero-padded one gives: what it reads around them are zeros,
because the lattice is large enough not to bring the other side in. At the other positions of the
lattice it gives something else; slopes of 0 there, which [α, β] contains, make zeros of it, and the
next layer is met as the first was. So every derivative of the zero-padded network is one of the
cyclic network between isometric embeddings. ∎

The cyclic network commutes with shifts of its coarsest lattice. With one multiplier T a channel,
the same at all positions, so do all matrices of `ellipsoid.py`, and the Fourier transform takes
them apart into one small matrix a frequency:

    Z(ω) = Σ_a W(ω_a) G(ω_a) W(ω_a)ᴴ / s,   W(ω) = Σ_k w_k exp(2πi ω(kd − p)/N),

where the s frequencies ω_a = ω + a·N/s of the finer lattice alias at stride s (per axis; the factor
makes both transforms unitary). No frequency lies between those of the lattice: this is exact, with
no factor from a grid to a supremum. Frequencies ω and −ω are conjugate, and one of them is kept.

A convolution read by a second one with no slopes between needs no zeros made of the rest of the
lattice as long as the second reads only inside the first's positions; otherwise `steps.py` puts
slopes in [0, 1] there. A matrix after the convolutions reads their positions only, and its rows
have a Fourier transform like any image: Z = Σ_ω Ŵ(ω) G(ω) Ŵ(ω)ᴴ, with the whole lattice's ellipsoid
in place of its section, which is contained in it.
"""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

from intriguing.spectral.norms.convolution_layer import Convolution, PerAxis
from intriguing.spectral.semidefinite.ellipsoid import Linear


def lattices(chain: Sequence[Convolution]) -> list[PerAxis]:
    """The lattice of what enters each convolution of a chain and leaves the last, the smallest.

    >>> plain = Convolution(torch.zeros(1, 1, 3), (1,), ((1, 1),), (1,), 1, (8,))
    >>> lattices([plain, plain])
    [(9,), (9,), (9,)]
    """
    per_axis = [
        _axis_lattices([_Axis.of(convolution, axis) for convolution in chain])
        for axis in range(chain[0].axes)
    ]
    return list(zip(*per_axis, strict=True))


class _Axis:
    """One axis of a convolution: its stride, what its lattice must hold, before and after."""

    def __init__(self, stride: int, entering: int, leaving: int) -> None:
        self.stride, self.entering, self.leaving = stride, entering, leaving

    @classmethod
    def of(cls, convolution: Convolution, axis: int) -> "_Axis":
        assert convolution.input_size is not None
        before, _ = convolution.padding[axis]
        size, out = convolution.input_size[axis], convolution.output_size[axis]
        stride = convolution.stride[axis]
        reads = (out - 1) * stride + convolution.spans[axis] - before
        return cls(stride, max(size + before, reads), out)


def _axis_lattices(chain: Sequence[_Axis]) -> list[int]:
    multiples = [math.prod(axis.stride for axis in chain[number:]) for number in range(len(chain))]
    coarsest = chain[-1].leaving
    for axis, multiple in zip(chain, multiples, strict=True):
        coarsest = max(coarsest, -(-axis.entering // multiple))
        coarsest = max(coarsest, -(-axis.leaving * axis.stride // multiple))
    return [coarsest * multiple for multiple in [*multiples, 1]]


def symbol(convolution: Convolution, entering: PerAxis, leaving: PerAxis) -> Linear:
    """The convolution between two lattices, a matrix for each frequency that is kept."""
    kernel = convolution.weight.shape[2:]
    device = convolution.weight.device
    kept = _kept(leaving)[0]
    fine = _aliases(kept, entering, leaving)
    taps = torch.cartesian_prod(*(torch.arange(size) for size in kernel)).reshape(-1, len(kernel))
    dilation = torch.tensor(convolution.dilation)
    before = torch.tensor([pair[0] for pair in convolution.padding])
    phase = _phases(fine.flatten(0, 1).to(device), (taps * dilation - before).to(device), entering)
    weight = (
        convolution.ungrouped().weight.detach().double().flatten(2)
        / math.prod(convolution.stride) ** 0.5
    )
    shape = (*fine.shape[:2], *weight.shape[:2])
    flat = weight.flatten(0, 1).to(phase.dtype)
    canonical, flipped = _canonical(fine, entering)
    position = {
        int(flat): number for number, flat in enumerate(_flat(_kept(entering)[0], entering))
    }
    source = torch.tensor([position[int(flat)] for flat in canonical.flatten()])
    return Linear(
        weight=(phase @ flat.T).reshape(shape),
        magnitude=weight.abs().sum(-1).expand(shape),
        source=source.reshape(canonical.shape).to(device),
        flipped=flipped.to(device),
        real=False,
        terms=math.prod(kernel),
    )


def rows(weight: Float[Tensor, "out in"], channels: int, size: PerAxis, lattice: PerAxis) -> Linear:
    """A matrix that reads the positions of a layer, as one for each frequency of its lattice."""
    kept, copies = _kept(lattice)
    positions = torch.cartesian_prod(*(torch.arange(length) for length in size))
    places = positions.reshape(-1, len(size))
    phase = _phases(kept.to(weight.device), places.to(weight.device), lattice)
    share = (copies.double() / math.prod(lattice)).sqrt().to(weight.device)
    image = weight.reshape(len(weight), channels, -1)
    transform = (image.to(phase.dtype) @ phase.T) * share
    magnitude = image.abs().sum(2)[None] * share[:, None, None]
    return Linear(
        weight=transform.permute(2, 0, 1)[None],
        magnitude=magnitude[None],
        source=torch.arange(len(kept), device=weight.device)[None],
        real=True,
        terms=len(positions),
    )


def kept_frequencies(lattice: PerAxis) -> int:
    """How many frequencies are kept: one of each conjugate pair."""
    return len(_kept(lattice)[0])


def _kept(lattice: PerAxis) -> tuple[Int[Tensor, "kept axes"], Int[Tensor, " kept"]]:
    """One frequency of each conjugate pair, and how many (1 or 2) it stands for."""
    every = torch.cartesian_prod(*(torch.arange(size) for size in lattice))
    every = every.reshape(-1, len(lattice))
    own, other = _flat(every, lattice), _flat(-every % torch.tensor(lattice), lattice)
    first = own <= other
    return every[first], torch.where(own == other, 1, 2)[first]


def _aliases(
    coarse: Int[Tensor, "kept axes"], entering: PerAxis, leaving: PerAxis
) -> Int[Tensor, "kept aliases axes"]:
    strides = [fine // rough for fine, rough in zip(entering, leaving, strict=True)]
    offsets = torch.cartesian_prod(*(torch.arange(stride) for stride in strides))
    return coarse[:, None] + offsets.reshape(1, -1, len(leaving)) * torch.tensor(leaving)


def _canonical(
    fine: Int[Tensor, "*frequencies axes"], lattice: PerAxis
) -> tuple[Int[Tensor, "*frequencies"], Tensor]:
    """Which frequency is kept for each, as a flat index, and whether it is the conjugate."""
    own, other = _flat(fine, lattice), _flat(-fine % torch.tensor(lattice), lattice)
    return torch.minimum(own, other), other < own


def _flat(index: Int[Tensor, "*any axes"], lattice: PerAxis) -> Int[Tensor, "*any"]:
    flat = torch.zeros_like(index[..., 0])
    for axis, size in enumerate(lattice):
        flat = flat * size + index[..., axis]
    return flat


def _phases(
    frequencies: Int[Tensor, "frequencies axes"],
    places: Int[Tensor, "places axes"],
    lattice: PerAxis,
) -> Complex[Tensor, "frequencies places"]:
    """exp(2πi Σ ω·n/N), each axis's angle reduced in integers first."""
    shape = len(frequencies), len(places)
    total = torch.ones(shape, dtype=torch.complex128, device=places.device)
    for axis, size in enumerate(lattice):
        turns = (frequencies[:, None, axis] * places[None, :, axis]) % size
        angle = turns.double() * (2.0 * math.pi / size)
        total = total * torch.polar(torch.ones_like(angle), angle)
    return total
