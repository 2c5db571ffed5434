"""A network as affine maps and curves: the nodes that a backward pass goes through.

A curve acts on every number by itself, a max pool on windows (`windows`). The largest of rising
curves is the curve of the largest, so that a pool always comes first, and a ReLU becomes a part of
it. Every node knows its Lipschitz bound L relative to the network's input, so that within R of an
image its value moves by at most L·R; and what ½‖Δ‖² at the node is at its parents, ‖Δ‖² ≤
Σ cₚ‖Δₚ‖², by which the quadratic tails of a bound are carried on.
"""

import math
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.operations.activations import slopes_of
from intriguing.graph.table import Bends, rule_of
from intriguing.spectral.certificates.relaxation.affine import AffineMap, affine_map
from intriguing.spectral.certificates.relaxation.windows import Window, window_of
from intriguing.spectral.certificates.step import Step, Walk
from intriguing.spectral.norms.bound import outward

Tails = tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class Curve:
    """An elementwise function of what comes before.

    Attributes:
        operation: It, as the graph has it.
        bends: Where it bends.
        steepest: The largest |slope|.
        rising: Whether no slope is below 0.
    """

    operation: Operation
    bends: Bends
    steepest: float
    rising: bool

    copies = 1

    def __call__(self, values: Tensor) -> Tensor:
        """Of a batch of any size."""
        result: Tensor = self.operation.again(values)
        return result

    @property
    def rectifies(self) -> bool:
        """Whether it is a ReLU."""
        return self.operation.name in ("relu", "ReLU")

    def taken(self, values: Tensor) -> Tensor:
        """What it reads of rows: all of it, as what `Window` reads is another."""
        return values

    def spread(self, q: Tensor) -> Tensor:
        """A number for each that is read."""
        return q

    def gathered(self, g: Tensor, count: int) -> Tensor:
        """The adjoint of `taken`, for so many numbers."""
        return g


@dataclass(frozen=True)
class Node:
    """The input (no parents), a curve, a max pool or an affine map.

    Attributes:
        parents: Places of the nodes that it takes, in order.
        rule: What it does with them.
        shape: Of its value, (1, …).
        lipschitz: ‖Δ‖ ≤ lipschitz·‖Δinput‖; infinite where unknown.
        tails: The cₚ, by parents' places.
    """

    parents: tuple[int, ...]
    rule: Curve | Window | AffineMap | None
    shape: torch.Size
    lipschitz: float
    tails: Tails


@dataclass(frozen=True)
class Program:
    """Nodes in order; the last one gives the logits."""

    nodes: tuple[Node, ...]

    @property
    def curves(self) -> tuple[int, ...]:
        """Places of the curves and the max pools."""
        return tuple(
            i for i, node in enumerate(self.nodes) if isinstance(node.rule, Curve | Window)
        )


def program_of(walk: Walk) -> Program | None:
    """The nodes of a network; None if an operation has no relaxation."""
    writer = _Writer()
    if len(walk.steps) < 2 or not all(writer.take(step) for step in walk.steps):
        return None
    if walk.steps[-1].value.ndim != 2:
        return None
    return Program(_needed(writer.nodes))


def curve_of(step: Step) -> Curve | None:
    """The curve that a step is; None of anything else, and where it is not known how it bends."""
    operation, rule = step.call, rule_of(step.call)
    bends = rule.bends(operation) if rule.when(operation) else None
    slopes = None if bends is None else slopes_of(operation)
    if bends is None or slopes is None or not operation.first_moves:
        return None
    if operation.output.shape != operation.x.shape:
        return None
    return Curve(operation, bends, max(map(abs, slopes)), min(slopes) >= 0)


def _needed(nodes: list[Node]) -> tuple[Node, ...]:
    """Those that the last one depends on: a curve that became a part of a pool is left over."""
    needed = {len(nodes) - 1}
    for at in range(len(nodes) - 1, -1, -1):
        if at in needed:
            needed.update(nodes[at].parents)
    moved = {old: new for new, old in enumerate(sorted(needed))}
    return tuple(
        replace(
            nodes[old], parents=tuple(moved[p] for p in nodes[old].parents),
            tails=tuple((moved[p], share) for p, share in nodes[old].tails),
        )
        for old in moved
    )  # fmt: skip


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
        curve = curve_of(step)
        if curve is None:
            return None
        before = self.nodes[parents[0]]
        if curve.rectifies and isinstance(before.rule, Window):
            return self._add(replace(before, rule=replace(before.rule, rectified=True)))
        tails = ((parents[0], outward(curve.steepest**2)),)
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
        """A max pool; of a rising curve it is the curve of a max pool."""
        window = window_of(step.call)
        if window is None or len(parents) != 1:
            return None
        (source,) = parents
        before = self.nodes[source]
        curve = before.rule
        if isinstance(curve, Curve) and curve.rising:
            (source,) = before.parents
            window = replace(window, rectified=curve.rectifies)
        reach = outward(step.own.upper * self.nodes[source].lipschitz)
        tails = ((source, float(window.copies)),)
        place = self._add(Node((source,), window, window.shape, reach, tails))
        if not isinstance(curve, Curve) or not curve.rising or curve.rectifies:
            return place
        tails = ((place, outward(curve.steepest**2)),)
        return self._add(Node((place,), curve, window.shape, step.total, tails))

    def _add(self, node: Node) -> int:
        self.nodes.append(node)
        return len(self.nodes) - 1
