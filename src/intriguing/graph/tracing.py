"""A network as a `torch.fx` graph of operations, checked to compute what the network computes."""

import builtins
import io
import logging
import math
import operator
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize
from torch.utils import _pytree as pytree

from intriguing.errors import InputError
from intriguing.graph.hooks import (
    counts_of,
    deviation,
    first_change,
    first_deviation,
    strip_harmless,
    without_global_hooks,
)
from intriguing.graph.recording import DRAWS, READS, WRITES, Recording, record
from intriguing.graph.table import is_known, registered_functions
from intriguing.models.answers import one_tensor
from intriguing.models.interpreted import Interpreted

_HOW = (
    "rewrite the part that depends on values, or register a bound for the module it is in: "
    "intriguing.register_bound(ItsClass, bound)"
)
MIXED = (
    "so that its answer to one depends on those beside it; give a network that answers each image "
    "alone (batch norms with running statistics, no mean, sort, softmax or attention over dim 0)"
)
_FOLLOWS = {
    READS: f"so that its way can depend on them; {_HOW}",
    WRITES: "so that its answers can depend on what it saw before; keep nothing between calls",
    DRAWS: "so that it is not one function; take out what is random",
}
_OTHERWISE = "its graph does not do what the network does"
_SPELLED = {
    "truediv": "div", "itruediv": "div", "iadd": "add", "isub": "sub", "imul": "mul",
    "imatmul": "matmul", "__getitem__": "getitem",
}  # fmt: skip


def trace(
    model: nn.Module, network: nn.Module, example: Tensor, *, in_place: bool = True
) -> fx.GraphModule:
    """The graph of a network in evaluation mode, checked to be the network.

    Modules of torch and those with a registered bound stay whole, all others are looked into. What
    symbolic tracing cannot follow, `torch.export` tries with the shapes of the example.

    Args:
        model: A copy of the network, from which hooks that change nothing are taken off.
        network: As it was given.
        example: A batch of one image.
        in_place: False for a graph without writes in place, which only `torch.export` makes.

    Raises:
        InputError: If the network's way depends on the values it sees, on chance or on what it
            saw before, hooks or replaced methods change the whole of it, or no graph does the
            operations that the network does.
    """
    _check_tensor(model, example)
    if why := strip_harmless(model, network, example):
        raise InputError(f"the network cannot be traced: {why}")
    with without_global_hooks():
        if why := deviation(model):
            raise InputError(f"the network {why}")
        recording = _steady_recording(model, example)
        if not in_place:
            return _exported(model, example, None, in_place=False)
        reason: Exception | None = None
        try:
            traced: fx.GraphModule = Interpreted(model, Tracer().trace(model))
            seen = record(traced, example)
            if not seen.faults and seen.same_as(recording):
                return traced
        except Exception as error:
            reason = error
        if why := first_deviation(model):
            raise InputError(f"the network cannot be traced, and {why}")
        return _exported(model, example, reason)


class Tracer(fx.Tracer):
    """Follows a network by symbols; modules with a rule, and one that is named, stay whole.

    Attributes:
        taken, given: By a module's path: the node that its last call took first, and gave.
    """

    def __init__(self, whole: nn.Module | None = None) -> None:
        super().__init__(autowrap_functions=registered_functions())
        self.whole = whole
        self.taken: dict[str, fx.Node] = {}
        self.given: dict[str, fx.Node] = {}

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        known = m is self.whole or is_known(m) or deviation(m) is not None
        return known or super().is_leaf_module(m, module_qualified_name)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:  # fmt: skip
        path = self.path_of_module(m)
        given = super().call_module(m, forward, args, kwargs)
        for place, value in ((self.taken, args[0] if args else None), (self.given, given)):
            place.pop(path, None)
            if isinstance(value, fx.Proxy):
                place[path] = value.node
        return given


def symbolic_graph(
    model: nn.Module, whole: nn.Module | None = None
) -> tuple[fx.GraphModule, Tracer]:
    """The graph of a network as symbols follow it, unchecked, and what they met on the way.

    Raises:
        InputError: If they cannot.
    """
    tracer = Tracer(whole)
    try:
        return Interpreted(model, tracer.trace(model)), tracer
    except Exception as error:  # tracing runs the model's own code: any error is possible
        raise InputError(f"the network's graph cannot be traced: {first_line(error)}") from error


def _check_tensor(model: nn.Module, example: Tensor) -> None:
    with torch.no_grad():
        given = one_tensor(model(example.clone()), tuple(example.shape))
    if not given.ndim or len(given) != 1:
        raise InputError(
            f"the network gives {tuple(given.shape)} for one image; its first axis must be the "
            "batch's"
        )


def _steady_recording(model: nn.Module, example: Tensor) -> Recording:
    """What the network does, if it does the same every time and depends on no value it sees."""
    first = record(model, example)
    counts = counts_of(model)
    second = record(model, example)
    third = record(model, example)
    for fault in first.faults:
        if why := first_deviation(model):
            raise InputError(f"{why} (it {fault.what})")
        where = f" in {fault.module}" if fault.module else ""
        raise InputError(
            f"the network cannot be traced: it {fault.what}{where}, {_FOLLOWS[fault.what]}"
        )
    changed = first_change(counts, counts_of(model))
    if changed is not None:
        if why := first_deviation(model):
            raise InputError(f"{why} (it counts its calls)")
        where = f" of {changed}" if changed else ""
        raise InputError(
            f"the network cannot be traced: it counts its calls, a number{where} changes from one "
            "to the next, and its answers with it, or they could; remove that from the network"
        )
    if not (second.same_as(first) and third.same_as(first)):
        if why := first_deviation(model):
            raise InputError(f"{why} (it does not do the same every time)")
        raise InputError(
            "the network cannot be traced: it does not do the same to the same image when it is "
            "asked again; give one that keeps nothing between calls and draws no random numbers"
        )
    return first


def _exported(
    model: nn.Module, example: Tensor, reason: Exception | None, *, in_place: bool = True
) -> fx.GraphModule:
    """The graph that `torch.export` finds, with weights as attributes.

    It writes source code with the names of layers in it, so it gets only names that are harmless.
    """
    said = _OTHERWISE if reason is None else f"{type(reason).__name__}: {first_line(reason)}"
    for name, _ in model.named_modules():
        if re.search(r"[^\w.]", name):
            raise InputError(
                f"the network cannot be traced by symbols ({said}), nor exported with a layer "
                f"called {name!r}; use letters, digits and underscores in names of layers"
            ) from reason
    try:
        with _quiet():
            program = torch.export.export(model, (example,))
            module = (program if in_place else program.run_decompositions({})).module()
    except Exception as second:
        raise InputError(f"the network cannot be traced ({said}); {_HOW}") from second
    assert isinstance(module, fx.GraphModule)
    with torch.no_grad():
        given, expected = module(example.clone()), model(example.clone())
    leaves = pytree.tree_leaves(given)
    if len(leaves) != 1 or not agree(leaves[0], expected):
        raise InputError(f"the network cannot be traced ({_OTHERWISE}); {_HOW}")
    return module


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch.export prints and logs about a network it refuses away from the user."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def agree(given: Tensor, expected: Tensor, eps: float | None = None) -> bool:
    """Whether two computations of the same logits agree to half the digits of their arithmetic."""
    scale = float(expected.abs().nan_to_num().max()) if expected.numel() else 0.0
    allowed = math.sqrt(torch.finfo(expected.dtype).eps if eps is None else eps) * scale
    return given.shape == expected.shape and torch.allclose(
        given, expected, rtol=0.0, atol=allowed, equal_nan=True
    )


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).strip() or repr(error)).splitlines()[0]


def operation_name(node: fx.Node, module: nn.Module | None) -> str:
    """What torch calls the operation: "conv2d", "add"; "" if the function is not torch's own."""
    target: Any = node.target
    if module is not None:
        kind = type(module)
        plain = kind.__bases__[0] if parametrize.is_parametrized(module) else kind
        return plain.__name__
    if node.op == "call_method":
        return _plain(str(target))
    if isinstance(target, torch._ops.OpOverload):
        return _plain(target._schema.name.split("::")[1])
    name = getattr(target, "__name__", "")
    if not _is_torch(target):
        return ""
    if target is getattr:
        return str(node.args[1])
    return _plain(name)


def _plain(name: str) -> str:
    """One name for an operation, its operator and its form that works in place."""
    name = _SPELLED.get(name, name)
    return name if name.startswith("__") else name.rstrip("_")


def _is_torch(target: Callable[..., Any]) -> bool:
    home = getattr(target, "__module__", "") or ""
    if target in (operator.getitem, getattr) or home in ("_operator", "operator"):
        return True
    if home in (builtins.__name__, math.__name__):
        return getattr(builtins, target.__name__, None) is target or home == math.__name__
    of_tensors = getattr(target, "__objclass__", None) in (torch._C.TensorBase, Tensor)
    return of_tensors or home.split(".")[0] == "torch"
