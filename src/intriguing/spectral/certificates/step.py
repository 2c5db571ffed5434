"""The steps of a walk through a network, and the linear parts that they form."""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.table import rule_of
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.linear_map import (
    Diagonal,
    LinearMap,
    composed,
    lacks_batch,
    negative,
    stacked,
    summed,
)


@dataclass(frozen=True)
class Piece:
    """A linear part of the network: from the value of `origin`, through `layers` linear maps.

    `map` is what they do together, None if that has no short form; without layers it is nothing.
    Where numbers are `reordered` on the way, it is that but for their order, which changes no norm.
    """

    origin: "Step"
    map: LinearMap | None = None
    layers: int = 0
    reordered: bool = False


@dataclass(eq=False)
class Step:
    """One operation that depends on the input.

    Attributes:
        name, kind: What tables call it.
        operation: The call, in the example; None for the input itself.
        parents: The steps whose values it takes, in order.
        own: The bound of this operation alone; of a join, from all its inputs taken together.
        total: The bound of its value relative to the network's input.
        value: What it gave for the example.
        piece: The linear part that ends here; None if it is not linear.
        fused: Whether the row of another step includes this one.
        since: The step that `own` is relative to, if not the parents.
        inner: Whether everything that takes it has such a row that starts before it.
    """

    name: str
    kind: str
    operation: Operation | None
    parents: tuple["Step", ...]
    own: Bound
    total: float
    value: Any
    piece: Piece | None = None
    fused: bool = False
    since: "Step | None" = None
    inner: bool = False

    @property
    def ends(self) -> Piece:
        """The linear part that ends here; one of no layers if this step is not linear."""
        return self.piece or Piece(self)

    @property
    def call(self) -> Operation:
        """The operation of a step that is not the input."""
        assert self.operation is not None
        return self.operation


@dataclass(frozen=True)
class Walk:
    """The steps that a network's answer depends on, in order, and the bound of the whole."""

    steps: tuple[Step, ...]
    upper: float

    @property
    def guaranteed(self) -> bool:
        """Whether every bound that it rests on is proved."""
        return all(step.own.guaranteed for step in self.steps)


def fused_map(step: Step) -> LinearMap | None:
    """The step alone as a linear map, a batch norm with the layer that waited for it."""
    if step.operation is None or step.kind not in ("linear", "convolution"):
        return None
    map = linear_map(step.operation)
    if not step.parents[0].fused:
        return map
    first = linear_map(step.parents[0].call)
    if map is None or first is None:
        return None
    return composed(map, first, step.parents[0].value.shape)


def linear_map(operation: Operation) -> LinearMap | None:
    """The linear part of a call of one moving argument, if that has a short form."""
    rule = rule_of(operation)
    alone = len(operation.moving) == 1 and rule.is_affine(operation)
    return rule.linear(operation) if alone else None


def continued(step: Step, parent: Step) -> Piece | None:
    """The linear part that ended at the parent, through this operation; None begins a new one."""
    base, operation = parent.ends, step.call
    map = linear_map(operation)
    if map is None and step.kind != "shape":
        return replace(base, map=None, layers=base.layers + 1)
    if map is None:
        if rule_of(operation).keeps and step.value.shape == parent.value.shape:
            return base
        return None if base.layers == 0 else _rearranged(base, operation, parent.value)
    if base.layers == 0:
        return Piece(base.origin, map, 1)
    whole = None if base.map is None else composed(map, base.map, parent.value.shape)
    return replace(base, map=whole, layers=base.layers + 1)


def _rearranged(base: Piece, operation: Operation, x: Tensor) -> Piece:
    """A linear part whose numbers are given in another shape or order."""
    order = permutation(operation)
    if order is None or not isinstance(base.map, Diagonal):
        return replace(base, map=None)
    moved = bool((order.diff() != 1).any())
    scale = Diagonal(operation.again(base.map.scale.expand(x.shape)))
    return replace(base, map=scale, reordered=base.reordered or moved)


def permutation(operation: Operation) -> Tensor | None:
    """Of what gives every number that it is given, and gives it once: which one where, flat."""
    x, output = operation.x, operation.output
    if not rule_of(operation).selects or not isinstance(output, Tensor):
        return None
    if not isinstance(x, Tensor) or output.numel() != x.numel():
        return None
    places = torch.arange(x.numel(), dtype=x.dtype, device=x.device)
    order: Tensor = operation.again(places.view(x.shape)).flatten()
    return order if torch.equal(order.sort().values, places) else None


def joined(operation: Operation, pieces: list[Piece]) -> Piece | None:
    """Linear parts that begin at one place, added up or side by side; None of others."""
    origin = pieces[0].origin
    if any(piece.origin is not origin for piece in pieces):
        return None
    layers = 1 + max(piece.layers for piece in pieces)
    if any(piece.reordered for piece in pieces):
        return Piece(origin, None, layers)  # which number meets which is no longer known
    return Piece(origin, _together(operation, pieces), layers)


def _together(operation: Operation, pieces: list[Piece]) -> LinearMap | None:
    x = pieces[0].origin.value
    one = Diagonal(torch.ones(1, dtype=x.dtype, device=x.device))
    maps = [piece.map if piece.layers else one for piece in pieces]
    whole = [map for map in maps if map is not None]
    if len(whole) < len(maps) or operation.given(2, "alpha", 1) != 1:
        return None
    if operation.name in ("add", "sub", "subtract") and len(whole) == 2:
        return summed(
            whole[0], whole[1] if operation.name == "add" else negative(whole[1]), x.shape
        )
    channels = operation.given(1, "dim", 0) in (1, 1 - operation.output.ndim)
    channels = channels and not any(lacks_batch(x.shape, map) for map in whole)
    return stacked(whole) if operation.name.startswith("c") and channels else None


def between(origin: Step, end: Step, value: Any) -> Tensor:
    """What `end` would be if `origin`, where its linear part begins, were `value`."""
    known: dict[Step, Any] = {origin: value}
    for step in _needed_from(origin, end):
        known[step] = step.call.again(*(known[parent] for parent in step.parents))
    result: Tensor = known[end]
    return result


def _needed_from(origin: Step, end: Step) -> list[Step]:
    found: list[Step] = []

    def visit(step: Step) -> None:
        if step is not origin and step not in found:
            for parent in step.parents:
                visit(parent)
            found.append(step)

    visit(end)
    return found
