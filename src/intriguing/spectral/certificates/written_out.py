"""A small network as one chain of matrices and activations, its convolutions and pools written out.

The largest of numbers that are nowhere below 0 is max(a, b) = relu(a − b) + relu(b), pair after
pair: a max pool beside a ReLU is one matrix and one ReLU for each halving of its windows, with
relu(b) = b, which no bound pays for.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, fx

from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.graph.table import rule_of
from intriguing.spectral.certificates.feed_forward import (
    bending,
    chain_of,
    entering_steps,
    pooling,
)
from intriguing.spectral.certificates.relaxation.windows import window_of
from intriguing.spectral.certificates.step import Step, Walk
from intriguing.spectral.dual.around import Dense
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.explicit_matrix import affordable, explicit_matrix
from intriguing.spectral.semidefinite.layers import Dense as Matrix
from intriguing.spectral.semidefinite.layers import Flatten, Layer, Pool, Slope


@dataclass(frozen=True)
class WrittenOut:
    """A chain.

    Attributes:
        chain: Matrices before activations, and these.
        last: The matrix after the last one.
        entered: Of each activation, the step of the network whose input it is given; None of those
            that a pool is written out by.
    """

    chain: Dense
    last: Float[Tensor, "classes units"]
    entered: tuple[Step | None, ...]

    def values(
        self, graph: fx.GraphModule, walk: Walk, image: Float[Tensor, "1 ..."]
    ) -> list[Float[Tensor, " units"]] | None:
        """What enters each activation, in float64; None if the graph does more than the chain."""
        steps = [step for step in self.entered if step is not None]
        known = entering_steps(graph, walk, image, steps)
        if known is None:
            return None
        given, values = iter(known), list[Tensor]()
        for weight, step in zip(self.chain.weights, self.entered, strict=True):
            values.append(next(given)[0] if step else weight @ values[-1].clamp_min(0.0))
        return values


def written_out(walk: Walk) -> WrittenOut | None:
    """The network; None if it is no chain of small layers, or a pool is beside no ReLU."""
    layers = chain_of(walk)
    if layers is None:
        return None
    writer = _Writer(walk)
    taken = all(map(writer.take, [layer for layer in layers if not isinstance(layer, Flatten)]))
    if not taken or writer.matrix is None or not writer.weights:
        return None
    chain = Dense(tuple(writer.weights), tuple(writer.operations))
    return WrittenOut(chain, writer.matrix, tuple(writer.entered))


class _Writer:
    """Matrices and activations so far, and the matrix that is open at the end."""

    def __init__(self, walk: Walk) -> None:
        self.slopes: Iterator[Step] = iter(bending(walk))
        self.pools: Iterator[Step] = iter(pooling(walk))
        self.weights: list[Tensor] = []
        self.operations: list[Operation] = []
        self.entered: list[Step | None] = []
        self.matrix: Tensor | None = None
        self.sums: Tensor | None = None
        """What the units after the last activation are added to, where a pool left pairs."""
        self.pooled = False
        """Whether that was a pool whose ReLU is yet to come, and does nothing any more."""

    def take(self, layer: Layer) -> bool:
        """Add one; False if there is no place for it."""
        if isinstance(layer, Slope):
            return self._activation(next(self.slopes))
        if isinstance(layer, Pool):
            return self._pool(next(self.pools))
        weight = _matrix(layer)
        if weight is None or self.matrix is not None or self.pooled:
            return False
        self.matrix = weight if self.sums is None else weight @ self.sums
        self.sums = None
        return True

    def _activation(self, step: Step) -> bool:
        assert step.operation is not None
        if self.pooled:
            self.pooled = False
            return _rectifies(step.operation)
        return self._close(step.operation, step)

    def _close(self, operation: Operation, step: Step | None) -> bool:
        if self.matrix is None:
            return False
        self.weights.append(self.matrix)
        self.operations.append(operation)
        self.entered.append(step)
        self.matrix = None
        return True

    def _pool(self, step: Step) -> bool:
        assert step.operation is not None
        window = window_of(step.operation)
        if window is None or self.pooled or self.sums is not None:
            return False
        if self.matrix is not None:
            # The largest first, and then the ReLU: the same in the other order.
            self.pooled = self._close(_relu(step.operation.x), step)
        elif not self.operations or not _rectifies(self.operations[-1]):
            return False
        count = step.operation.x.numel()
        whole = torch.eye(count, dtype=torch.float64, device=step.operation.x.device)
        taps = [whole[places] for places in window.places.to(whole.device)]
        while len(taps) > 1:
            even = len(taps) - len(taps) % 2
            pairs = zip(taps[:even:2], taps[1:even:2], strict=True)
            rows = [part for one, two in pairs for part in (one - two, two)]
            self.matrix = torch.cat(rows + taps[even:])
            self._close(_relu(self.matrix[:, 0]), None)
            identity = torch.eye(len(self.weights[-1]), dtype=whole.dtype, device=whole.device)
            units = torch.split(identity, len(taps[0]))
            taps = [units[i] + units[i + 1] for i in range(0, even, 2)] + list(units[even:])
        self.sums = taps[0]
        return True


def _matrix(layer: Layer) -> Tensor | None:
    if isinstance(layer, Matrix):
        return layer.weight.double()
    if isinstance(layer, Convolution) and affordable(layer, generous=True):
        groups: Sequence[Tensor] = list(explicit_matrix(layer).double())
        return torch.block_diag(*groups)  # type: ignore[no-untyped-call, no-any-return]
    return None


def _rectifies(operation: Operation) -> bool:
    """Whether it is 0 below 0, and changes nothing above."""
    bends = rule_of(operation).bends(operation)
    slopes = slopes_of(operation)
    return bends is not None and bends.kinks == (0.0,) and slopes == (0.0, 1.0) and (
        bends.curvature == bends.slack == 0.0
    )  # fmt: skip


def _relu(like: Tensor) -> Operation:
    """A ReLU of so many units."""
    x = torch.zeros(1, like.numel(), dtype=torch.float64, device=like.device)
    return Operation("relu", None, (x,), {}, (x,), x, torch.relu, function=torch.relu)
