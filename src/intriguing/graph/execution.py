"""A traced network run on one example image, operation by operation."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, fx, nn
from torch.nn import functional
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.hooks import first_deviation
from intriguing.graph.operation import Operation
from intriguing.graph.precision import InFloat64, arithmetic
from intriguing.graph.table import rule_named, rule_of
from intriguing.graph.tracing import operation_name

_REORDERED = {"batch_norm": (0, 3, 4, 1, 2, 5, 6, 7), "instance_norm": (0, 3, 4, 1, 2, 5, 6, 7)}
"""Where `torch.nn.functional` has the arguments that `torch` itself orders otherwise."""


@dataclass(frozen=True)
class Executed:
    """A node that depends on the input, and what it did.

    Attributes:
        node: The node of the graph.
        operation: The call with its values; None for the input itself.
        sources: The nodes that its moving tensors come from, in order.
        value: What it gave.
        changed: Nodes whose tensors it changed in place.
        filled: Whether it changed one that does not depend on the input.
    """

    node: fx.Node
    operation: Operation | None
    sources: tuple[fx.Node, ...]
    value: Any
    changed: tuple[fx.Node, ...] = ()
    filled: bool = False


def execute(graph: fx.GraphModule, example: Tensor) -> Iterator[Executed]:
    """Run the graph on one example, a batch of 1, and give what depends on it, node by node."""
    modules, float64 = dict(graph.named_modules()), arithmetic(graph)
    values: dict[fx.Node, Any] = {}
    moving: set[fx.Node] = set()
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = example.clone()
            moving.add(node)
            yield Executed(node, None, (), values[node])
        elif node.op == "get_attr":
            values[node] = _attribute(graph, str(node.target))
        elif node.op != "output":
            module = modules[str(node.target)] if node.op == "call_module" else None
            done = _run(node, module, values, moving, float64)
            values[node] = done.value
            if done.sources and done.operation and not rule_of(done.operation).shape_only:
                moving.add(node)
                yield done


def described(node: fx.Node, modules: Mapping[str, nn.Module]) -> Operation:
    """A node as an operation that was not run: its arguments are as the graph has them."""
    module = modules.get(str(node.target)) if node.op == "call_module" else None
    name = operation_name(node, module) if node.op.startswith("call") else ""
    arguments = tuple(node.args), dict(node.kwargs)
    return Operation(name, module, *arguments, (), None, None, function=node.target)  # type: ignore[arg-type]


def fills_constants(graph: fx.GraphModule, example: Tensor) -> bool:
    """Whether values that depend on the input are written into a tensor that did not.

    Whatever the graph does with that tensor elsewhere then depends on the input, too, and no edge
    of the graph says so.
    """
    return any(done.filled for done in execute(graph, example))


def _run(
    node: fx.Node, module: nn.Module | None, values: dict[fx.Node, Any], moving: set[fx.Node],
    float64: InFloat64,
) -> Executed:  # fmt: skip
    leaves, shape = pytree.tree_flatten(_opened((node.args, node.kwargs)), is_leaf=_is_node)
    places = [i for i, leaf in enumerate(leaves) if isinstance(leaf, fx.Node) and leaf in moving]
    name = operation_name(node, module)
    if module is None and rule_named(name).others_shape_only:
        places = [place for place in places if place == 0]
    sources = tuple(leaves[i] for i in places)
    filled = [values[leaf] if isinstance(leaf, fx.Node) else leaf for leaf in leaves]
    kept = {
        source: pytree.tree_map_only(Tensor, Tensor.clone, values[source]) for source in sources
    }
    inputs = tuple(kept[source] for source in sources)
    call = _callable(node, module)

    def again(*given: Any) -> Any:
        anew = list(filled)
        for place, value in zip(places, given, strict=True):
            anew[place] = pytree.tree_map_only(Tensor, Tensor.clone, value)
        args, kwargs = _closed(pytree.tree_unflatten(anew, shape))
        return _called(call, args, kwargs, float64)

    versions = {source: _version(values[source]) for source in sources}
    others = [leaf for place, leaf in enumerate(filled) if place not in places]
    steady = _version(others)
    args, kwargs = _closed(pytree.tree_unflatten(filled, shape))
    try:
        with torch.no_grad():
            value = _called(call, args, kwargs, float64)
    except Exception as error:
        first = (str(error).strip() or repr(error)).splitlines()[0]
        raise InputError(
            f"{node.target if module is not None else node.name} cannot be run in float64, in "
            f"which bounds are computed: {first}; register a bound for the module it is in: "
            "intriguing.register_bound(ItsClass, bound)"
        ) from error
    changed = tuple(s for s in dict.fromkeys(sources) if _version(values[s]) != versions[s])
    wrote = steady != _version(others)
    for place, kept_value in zip(places, inputs, strict=True):
        filled[place] = kept_value
    args, kwargs = _closed(pytree.tree_unflatten(filled, shape))
    if name in _REORDERED and node.target is not getattr(functional, name):
        args = tuple(args[place] for place in _REORDERED[name] if place < len(args))
    operation = Operation(
        name, module, tuple(args), dict(kwargs), inputs, value, again, function=node.target,
        unruly=_unruly(node, module),
    )  # fmt: skip
    return Executed(node, operation, sources, value, changed, bool(sources) and wrote)


def _unruly(node: fx.Node, module: nn.Module | None) -> str:
    """Why it is not what it seems to be."""
    if module is not None:
        return first_deviation(module, label(node)) or ""
    if node.kwargs.get("out") is not None:
        return f"{label(node)} writes into out=; give its value a name instead"
    return ""


def label(node: fx.Node) -> str:
    """The module's path, or the function's name and number."""
    if node.op == "call_module":
        return str(node.target)
    stack = node.meta.get("nn_module_stack") or {}
    path = next((str(entry[0]) for entry in reversed(stack.values())), "")
    return f"{path}.{node.name}" if path and not path.startswith("L[") else node.name


def _called(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], float64: InFloat64
) -> Any:
    """The operation in float64, or in float32 where torch has it in that only."""
    try:
        with float64:
            return call(*args, **kwargs)
    except (RuntimeError, NotImplementedError) as error:
        single = pytree.tree_map_only(Tensor, _single, (args, kwargs))
        try:
            value = call(*single[0], **single[1])
        except Exception:
            raise error from None
        return pytree.tree_map_only(Tensor, _double, value)


def _single(value: Tensor) -> Tensor:
    return value.float() if value.dtype == torch.float64 else value


def _double(value: Tensor) -> Tensor:
    return value.double() if value.dtype == torch.float32 else value


def _callable(node: fx.Node, module: nn.Module | None) -> Callable[..., Any]:
    if module is not None:
        return module
    target: Any = node.target
    if node.op == "call_method":
        return lambda first, *args, **kwargs: getattr(first, target)(*args, **kwargs)
    return target  # type: ignore[no-any-return]


class _Slice(NamedTuple):
    """A slice whose ends may be nodes, which those of a real one are not looked through for."""

    start: Any
    stop: Any
    step: Any


def _opened(value: Any) -> Any:
    if isinstance(value, slice):
        return _Slice(value.start, value.stop, value.step)
    if isinstance(value, (tuple, list)):
        return type(value)(map(_opened, value))
    return {k: _opened(v) for k, v in value.items()} if isinstance(value, dict) else value


def _closed(value: Any) -> Any:
    if isinstance(value, _Slice):
        return slice(*value)
    if isinstance(value, (tuple, list)):
        parts = [_closed(part) for part in value]
        same = all(new is old for new, old in zip(parts, value, strict=True))
        return value if same else type(value)(parts)
    return {k: _closed(v) for k, v in value.items()} if isinstance(value, dict) else value


def _is_node(leaf: Any) -> bool:
    return isinstance(leaf, fx.Node)


def _version(value: Any) -> tuple[int, ...]:
    return tuple(t._version for t in pytree.tree_leaves(value) if isinstance(t, Tensor))


def _attribute(root: nn.Module, path: str) -> Any:
    found: Any = root
    for part in path.split("."):
        found = getattr(found, part)
    return found
