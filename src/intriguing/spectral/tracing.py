"""A network as a `torch.fx` graph of operations, checked to compute what the network computes."""

import builtins
import math
import operator
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.nn.utils import parametrize

from intriguing.errors import InputError
from intriguing.models.interpreted import Interpreted
from intriguing.spectral.rules.registry import is_known, registered_functions

_HOW = (
    "rewrite the part that depends on values, or register a bound for the module it is in: "
    "intriguing.register_bound(ItsClass, bound)"
)
_SPELLED = {
    "truediv": "div", "itruediv": "div", "iadd": "add", "isub": "sub", "imul": "mul",
    "imatmul": "matmul", "__getitem__": "getitem",
}  # fmt: skip


def trace(model: nn.Module, example: Tensor) -> fx.GraphModule:
    """The graph of a network in evaluation mode.

    Modules of torch and those with a registered bound stay whole, all others are looked into. What
    symbolic tracing cannot follow, `torch.export` tries with the shapes of the example.

    Args:
        model: The network.
        example: A batch of one image; the graph must answer it as the network does.

    Raises:
        InputError: If the network's way depends on the values it sees, or the graph answers
            otherwise than the network.
    """
    if model._forward_hooks or model._forward_pre_hooks:
        raise InputError("the network has forward hooks, which a graph does not show; remove them")
    try:
        tracer = _Tracer(autowrap_functions=registered_functions())
        traced: fx.GraphModule = Interpreted(model, tracer.trace(model))
    except Exception as reason:
        traced = _exported(model, example, reason)
    _check(model, traced, example)
    return traced


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return is_known(m) or super().is_leaf_module(m, module_qualified_name)


def _exported(model: nn.Module, example: Tensor, reason: Exception) -> fx.GraphModule:
    """The graph that `torch.export` finds, with weights as attributes.

    It writes source code with the names of layers in it, so it gets only names that are harmless.
    """
    for name, _ in model.named_modules():
        if re.search(r"[^\w.]", name):
            raise InputError(
                f"the network cannot be traced by symbols ({_first(reason)}), nor exported with a "
                f"layer called {name!r}; use letters, digits and underscores in names of layers"
            ) from reason
    try:
        module = torch.export.export(model, (example,)).module()
    except Exception as second:
        raise InputError(f"the network cannot be traced ({_first(reason)}); {_HOW}") from second
    assert isinstance(module, fx.GraphModule)
    return module


def _first(reason: Exception) -> str:
    lines = str(reason).strip().splitlines()
    return f"{type(reason).__name__}: {lines[0]}" if lines else repr(reason)


def _check(model: nn.Module, traced: fx.GraphModule, example: Tensor) -> None:
    with torch.no_grad():
        expected = model(example.clone())
        if not isinstance(expected, Tensor):
            raise InputError(
                f"the network gives {type(expected).__name__}, not one tensor; wrap it so that it "
                "gives its logits"
            )
        given = traced(example.clone())
    if isinstance(given, (tuple, list)):
        given = given[0]
    if not torch.allclose(given, expected, rtol=1e-6, atol=1e-9, equal_nan=True):
        raise InputError(
            "the network's graph gives other values than the network: it changes tensors in place "
            "or draws random numbers in a way that tracing does not see; write `x = x + y` for "
            "`x += y`, and take out what is random"
        )


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
