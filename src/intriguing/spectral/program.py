"""A chain of stages turned into the steps of an ellipsoid: what is a matrix, what a frequency."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from intriguing.spectral.cyclic import kept_frequencies, lattices, rows, symbol
from intriguing.spectral.ellipsoid import Linear, Relax, Scale, Spread, Step, Windows
from intriguing.spectral.stages import (
    Convolution,
    Dense,
    Flatten,
    Pool,
    Slope,
    Stage,
    shapes,
)

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


def program(stages: Sequence[Stage], dense_units: int) -> Program:
    """The steps of a chain; convolutions of at most `dense_units` outputs become matrices.

    A run of convolutions (up to a pool or a matrix) is made of matrices, with one multiplier a
    unit, if all of it is small enough; otherwise of symbols on lattices, with one a channel.
    """
    stages = _flattened_late(stages)
    known = shapes(stages)
    device = next(
        (s.weight.device for s in stages if isinstance(s, Dense | Convolution)), torch.device("cpu")
    )
    first = next((shape for shape in known if shape is not None), (1,))
    steps: list[Step] = []
    number, written_out = 0, False
    while number < len(stages):
        stage, shape = stages[number], known[number]
        if isinstance(stage, Convolution):
            end = _end_of_run(stages, number)
            run = stages[number:end]
            largest = max(math.prod(shape or ()) for shape in known[number + 1 : end + 1])
            following = stages[end] if end < len(stages) else None
            if largest <= dense_units:
                steps += _matrices(run, known[number] or (1,), _slopes(stages[:number]))
                steps += _pooled(following, known[end])
                number = end + isinstance(following, Pool | Flatten)
                written_out = not isinstance(following, Pool)
            else:
                matrix = stages[end + 1] if isinstance(following, Flatten) else None
                own = _symbols(run, following, matrix)
                steps += own
                number = end + (0 if following is None else 2 if matrix is not None else 1)
                written_out = matrix is not None
            continue
        if isinstance(stage, Dense):
            weight = stage.weight.detach().double()
            steps.append(_matrix(weight))
            written_out = True
        elif isinstance(stage, Slope) and written_out and stage.low < stage.high:
            steps.append(_relax(stage, math.prod(shape or (1,)), _slopes(stages[:number])))
        elif isinstance(stage, Slope):
            steps.append(Scale(max(abs(stage.low), abs(stage.high))))
        elif isinstance(stage, Pool):
            steps.append(Scale(stage.factor))
        elif shape is not None and len(shape) > 1:
            steps.append(Spread(math.prod(shape[1:])))
        number += 1
    return Program(tuple(steps), torch.ones(first[0], dtype=torch.float64, device=device))


def _slopes(stages: Sequence[Stage]) -> int:
    """How many slopes there are."""
    return sum(isinstance(stage, Slope) for stage in stages)


def _relax(stage: Slope, units: int, place: int) -> Relax:
    """A slope with one multiplier a unit; −y in the place of y where it mostly falls."""
    falling = stage.low + stage.high < 0.0
    low, high = (-stage.high, -stage.low) if falling else (stage.low, stage.high)
    return Relax(low, high, units, -1 if falling else place)


def _flattened_late(stages: Sequence[Stage]) -> list[Stage]:
    """Flatten() moved past the slopes after it, with which it commutes, and dropped at the end."""
    ordered: list[Stage] = []
    waiting = False
    for stage in stages:
        if isinstance(stage, Flatten):
            waiting = True
        elif waiting and not isinstance(stage, Slope):
            ordered += [Flatten(), stage]
            waiting = False
        else:
            ordered.append(stage)
    return ordered


def _end_of_run(stages: Sequence[Stage], start: int) -> int:
    number = start
    while number < len(stages) and isinstance(stages[number], Convolution | Slope):
        number += 1
    return number


def _matrices(run: Sequence[Stage], shape: tuple[int, ...], place: int) -> list[Step]:
    """A run of convolutions as matrices, with multipliers for every unit."""
    steps: list[Step] = [Spread(math.prod(shape[1:]))]
    units = 0
    for stage in run:
        if isinstance(stage, Convolution):
            weight = dense(stage)
            units = len(weight)
            steps.append(_matrix(weight))
        elif isinstance(stage, Slope):
            wide = stage.low < stage.high
            steps.append(_relax(stage, units, place) if wide else Scale(stage.low))
            place += 1
    return steps


def _symbols(run: Sequence[Stage], following: Stage | None, matrix: Stage | None) -> list[Step]:
    """A run of convolutions on lattices, and the pool or the matrix after it."""
    chain = [stage for stage in run if isinstance(stage, Convolution)]
    sizes = lattices(chain)
    steps: list[Step] = []
    done, channels, cut = 0, 0, True
    for stage in run:
        if isinstance(stage, Convolution):
            if not cut and any(side > 0 for pair in stage.padding for side in pair):
                steps.append(Relax(0.0, 1.0, channels))
            steps.append(symbol(stage, sizes[done], sizes[done + 1]))
            done, channels, cut = done + 1, len(stage.weight), False
        elif isinstance(stage, Slope) and stage.low < stage.high:
            steps.append(Relax(min(stage.low, 0.0), max(stage.high, 0.0), channels))
            cut = True
        elif isinstance(stage, Slope):
            steps.append(Scale(stage.low))
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


def _pooled(following: Stage | None, shape: tuple[int, ...] | None) -> list[Step]:
    if isinstance(following, Pool) and shape is not None:
        return [Windows(following.factor, shape[0], math.prod(shape[1:]))]
    return []


def _matrix(weight: Float[Tensor, "out in"]) -> Linear:
    return Linear(weight[None, None], weight.abs()[None, None])


def dense(convolution: Convolution) -> Float[Tensor, "out in"]:
    """The convolution as a matrix, from its action on every unit of the input."""
    weight = convolution.weight.detach().double()
    units = convolution.in_channels * math.prod(convolution.input_size)
    basis = torch.eye(units, dtype=torch.float64, device=weight.device)
    images = basis.reshape(units, convolution.in_channels, *convolution.input_size)
    pads = [side for pair in reversed(convolution.padding) for side in pair]
    apply = (functional.conv1d, functional.conv2d, functional.conv3d)[weight.ndim - 3]
    responses = apply(
        functional.pad(images, pads),
        weight,
        stride=convolution.stride,
        dilation=convolution.dilation,
        groups=convolution.groups,
    )
    return responses.flatten(1).T.contiguous()
