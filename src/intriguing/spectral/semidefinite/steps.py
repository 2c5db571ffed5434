"""A chain of layers turned into the steps of an ellipsoid: what is a matrix, what a frequency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.explicit_matrix import explicit_matrix
from intriguing.spectral.semidefinite.cyclic import kept_frequencies, lattices, rows, symbol
from intriguing.spectral.semidefinite.ellipsoid import Linear, Relax, Scale, Spread, Step, Windows
from intriguing.spectral.semidefinite.layers import Dense, Flatten, Layer, Pool, Slope, shapes

ROW_ENTRIES = 2**24
"""Numbers that the transform of a matrix's rows may have."""


@dataclass(frozen=True)
class Program:
    """The steps, and the ball of the input: one 1 for each unit, or each channel of an image."""

    steps: tuple[Step, ...]
    start: Float[Tensor, " n"]

    @property
    def parameters(self) -> int:
        """How many multipliers the steps take."""
        return sum(step.units for step in self.steps if isinstance(step, Relax | Windows))


def program(layers: Sequence[Layer], dense_units: int) -> Program:
    """The steps of a chain; convolutions of at most `dense_units` outputs become matrices.

    A run of convolutions (up to a pool or a matrix) is made of matrices, with one multiplier a
    unit, if all of it is small enough; otherwise of symbols on lattices, with one a channel.
    """
    layers = _flattened_late(layers)
    known = shapes(layers)
    device = next(
        (s.weight.device for s in layers if isinstance(s, Dense | Convolution)), torch.device("cpu")
    )
    first = next((shape for shape in known if shape is not None), (1,))
    steps: list[Step] = []
    number, in_matrices = 0, False
    while number < len(layers):
        layer, shape = layers[number], known[number]
        if isinstance(layer, Convolution):
            end = _end_of_run(layers, number)
            run = layers[number:end]
            largest = max(math.prod(shape or ()) for shape in known[number + 1 : end + 1])
            following = layers[end] if end < len(layers) else None
            if largest <= dense_units:
                steps += _matrices(run, known[number] or (1,), _slopes(layers[:number]))
                steps += _pooled(following, known[end])
                number = end + isinstance(following, Pool | Flatten)
                in_matrices = not isinstance(following, Pool)
            else:
                matrix = layers[end + 1] if isinstance(following, Flatten) else None
                own = _symbols(run, following, matrix)
                steps += own
                number = end + (0 if following is None else 2 if matrix is not None else 1)
                in_matrices = matrix is not None
            continue
        if isinstance(layer, Dense):
            weight = layer.weight.detach().double()
            steps.append(_matrix(weight))
            in_matrices = True
        elif isinstance(layer, Slope) and in_matrices and layer.low < layer.high:
            steps.append(_relax(layer, math.prod(shape or (1,)), _slopes(layers[:number])))
        elif isinstance(layer, Slope):
            steps.append(Scale(max(abs(layer.low), abs(layer.high))))
        elif isinstance(layer, Pool):
            steps.append(Scale(layer.factor))
        elif shape is not None and len(shape) > 1:
            steps.append(Spread(math.prod(shape[1:])))
        number += 1
    return Program(tuple(steps), torch.ones(first[0], dtype=torch.float64, device=device))


def _slopes(layers: Sequence[Layer]) -> int:
    """How many slopes there are."""
    return sum(isinstance(layer, Slope) for layer in layers)


def _relax(layer: Slope, units: int, place: int) -> Relax:
    """A slope with one multiplier a unit; −y in the place of y where it mostly falls."""
    falling = layer.low + layer.high < 0.0
    low, high = (-layer.high, -layer.low) if falling else (layer.low, layer.high)
    return Relax(low, high, units, -1 if falling else place)


def _flattened_late(layers: Sequence[Layer]) -> list[Layer]:
    """Flatten() moved past the slopes after it, with which it commutes, and dropped at the end."""
    ordered: list[Layer] = []
    waiting = False
    for layer in layers:
        if isinstance(layer, Flatten):
            waiting = True
        elif waiting and not isinstance(layer, Slope):
            ordered += [Flatten(), layer]
            waiting = False
        else:
            ordered.append(layer)
    return ordered


def _end_of_run(layers: Sequence[Layer], start: int) -> int:
    number = start
    while number < len(layers) and isinstance(layers[number], Convolution | Slope):
        number += 1
    return number


def _matrices(run: Sequence[Layer], shape: tuple[int, ...], place: int) -> list[Step]:
    """A run of convolutions as matrices, with multipliers for every unit."""
    steps: list[Step] = [Spread(math.prod(shape[1:]))]
    units = 0
    for layer in run:
        if isinstance(layer, Convolution):
            (weight,) = explicit_matrix(
                replace(layer, weight=layer.weight.detach().double()).ungrouped()
            )
            units = len(weight)
            steps.append(_matrix(weight))
        elif isinstance(layer, Slope):
            wide = layer.low < layer.high
            steps.append(_relax(layer, units, place) if wide else Scale(layer.low))
            place += 1
    return steps


def _symbols(run: Sequence[Layer], following: Layer | None, matrix: Layer | None) -> list[Step]:
    """A run of convolutions on lattices, and the pool or the matrix after it."""
    chain = [layer for layer in run if isinstance(layer, Convolution)]
    sizes = lattices(chain)
    steps: list[Step] = []
    done, channels, cut = 0, 0, True
    for layer in run:
        if isinstance(layer, Convolution):
            if not cut and any(side > 0 for pair in layer.padding for side in pair):
                steps.append(Relax(0.0, 1.0, channels))
            steps.append(symbol(layer, sizes[done], sizes[done + 1]))
            done, channels, cut = done + 1, len(layer.weight), False
        elif isinstance(layer, Slope) and layer.low < layer.high:
            steps.append(Relax(min(layer.low, 0.0), max(layer.high, 0.0), channels))
            cut = True
        elif isinstance(layer, Slope):
            steps.append(Scale(layer.low))
    if isinstance(following, Pool):
        steps.append(Windows(following.factor, channels))
    if isinstance(matrix, Dense):
        weight, size = matrix.weight.detach().double(), chain[-1].output_size
        kept = kept_frequencies(sizes[-1])
        if kept * max(len(weight) * channels, math.prod(size)) <= ROW_ENTRIES:
            steps.append(rows(weight, channels, size, sizes[-1]))
        else:
            steps += [Windows(1.0, channels), Spread(math.prod(size)), _matrix(weight)]
    return steps


def _pooled(following: Layer | None, shape: tuple[int, ...] | None) -> list[Step]:
    if isinstance(following, Pool) and shape is not None:
        return [Windows(following.factor, shape[0], math.prod(shape[1:]))]
    return []


def _matrix(weight: Float[Tensor, "out in"]) -> Linear:
    return Linear(weight[None, None], weight.abs()[None, None])
