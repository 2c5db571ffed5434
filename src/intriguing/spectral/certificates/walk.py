"""The walk through a network's graph, from the image to the logits, with a bound at every step.

Every tensor that depends on the input carries a Lipschitz bound relative to the input. A layer
multiplies it, joins combine those of several tensors, and linear maps one after the other are
composed before their norm is taken: a batch norm with its convolution, a normalisation with the
layer after it, a skip connection with a branch that is linear.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import torch
from torch import Tensor, fx, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.execution import Executed, execute
from intriguing.graph.hooks import first_deviation
from intriguing.graph.interval import Ends
from intriguing.graph.linear_map import linear_map
from intriguing.graph.operation import Operation
from intriguing.graph.operations.linear import MULTILINEAR
from intriguing.graph.table import curve_of, is_affine, join_of, kind_of, rule_of
from intriguing.graph.value_range import entry_range, value_range
from intriguing.measures import Box
from intriguing.spectral.certificates.piecewise import origins, steepest
from intriguing.spectral.norms.bound import Bound, outward, times
from intriguing.spectral.norms.dense_norm import dense_norm
from intriguing.spectral.norms.linear_map import (
    Convolution,
    Diagonal,
    LinearMap,
    Matrix,
    composed,
    lacks_batch,
    negative,
    stacked,
    summed,
)

_EITHER_SIDE = {"add", "sub", "subtract", "rsub", "mul", "multiply", "matmul", "mm"} | MULTILINEAR
_SUMS = {"add", "sub", "subtract"}
_LINEAR_JOINS = _SUMS | {"cat", "concat", "concatenate", "stack", "hstack", "vstack"}
KEEPS = {
    "add", "sub", "subtract", "clone", "to", "float", "double", "type_as", "detach", "_to_copy",
    "Identity", "contiguous", "dropout", "Dropout", "Dropout1d", "Dropout2d", "Dropout3d",
    "AlphaDropout", "FeatureAlphaDropout",
}  # fmt: skip
JUMPS = {
    "sign", "sgn", "heaviside", "round", "floor", "ceil", "trunc", "fix", "frac", "fmod",
    "remainder", "floordiv", "floor_divide", "mod", "hardshrink", "Hardshrink", "threshold",
    "Threshold", "half", "bfloat16", "quantize_per_tensor", "fake_quantize_per_tensor_affine",
    "bernoulli", "copysign", "nextafter",
}  # fmt: skip
_REORDERS = {
    "flatten", "reshape", "view", "unflatten", "squeeze", "unsqueeze", "permute", "transpose",
    "Flatten", "Unflatten",
}  # fmt: skip
_UNRULY = "not what it seems"
"""In the place of an operation's name: one that no rule is written for."""
_T = TypeVar("_T")


@dataclass(frozen=True)
class Piece:
    """A linear part of the network: from the value of `origin`, through `layers` linear maps.

    `map` is what they do together, None if that has no short form; without layers it is nothing.
    """

    origin: "Step"
    map: LinearMap | None = None
    layers: int = 0


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


@dataclass(frozen=True)
class Walk:
    """The steps that a network's answer depends on, in order, and the bound of the whole."""

    steps: tuple[Step, ...]
    upper: float

    @property
    def guaranteed(self) -> bool:
        """Whether every bound that it rests on is proved."""
        return all(step.own.guaranteed for step in self.steps)


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
        target: Any = operation.module if operation.module is not None else executed.node.target
        parents = tuple(self.steps[source] for source in executed.sources)
        step = Step(
            _label(executed.node), kind_of(target, operation.name), operation, parents,
            _unknown(executed.node, target, operation), math.inf, executed.value,
        )  # fmt: skip
        why = None
        if operation.module is not None:
            why = first_deviation(operation.module, step.name)
        elif operation.kwargs.get("out") is not None:
            why = f"{step.name} writes into out=; give its value a name instead"
        if why is not None:
            step.operation = _unruly(operation)
            step.own = replace(step.own, note=why)
            return step
        if _whole(step.value):
            return step
        rule, joining = rule_of(target, operation.name), join_of(target, operation.name)
        alone = len(parents) == 1 and operation.name in _EITHER_SIDE
        if rule is not None and (operation.first_moves or alone):
            own: Bound | None
            if is_affine(rule):
                step.piece = _attempt(_continued, step, parents[0])
                if self._waits(executed.node, step):
                    return step
            own = self._fused(step) or _attempt(rule, operation)
            if own is not None:
                if math.isinf(own.upper):  # a map that is affine is bounded
                    step.piece, own = None, replace(own, note=_named(step, own.note))
                self._multiply(step, own)
                return step
            step.piece = None
        if joining is not None:
            self._join(step, joining)
        return step

    def _waits(self, node: fx.Node, step: Step) -> bool:
        """Leave it to the batch norm that follows to bound this layer with itself."""
        if len(node.users) != 1 or step.ends.map is None:
            return False
        after = next(iter(node.users))
        layer = self.modules.get(str(after.target)) if after.op == "call_module" else None
        fusible = isinstance(layer, _BatchNorm) and layer.running_var is not None
        step.fused = fusible and isinstance(linear_map(_call(step)), Convolution | Matrix)
        return step.fused

    def _fused(self, step: Step) -> Bound | None:
        """The bound of a batch norm together with the layer that waited for it."""
        layer = step.parents[0]
        if not layer.fused:
            return None
        first = linear_map(_call(layer))
        assert first is not None
        second = linear_map(_call(step))
        together = None if second is None else composed(second, first, layer.value.shape)
        if together is None:
            layer.fused = False
            self._multiply(layer, Bound(first.norm(), _formula(first)))
            return None
        step.name, step.kind = f"{layer.name} + {step.name}", layer.kind
        return Bound(together.norm(), f"{_formula(first)}, batch norm fused")

    def _multiply(self, step: Step, own: Bound) -> None:
        """Own bound times the parent's, or the norm of the whole linear part if that is less."""
        parent, alone = step.parents[0], 1
        if parent.fused:
            parent, alone = parent.parents[0], 2
        before = parent.total if step.piece else self.settled(parent)
        step.own, step.total = own, _times(own.upper, before)
        piece = step.ends
        if piece.layers > alone and piece.map is not None:
            step.total = min(step.total, _times(piece.map.norm(), piece.origin.total))

    def _join(self, step: Step, joining: Any) -> None:
        operation, parents = _call(step), step.parents
        if self.radius is not None:
            ranges = tuple(
                value_range(p.operation, p.value, self.settled(p), self.radius, self.between.get(p))
                for p in parents
            )
            operation = step.operation = replace(operation, ranges=ranges)
        bound = _attempt(joining, operation, tuple(self.settled(parent) for parent in parents))
        if bound is None:
            return
        if math.isinf(bound.upper):
            bound = replace(bound, note=_named(step, bound.note))
        step.kind, step.total = "join", bound.upper
        step.own = replace(bound, upper=_together(joining, operation, len(parents)))
        pieces = [parent.ends for parent in parents]
        one_origin = all(piece.origin is pieces[0].origin for piece in pieces)
        if operation.name in _LINEAR_JOINS and one_origin:
            origin = pieces[0].origin
            layers = 1 + max(piece.layers for piece in pieces)
            step.piece = Piece(origin, _joined(operation, pieces), layers)
            if step.piece.map is not None:
                step.total = min(step.total, _times(step.piece.map.norm(), origin.total))

    def _in_pieces(self, step: Step) -> None:
        """Bound what acts on every number by itself from where it started: masks, x·x, 1/x."""
        operation, several = _call(step), len(step.parents) > 1
        if curve_of(operation.module, operation.name) is None or _whole(step.value):
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
                    operation=other.operation and _unruly(other.operation),
                )  # fmt: skip
                self.between.pop(self.steps[node], None)


def _unruly(operation: Operation) -> Operation:
    """An operation that no rule may know again by its type: nothing holds of what it gives."""
    return replace(operation, module=None, name=_UNRULY)


def _attempt(rule: Callable[..., _T | None], *given: Any) -> _T | None:
    """What a rule says; nothing of arguments that it was not written for."""
    try:
        return rule(*given)
    except InputError:
        raise
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError, AssertionError):
        return None


def fused_map(step: Step) -> LinearMap | None:
    """The step alone as a linear map, a batch norm with the layer that waited for it."""
    if step.operation is None or step.kind not in ("linear", "convolution"):
        return None
    map = linear_map(step.operation)
    if not step.parents[0].fused:
        return map
    first = linear_map(_call(step.parents[0]))
    if map is None or first is None:
        return None
    return composed(map, first, step.parents[0].value.shape)


def _call(step: Step) -> Operation:
    assert step.operation is not None
    return step.operation


def _continued(step: Step, parent: Step) -> Piece | None:
    """The linear part that ended at the parent, through this operation; None begins a new one."""
    base, operation = parent.ends, _call(step)
    map = linear_map(operation)
    if map is None and step.kind != "shape":
        return Piece(base.origin, None, base.layers + 1)
    if map is None:
        if operation.name in KEEPS and step.value.shape == parent.value.shape:
            return base
        if base.layers == 0:
            return None
        return Piece(base.origin, _rearranged(base.map, operation, parent.value), base.layers)
    if base.layers == 0:
        return Piece(base.origin, map, 1)
    whole = None if base.map is None else composed(map, base.map, parent.value.shape)
    return Piece(base.origin, whole, base.layers + 1)


def _rearranged(map: LinearMap | None, operation: Operation, x: Tensor) -> LinearMap | None:
    if not isinstance(map, Diagonal) or not isinstance(operation.output, Tensor):
        return None
    if operation.output.numel() != x.numel() or operation.name not in _REORDERS:
        return None
    return Diagonal(operation.again(map.scale.expand(x.shape)))


def _joined(operation: Operation, pieces: list[Piece]) -> LinearMap | None:
    """Linear parts that begin at one place, added up or side by side."""
    x = pieces[0].origin.value
    one = Diagonal(torch.ones(1, dtype=x.dtype, device=x.device))
    maps = [piece.map if piece.layers else one for piece in pieces]
    whole = [map for map in maps if map is not None]
    if len(whole) < len(maps) or operation.given(2, "alpha", 1) != 1:
        return None
    if operation.name in _SUMS:
        second = whole[1] if operation.name == "add" else negative(whole[1])
        return summed(whole[0], second, x.shape)
    channels = operation.given(1, "dim", 0) in (1, 1 - operation.output.ndim)
    channels = channels and not any(lacks_batch(x.shape, map) for map in whole)
    return stacked(whole) if operation.name.startswith("c") and channels else None


def between(origin: Step, end: Step, value: Any) -> Tensor:
    """What `end` would be if `origin`, where its linear part begins, were `value`."""
    known: dict[Step, Any] = {origin: value}
    for step in _needed_from(origin, end):
        known[step] = _call(step).again(*(known[parent] for parent in step.parents))
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


def _together(joining: Any, operation: Operation, count: int) -> float:
    """The bound of a join from all its inputs taken as one, from what each adds alone."""
    single = [joining(operation, tuple(float(i == j) for j in range(count))) for i in range(count)]
    each = [bound.upper for bound in single]
    whole = joining(operation, (1.0,) * count).upper
    adds_up = whole > math.hypot(*each) * (1 + 1e-6)
    return outward(math.hypot(*each)) if adds_up else max(each)


def _formula(map: LinearMap) -> str:
    return map.formula if isinstance(map, Convolution) else "largest singular value"


def _times(factor: float, bound: float) -> float:
    """A product of bounds, rounded up; an operation that gives a constant stays constant."""
    return outward(times(factor, bound), 1e-15)


def _named(step: Step, note: str) -> str:
    return f"{step.name}: {note}" if note else note


def _whole(value: Any) -> bool:
    """Whether all of it are masks and whole numbers, which cannot change but by jumps."""
    kinds = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, (Tensor, int, bool))]
    real = any(isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex()) for t in kinds)
    return bool(kinds) and not real


def _storages(value: Any) -> set[int]:
    tensors = (leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor))
    return {tensor.untyped_storage().data_ptr() for tensor in tensors}


def _is_all_of(first: Any, second: Any) -> bool:
    """Whether two values are one tensor, entry for entry."""
    if not isinstance(first, Tensor) or not isinstance(second, Tensor):
        return False
    places = [(t.data_ptr(), t.shape, t.stride(), t.dtype) for t in (first, second)]
    return places[0] == places[1]


def _label(node: fx.Node) -> str:
    """The module's path, or the function's name and number."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(entry[0]) for entry in reversed(stack.values())), "")
    return f"{path}.{node.name}" if path and not path.startswith("L[") else node.name


def _unknown(node: fx.Node, target: Any, operation: Operation) -> Bound:
    """What is said of an operation that has no bound."""
    what = type(target).__name__ if isinstance(target, nn.Module) else node.name
    register = what if isinstance(target, nn.Module) else "ModuleThatCallsIt"
    name = operation.name or getattr(target, "__name__", str(target))
    if _whole(operation.output) or name in JUMPS:
        return Bound(
            math.inf, "jumps",
            note=f"{_label(node)}: {name!r} jumps, so that no finite bound holds of what depends "
            "on it; of masks it does where both sides agree at the threshold",
        )  # fmt: skip
    if curve_of(operation.module, operation.name) is not None:
        return Bound(
            math.inf, "steep",
            note=f"{_label(node)}: {name!r} is not bounded wherever its arguments can be; it may "
            "be on a (smaller) domain=Box(lower, upper); if you know a bound, "
            f"intriguing.register_bound({register}, bound)",
        )  # fmt: skip
    return Bound(
        math.inf, "unknown",
        note=f"{_label(node)}: no bound is known for {name!r}; if you know one, "
        f"intriguing.register_bound({register}, bound)",
    )  # fmt: skip
