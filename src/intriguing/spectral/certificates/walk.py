"""The walk through a network's graph, from the image to the logits, with a bound at every step.

Every tensor that depends on the input carries a Lipschitz bound relative to the input. A layer
multiplies it, joins combine those of several tensors, and linear maps one after the other are
composed before their norm is taken: a batch norm with its convolution, a normalisation with the
layer after it, a skip connection with a branch that is linear.
"""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, fx
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.execution import Executed, execute, label
from intriguing.graph.interval import Ends
from intriguing.graph.operation import Operation
from intriguing.graph.table import Affine, Rule, rule_of
from intriguing.graph.value_range import entry_range, value_range
from intriguing.measures import Box
from intriguing.spectral.certificates.piecewise import origins, steepest
from intriguing.spectral.certificates.step import (
    Step,
    Walk,
    between,
    continued,
    joined,
    linear_map,
)
from intriguing.spectral.certificates.unbounded import made_of_masks, unknown
from intriguing.spectral.norms.bound import Bound, outward, times
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.norms.dense_norm import dense_norm
from intriguing.spectral.norms.linear_map import Matrix, composed, formula_of, norm_of

_T = TypeVar("_T")


def walk(graph: fx.GraphModule, example: Tensor, domain: Box | None = None) -> Walk:
    """Go through the graph once.

    Args:
        graph: A network in float64, from `trace`.
        example: One image, a batch of 1; the centre of the domain if there is one.
        domain: Where images lie; products of moving tensors are bounded on it only.
    """
    walker = _Walker(graph, example, domain)
    for executed in execute(graph, example):
        walker.take(executed)
    results = [n for n in pytree.tree_leaves(_output(graph).args[0]) if isinstance(n, fx.Node)]
    last = walker.steps.get(results[0]) if len(results) == 1 else None
    if last is None:
        return Walk((), 0.0)
    return Walk(_marked(_needed(last)), walker.settled(last))


def _output(graph: fx.GraphModule) -> fx.Node:
    last: fx.Node = next(node for node in reversed(graph.graph.nodes) if node.op == "output")
    return last


def _needed(last: Step) -> tuple[Step, ...]:
    """Everything `last` depends on, in the order of execution."""
    found: dict[int, Step] = {}
    waiting = [(last, False)]
    while waiting:
        step, ready = waiting.pop()
        if ready:
            found[id(step)] = step
        elif id(step) not in found:
            waiting.append((step, True))
            waiting += [(parent, False) for parent in reversed(step.parents)]
    return tuple(found.values())


def _marked(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The same, those marked that jump or are unknown by themselves and only by themselves."""
    takers: dict[Step, list[Step]] = {}
    for step in reversed(steps):
        users = takers.get(step, [])
        inside = [user.inner or user.since not in (None, step) for user in users]
        step.inner = math.isinf(step.total) and bool(users) and all(inside)
        for parent in step.parents:
            takers.setdefault(parent, []).append(step)
    return steps


class _Walker:
    """The steps so far, by node."""

    def __init__(self, graph: fx.GraphModule, example: Tensor, domain: Box | None) -> None:
        self.modules = dict(graph.named_modules())
        self.order = {node: place for place, node in enumerate(graph.graph.nodes)}
        self.steps: dict[fx.Node, Step] = {}
        self.exact: dict[Step, float] = {}
        self.radius: float | None = None
        self.between: dict[Step, Ends | None] = {}
        if domain is not None:
            low, high = (
                torch.as_tensor(b, dtype=torch.float64).to(example).expand(example.shape)
                for b in (domain.lower, domain.upper)
            )
            self.box = low, high
            self.radius = outward(float((high - low).norm()) / 2)

    def take(self, executed: Executed) -> None:
        """Bound one more operation."""
        if executed.operation is None:
            bound = Bound(1.0, "the input")
            step = Step("input", "input", None, (), bound, 1.0, executed.value)
        else:
            step = self._bounded(executed, executed.operation)
            self._in_pieces(step)
        if self.radius is not None:
            self.between[step] = self._between(step, self.radius)
        self.steps[executed.node] = step
        if executed.changed:
            self._change(executed, step)

    def settled(self, step: Step) -> float:
        """The step's bound relative to the input, a linear part that is small written out."""
        piece = step.ends
        if piece.layers < 2 or piece.map is not None:
            return step.total
        if step not in self.exact:
            norm = dense_norm(
                lambda v: between(piece.origin, step, v), piece.origin.value, step.value
            )
            whole = math.inf if norm is None else _times(norm, self.settled(piece.origin))
            self.exact[step] = min(whole, step.total)
        return self.exact[step]

    def _bounded(self, executed: Executed, operation: Operation) -> Step:
        parents = tuple(self.steps[source] for source in executed.sources)
        name, rule = label(executed.node), rule_of(operation)
        own = unknown(name, operation, executed.node)
        step = Step(name, rule.kind, operation, parents, own, math.inf, executed.value)
        if operation.unruly or made_of_masks(step.value):
            return step
        affine = _attempt(rule.is_affine, operation) and rule.norm is not None
        if affine and len(parents) == 1:
            step.piece = _attempt(continued, step, parents[0])
            if self._waits(executed.node, step):
                return step
        alone = self._fused(step) or _attempt(rule.bound, operation)
        if alone is not None:
            if math.isinf(alone.upper):  # a map that is affine is bounded
                step.piece, alone = None, replace(alone, note=_named(step, alone.note))
            self._multiply(step, alone)
            return step
        step.piece = None
        if rule.join is not None:
            self._join(step, rule)
        return step

    def _waits(self, node: fx.Node, step: Step) -> bool:
        """Leave it to the batch norm that follows to bound this layer with itself."""
        if len(node.users) != 1 or step.ends.map is None:
            return False
        after = next(iter(node.users))
        layer = self.modules.get(str(after.target)) if after.op == "call_module" else None
        fusible = isinstance(layer, _BatchNorm) and layer.running_var is not None
        step.fused = fusible and isinstance(linear_map(step.call), Convolution | Matrix)
        return step.fused

    def _fused(self, step: Step) -> Bound | None:
        """The bound of a batch norm together with the layer that waited for it."""
        if not step.parents or not step.parents[0].fused:
            return None
        layer = step.parents[0]
        first = linear_map(layer.call)
        assert first is not None
        second = linear_map(step.call)
        together = None if second is None else composed(second, first, layer.value.shape)
        if together is None:
            layer.fused = False
            self._multiply(layer, Bound(norm_of(first), formula_of(first)))
            return None
        step.name, step.kind = f"{layer.name} + {step.name}", layer.kind
        return Bound(norm_of(together), f"{formula_of(first)}, batch norm fused")

    def _multiply(self, step: Step, own: Bound) -> None:
        """Own bound times the parent's, or the norm of the whole linear part if that is less."""
        parent, alone = step.parents[0], 1
        if parent.fused:
            parent, alone = parent.parents[0], 2
        before = parent.total if step.piece else self.settled(parent)
        step.own, step.total = own, _times(own.upper, before)
        self._as_a_whole(step, alone)

    def _as_a_whole(self, step: Step, alone: int) -> None:
        """The norm of a linear part of more than `alone` layers, if it is less than the product."""
        piece = step.ends
        if piece.layers > alone and piece.map is not None:
            step.total = min(step.total, _times(norm_of(piece.map), piece.origin.total))

    def _join(self, step: Step, rule: Rule) -> None:
        operation, parents = step.call, step.parents
        if self.radius is not None:
            ranges = tuple(
                value_range(p.operation, p.value, self.settled(p), self.radius, self.between.get(p))
                for p in parents
            )
            operation = step.operation = replace(operation, ranges=ranges)
        assert rule.join is not None
        bound = _attempt(rule.join, operation, tuple(self.settled(parent) for parent in parents))
        if bound is None:
            return
        if math.isinf(bound.upper):
            bound = replace(bound, note=_named(step, bound.note))
        step.kind, step.total = "join", bound.upper
        step.own = replace(bound, upper=_together(rule.join, operation, len(parents)))
        if rule.affine_in(operation) is Affine.TOGETHER:
            step.piece = joined(operation, [parent.ends for parent in parents])
            self._as_a_whole(step, 0)

    def _in_pieces(self, step: Step) -> None:
        """Bound what acts on every number by itself from where it started: masks, x·x, 1/x."""
        several = len(step.parents) > 1
        if rule_of(step.call).interval is None or made_of_masks(step.value):
            return
        unbounded = math.isinf(step.total)
        real = isinstance(step.value, Tensor) and step.value.is_floating_point()
        if not real or not (unbounded or (several and not step.piece)):
            return
        for origin in origins(step):
            steep = None
            if not math.isinf(origin.total):
                steep = _attempt(steepest, step, origin, *self._interval(origin))
            if steep is None:
                continue
            if math.isinf(steep) and unbounded:
                jumps = f"{step.name} jumps where its condition turns; no finite bound holds"
                step.own = replace(step.own, note=jumps)
            total = _times(outward(steep), self.settled(origin))
            if total < step.total:
                own = Bound(outward(steep), "steepest slope of its pieces")
                step.own, step.total, step.piece, step.since = own, total, None, origin
                step.kind = "join" if several else "activation"

    def _interval(self, step: Step) -> Ends:
        ends = self.between.get(step)
        if ends is not None:
            return ends
        nowhere = torch.full_like(step.value, math.inf)
        return -nowhere, nowhere

    def _between(self, step: Step, radius: float) -> Ends | None:
        """Between which numbers the step's entries lie over the domain."""
        if step.operation is None:
            return self.box
        before = [self.between.get(parent) for parent in step.parents]
        return entry_range(step.operation, step.value, _times(radius, step.total), before)

    def _change(self, executed: Executed, step: Step) -> None:
        """After a change in place: later uses of the tensor see the new value."""
        storages = set().union(*(_storages(self.steps[node].value) for node in executed.changed))
        now = self.order[executed.node]
        for node, other in list(self.steps.items()):
            if node is executed.node or not storages & _storages(other.value):
                continue
            if node in executed.changed and _is_all_of(step.value, other.value):
                self.steps[node] = step
            elif any(self.order[user] > now for user in node.users):
                note = (
                    f"{other.name} is changed by {step.name}, which works in place on a view of "
                    "it; write that out of place"
                )
                self.steps[node] = replace(
                    other, own=Bound(math.inf, "unknown", note=note), total=math.inf, piece=None,
                    operation=other.operation and replace(other.operation, unruly=note),
                )  # fmt: skip
                self.between.pop(self.steps[node], None)


def _attempt(rule: Callable[..., _T | None], *given: Any) -> _T | None:
    """What a rule says; nothing of arguments that it was not written for."""
    try:
        return rule(*given)
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, AssertionError):
        return None


def _together(joining: Any, operation: Operation, count: int) -> float:
    """The bound of a join from all its inputs taken as one, from what each adds alone."""
    single = [joining(operation, tuple(float(i == j) for j in range(count))) for i in range(count)]
    each = [bound.upper for bound in single]
    whole = joining(operation, (1.0,) * count).upper
    adds_up = whole > math.hypot(*each) * (1 + 1e-6)
    return outward(math.hypot(*each)) if adds_up else max(each)


def _times(factor: float, bound: float) -> float:
    """A product of bounds, rounded up; an operation that gives a constant stays constant."""
    return outward(times(factor, bound), 1e-15)


def _named(step: Step, note: str) -> str:
    return f"{step.name}: {note}" if note else note


def _storages(value: Any) -> set[int]:
    tensors = (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def _is_all_of(first: Any, second: Any) -> bool:
    """Whether two values are one tensor, entry for entry."""
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return False
    places = [(t.data_ptr(), t.shape, t.stride(), t.dtype) for t in (first, second)]
    return places[0] == places[1]
