"""A network as affine maps and curves: the nodes that a backward pass goes through.

A curve acts on every number by itself. A max pool becomes some: with max(a, b) = b + relu(a − b),
pairs of a window first, then pairs of pairs. Every node knows its Lipschitz bound L relative to the
network's input, so that within R of an image its value moves by at most L·R; and what ½‖Δ‖² at the
node is at its parents, ‖Δ‖² ≤ Σ cₚ‖Δₚ‖², by which the quadratic tails of a bound are carried on.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.graph.operations.pools import pool_settings
from intriguing.graph.table import Bends, rule_of
from intriguing.spectral.certificates.relaxation.affine import (
    AffineMap,
    affine_map,
    selection,
    total,
)
from intriguing.spectral.certificates.step import Step, Walk
from intriguing.spectral.norms.bound import outward

Tails = tuple[tuple[int, float], ...]
_TAPS = 16
"""Numbers of a max pool's window up to which it is written as curves."""


@dataclass(frozen=True)
class Curve:
    """An elementwise function of what comes before.

    Attributes:
        operation: It, as the graph has it; None of a ReLU that a max pool is made of.
        bends: Where it bends.
        steepest: The largest |slope|.
    """

    operation: Operation | None
    bends: Bends
    steepest: float

    def __call__(self, values: Tensor) -> Tensor:
        """Of a batch of any size."""
        if self.rectifies:
            return values.relu()
        assert self.operation is not None
        result: Tensor = self.operation.again(values)
        return result

    @property
    def rectifies(self) -> bool:
        """Whether it is a ReLU."""
        return self.operation is None or self.operation.name in ("relu", "ReLU")


@dataclass(frozen=True)
class Node:
    """The input (no parents), a curve or an affine map.

    Attributes:
        parents: Places of the nodes that it takes, in order.
        rule: What it does with them.
        shape: Of its value, (1, …).
        lipschitz: ‖Δ‖ ≤ lipschitz·‖Δinput‖; infinite where unknown.
        tails: The cₚ, by parents' places.
    """

    parents: tuple[int, ...]
    rule: Curve | AffineMap | None
    shape: torch.Size
    lipschitz: float
    tails: Tails


@dataclass(frozen=True)
class Program:
    """Nodes in order; the last one gives the logits."""

    nodes: tuple[Node, ...]

    @property
    def curves(self) -> tuple[int, ...]:
        """Places of the curves."""
        return tuple(i for i, node in enumerate(self.nodes) if isinstance(node.rule, Curve))


def program_of(walk: Walk) -> Program | None:
    """The nodes of a network; None if an operation has no relaxation."""
    writer = _Writer()
    if len(walk.steps) < 2 or not all(writer.take(step) for step in walk.steps):
        return None
    if walk.steps[-1].value.ndim != 2:
        return None
    return Program(tuple(writer.nodes))


class _Writer:
    """The nodes so far, and which node each step's value is."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.places: dict[Step, int] = {}

    def take(self, step: Step) -> bool:
        """Add a step; False if it has no relaxation."""
        if step.operation is None:
            self.places[step] = self._add(Node((), None, step.value.shape, 1.0, ()))
            return True
        if step.fused:
            return True  # a part of the one that follows
        before = step.parents
        if before and before[0].fused:
            before = before[0].parents
        if step.operation.unruly or not all(parent in self.places for parent in before):
            return False
        parents = tuple(self.places[parent] for parent in before)
        place = self._curve(step, parents)
        if place is None:
            place = self._largest(step, parents)
        if place is None:
            place = self._affine(step, parents)
        if place is None:
            return False
        self.places[step] = place
        return True

    def _curve(self, step: Step, parents: tuple[int, ...]) -> int | None:
        operation, rule = step.call, rule_of(step.call)
        bends = rule.bends(operation) if rule.when(operation) else None
        slopes = None if bends is None else slopes_of(operation)
        alone = operation.first_moves and operation.output.shape == operation.x.shape
        if bends is None or slopes is None or not alone:
            return None
        steepest = max(abs(slope) for slope in slopes)
        curve = Curve(operation, bends, steepest)
        tails = ((parents[0], outward(steepest**2)),)
        return self._add(Node(parents, curve, step.value.shape, step.total, tails))

    def _affine(self, step: Step, parents: tuple[int, ...]) -> int | None:
        map = affine_map(step)
        if map is None:
            return None
        return self._add(
            Node(parents, map, step.value.shape, step.total, self._shares(parents, map.norms))
        )

    def _shares(self, parents: tuple[int, ...], norms: tuple[float, ...]) -> Tails:
        """(Σ nₚ‖Δₚ‖)² ≤ Σ nₚ²‖Δₚ‖²·(Σ wₖ)/wₚ, wₚ = nₚLₚ, which is equal where all move that far."""
        weights = [
            n * self.nodes[p].lipschitz if math.isfinite(self.nodes[p].lipschitz) else n
            for n, p in zip(norms, parents, strict=True)
        ]
        whole = sum(weights)
        return tuple(
            (p, outward(n * n * whole / w) if w > 0 else 0.0)
            for n, p, w in zip(norms, parents, weights, strict=True)
        )

    def _largest(self, step: Step, parents: tuple[int, ...]) -> int | None:
        """A max pool, pair by pair."""
        taps = _taps(step.call)
        if taps is None or len(parents) != 1:
            return None
        (source,), x, shape = parents, step.call.x, step.value.shape
        norm, reached = step.own.upper, step.total
        before = self.nodes[source].lipschitz
        entries = [
            self._add(self._selected(source, selection(tap, None, x, shape), before, shape))
            for tap in taps
        ]
        first = True
        while len(entries) > 1:
            left = [entries[-1]] if len(entries) % 2 else []
            pairs = list(zip(entries[::2], entries[1::2], strict=False))
            if first:
                apart = [
                    self._add(self._selected(source, selection(b, a, x, shape), before, shape))
                    for a, b in zip(taps[::2], taps[1::2], strict=False)
                ]
            else:
                apart = [self._difference(a, b, shape) for a, b in pairs]
            entries = [
                self._larger(a, d, shape) for (a, _), d in zip(pairs, apart, strict=True)
            ] + left
            first = False
        last = entries[0]
        # Δ of the whole pool is known better than what its pairs say one after the other.
        tails = ((source, outward(norm**2)),)
        found = self.nodes[last]
        self.nodes[last] = Node(found.parents, found.rule, shape, reached, tails)
        return last

    def _selected(self, source: int, map: AffineMap, before: float, shape: torch.Size) -> Node:
        norm = map.norms[0]
        return Node((source,), map, shape, outward(norm * before), ((source, outward(norm**2)),))

    def _difference(self, a: int, b: int, shape: torch.Size) -> int:
        """b − a."""
        sizes = self.nodes[a].lipschitz + self.nodes[b].lipschitz
        zeros = torch.zeros(shape, dtype=torch.float64)
        map = AffineMap(
            lambda a, b: b - a, lambda q: (-q, q), lambda sizes: sizes[0] + sizes[1],
            zeros, (1.0, 1.0), 2,
        )  # fmt: skip
        return self._add(Node((a, b), map, shape, outward(sizes), self._shares((a, b), (1.0, 1.0))))

    def _larger(self, a: int, apart: int, shape: torch.Size) -> int:
        """a + relu(b − a)."""
        curve = Curve(None, Bends((0.0,)), 1.0)
        reach = self.nodes[apart].lipschitz
        rectified = self._add(Node((apart,), curve, shape, reach, ((apart, 1.0),)))
        map = total(torch.zeros(shape, dtype=torch.float64))
        whole = outward(self.nodes[a].lipschitz + reach)
        parents = (a, rectified)
        return self._add(Node(parents, map, shape, whole, self._shares(parents, (1.0, 1.0))))

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1


def _taps(operation: Operation) -> list[Tensor] | None:
    """For each place of a max pool's window, the number that every output reads there.

    Where the window reaches over the border, one that it reads anyway.
    """
    name = operation.name.lower().replace("_", "")
    pool = pool_settings(operation)
    if not name.startswith("maxpool") or pool is None or not isinstance(operation.output, Tensor):
        return None
    if operation.x.ndim != 4 or math.prod(pool.kernel) > _TAPS:
        return None
    x, output = operation.x, operation.output
    numbers = torch.arange(1, x.numel() + 1, dtype=torch.float64).view(x.shape)
    after = [
        max(0, (n - 1) * s + d * (k - 1) + 1 - size - p)
        for n, s, d, k, size, p in zip(
            output.shape[2:],
            pool.stride,
            pool.dilation,
            pool.kernel,
            x.shape[2:],
            pool.padding,
            strict=True,
        )
    ]
    padded = functional.pad(numbers, (pool.padding[1], after[1], pool.padding[0], after[0]))
    windows = functional.unfold(padded, pool.kernel, pool.dilation, 0, pool.stride)
    rows, columns = (
        (padded.shape[axis + 2] - pool.dilation[axis] * (pool.kernel[axis] - 1) - 1)
        // pool.stride[axis] + 1
        for axis in (0, 1)
    )  # fmt: skip
    windows = windows.view(x.shape[1], math.prod(pool.kernel), rows, columns)
    windows = windows[:, :, : output.shape[2], : output.shape[3]].long()
    if windows.shape[2:] != output.shape[2:]:
        return None
    filled = torch.where(windows > 0, windows, windows.amax(1, keepdim=True)) - 1
    taps = [tap.flatten().to(x.device) for tap in filled.unbind(1)]
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    largest = torch.stack([noise.flatten()[tap.cpu()] for tap in taps]).amax(0)
    expected = operation.again(noise.to(x)).flatten().cpu()
    return taps if torch.equal(largest, expected) else None
