"""Code on a network's modules that neither their type nor a graph of them shows.

Forward hooks, methods replaced on an instance, and methods replaced on torch's classes may do
anything. Those that demonstrably change nothing are taken off the copy that is analysed; a module
with others is kept whole, and has no bound.
"""

import collections
import functools
import itertools
import sys
import types
from collections.abc import Callable, Iterable, Iterator, MutableMapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as torch_module
from torch.utils import _pytree as pytree

import intriguing
from intriguing.graph.operation import plain_type
from intriguing.graph.recording import Aside, Recorder, Recording, record
from intriguing.graph.table import is_known, is_registered

_OURS = tuple(str(Path(str(package.__file__)).parent) for package in (torch, intriguing))
_WORDS = (bool, int, float, str, bytes)
_SILENT = (nn.Module, Tensor, types.ModuleType, type)
_KINDS = ("_forward_hooks", "_forward_pre_hooks")
_Table: TypeAlias = MutableMapping[int, Any]
_GLOBAL: tuple[_Table, ...] = (
    torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks,
)  # fmt: skip


def deviation(module: nn.Module) -> str | None:
    """Why a module is not what its type says, if it is not; for the copy that is analysed."""
    if module._forward_hooks or module._forward_pre_hooks:
        return "has forward hooks that change values, or could; remove them"
    if names := _replaced(module):
        return f"has its own {names[0]} in place of its class's; put the class's back"
    if is_known(module) and not is_registered(type(module)):
        name = patched(plain_type(module))
        if name is not None:
            return f"runs a {name} that is not torch's; put torch's back"
    return None


def first_deviation(root: nn.Module, name: str = "") -> str | None:
    """The first such module of a network or of its part of this name; None if there is none."""
    for inner, module in root.named_modules():
        if why := deviation(module):
            return f"{'.'.join(filter(None, (name, inner))) or 'the network'} {why}"
    return None


def strip_harmless(copy: nn.Module, network: nn.Module, image: Tensor) -> str | None:
    """Take hooks and replaced methods off a copy that change nothing of the network.

    A hook changes nothing if it gives None or what it was given, writes to no tensor that was there
    before, reads no value of the image, leaves its module's tensors as they are, and keeps no
    count. As its way then depends on no value, it is the same for every image. And what is left
    must do the same operations as the network with its hooks, in case they work together. A
    replaced method changes nothing if the class's does the same operations.

    Args:
        copy: Of the network, in evaluation mode; it is changed.
        network: As it was given; it is only run.
        image: A batch of one.

    Returns:
        Why the copy cannot stand for the network, if so.
    """
    tables = [
        (name, kind, table)
        for name, module in network.named_modules()
        for kind in _KINDS
        if (table := getattr(module, kind))
    ] + [("", "", table) for table in _GLOBAL if table]
    hooks = [[_Observed(hook) for hook in table.values()] for _, _, table in tables]
    whole = _run_observed(network, image, [table for _, _, table in tables], hooks)
    if tables:
        whole = _run_observed(network, image, [table for _, _, table in tables], hooks)
    taken = []
    for (name, kind, table), own in zip(tables, hooks, strict=True):
        if not kind and any(hook.changes for hook in own):
            return "a global forward hook of torch changes values, or could; remove it"
        theirs = getattr(copy.get_submodule(name), kind) if kind else {}
        for key, hook in zip(list(table), own, strict=True):
            if not hook.changes and key in theirs:
                taken.append((theirs, key, theirs.pop(key)))
    with without_global_hooks():
        alike = record(copy, image).same_as(whole)
    if not alike:  # what one hook kept, another or the network itself took up
        for theirs, key, hook in taken:
            theirs[key] = hook
        if first_deviation(copy) is None:
            return (
                "a copy of the network does something else than the network: code in it refers to "
                "parts of the network as they were, or it changes from call to call; let every "
                "module use its own parts only"
            )
    for module in copy.modules():
        _restore_harmless(copy, module, image)
    return None


@contextmanager
def without_global_hooks() -> Iterator[None]:
    """While a graph is traced and run, hooks on every module, known to be harmless, rest."""
    kept = [dict(table) for table in _GLOBAL]
    try:
        for table in _GLOBAL:
            table.clear()
        yield
    finally:
        for table, hooks in zip(_GLOBAL, kept, strict=True):
            table.update(hooks)


def _run_observed(
    network: nn.Module, image: Tensor, tables: Sequence[_Table],
    hooks: Sequence[Sequence["_Observed"]],
) -> Recording:  # fmt: skip
    """Run with every hook observed; what harmless ones do is left out of the recording."""
    seen = Recorder(network, image)
    kept = [dict(table) for table in tables]
    compiled = {
        module: own
        for module in network.modules()
        if (own := getattr(module, "_compiled_call_impl", None)) is not None
    }
    try:
        for module in compiled:
            module._compiled_call_impl = None
        for table, own in zip(tables, hooks, strict=True):
            for key, hook in zip(list(table), own, strict=True):
                hook.seen, table[key] = seen, hook
        seen.run()
    finally:
        for table, all_of_them in zip(tables, kept, strict=True):
            table.update(all_of_them)
        for module, own in compiled.items():
            module._compiled_call_impl = own
    return seen.recording


class _Observed:
    """A hook that is watched while it runs."""

    seen: Recorder

    def __init__(self, hook: Callable[..., Any]) -> None:
        self.hook = hook
        self.changes = False

    def __call__(self, module: nn.Module, *given: Any) -> Any:
        counts, tensors = numbers_of(self.hook), dict(_tensors(module))
        copies = {name: tensor.clone() for name, tensor in tensors.items()}
        with self.seen.aside(silent=not self.changes) as aside:
            result = self.hook(module, *given)
        now = dict(_tensors(module))
        kept = copies.keys() == now.keys() and all(
            not self.seen.depends(tensor) and torch.equal(tensor, copies[name])
            for name, tensor in now.items()
        )
        self.changes |= (
            not _nothing(result, given)
            or not kept
            or _acted(aside)
            or not steady(counts, numbers_of(self.hook))
        )
        return result


def _nothing(result: Any, given: tuple[Any, ...]) -> bool:
    """Whether what a hook gives is None, or just what it was given."""
    if result is None:
        return True
    mine, theirs = pytree.tree_leaves(result), pytree.tree_leaves(given[-1])
    if isinstance(result, Tensor) and len(given) == 1:  # of a pre-hook: one tensor for all of them
        theirs = pytree.tree_leaves(given[0])
    return len(mine) == len(theirs) and all(a is b for a, b in zip(mine, theirs, strict=True))


def _acted(aside: Aside) -> bool:
    return bool(aside.faults) or aside.changes


def _tensors(module: nn.Module) -> Iterable[tuple[str, Tensor]]:
    own = {**module._parameters, **module._buffers, **vars(module)}
    return ((name, value.detach()) for name, value in own.items() if isinstance(value, Tensor))


def _replaced(module: nn.Module) -> list[str]:
    """Methods of the class that the instance has others for."""
    return [
        name
        for name in vars(module)
        if isinstance(getattr(type(module), name, None), types.FunctionType)
    ]


def _restore_harmless(network: nn.Module, module: nn.Module, image: Tensor) -> None:
    names = _replaced(module)
    if not names:
        return
    own = {name: vars(module)[name] for name in names}
    replaced = record(network, image)
    for name in names:
        del vars(module)[name]
    try:
        same = not replaced.faults and record(network, image).same_as(replaced)
    except Exception:  # the class's own method may not fit this network: any error is possible
        same = False
    if not same:
        vars(module).update(own)


def patched(kind: type[nn.Module]) -> str | None:
    """A function that a class of torch's or ours runs, but that neither of us wrote; its name."""
    if not isinstance(kind.forward, types.FunctionType):
        return "forward"
    for name in ("forward", "__call__", "_call_impl", *kind.forward.__code__.co_names):
        if _foreign(getattr(kind, name, None), name, kind):
            return name
        used = getattr(functional, name, None)
        if _foreign(used, name):
            return f"torch.nn.functional.{name}"
        for inner in used.__code__.co_names if isinstance(used, types.FunctionType) else ():
            if _foreign(getattr(torch, inner, None), inner):
                return f"torch.{inner}"
    return None


def _foreign(function: Any, name: str, kind: type[nn.Module] | None = None) -> bool:
    """Whether a function is not the one that torch, or this package, has under this name."""
    if isinstance(function, types.BuiltinFunctionType):
        return kind is None and function.__name__.replace("_", "") != name.replace("_", "")
    if not isinstance(function, types.FunctionType):
        return False
    if not function.__code__.co_filename.startswith(_OURS):
        return True
    homes = () if kind is None else (c for c in kind.__mro__ if name in vars(c))
    home = next(iter(homes), None)
    # __call__ is another name of _wrapped_call_impl.
    own = {f"{home.__name__}.{name}", "Module._wrapped_call_impl"} if home is not None else set()
    return home is not None and function.__qualname__ not in own


def counts_of(network: nn.Module) -> dict[str, Any]:
    """Every number, flag and word that the network's modules, classes and functions keep."""
    return {
        name: (_plain(vars(module), 4), [_of_class(kind) for kind in type(module).__mro__])
        for name, module in network.named_modules()
    }


def _of_class(kind: type) -> Any:
    """What a class of the network's own keeps, its methods and what they use."""
    if kind.__module__.partition(".")[0] in ("torch", "builtins", "intriguing"):
        return None
    return {name: _plain(value, 4) for name, value in vars(kind).items()}


def first_change(before: dict[str, Any], after: dict[str, Any]) -> str | None:
    """The first module whose counts changed; None if none did."""
    return next((name for name in before if not steady(before[name], after[name])), None)


def steady(before: Any, after: Any) -> bool:
    """Whether no number changed; collections may grow by what is no number."""
    if isinstance(before, dict) and isinstance(after, dict):
        grown = [value for key, value in after.items() if key not in before]
        shared = [(value, after[key]) for key, value in before.items() if key in after]
    elif isinstance(before, list | tuple) and isinstance(after, list | tuple):
        grown, shared = list(after[len(before) :]), list(zip(before, after, strict=False))
    else:
        return type(before) is not type(after) or bool(before == after)
    return all(steady(*pair) for pair in shared) and not any(isinstance(g, _WORDS) for g in grown)


def numbers_of(thing: Any, depth: int = 4) -> Any:
    """The numbers, flags and words that a function or object keeps between calls."""
    if depth == 0 or thing is None or isinstance(thing, _SILENT):
        return None
    if isinstance(thing, types.FunctionType):
        cells = [_content(cell, depth) for cell in thing.__closure__ or ()]
        names = [name for name in thing.__code__.co_names if name in thing.__globals__]
        around = {name: _plain(thing.__globals__[name], depth - 1) for name in names}
        return cells, around, _plain(thing.__defaults__ or (), depth - 1)
    if isinstance(thing, types.MethodType):
        return numbers_of(thing.__self__, depth - 1), numbers_of(thing.__func__, depth - 1)
    if isinstance(thing, functools.partial):
        return numbers_of(thing.func, depth - 1), _plain(thing.args, depth - 1)
    if isinstance(thing, itertools.count):
        return repr(thing)
    return _plain(getattr(thing, "__dict__", {}), depth - 1)


def _content(cell: types.CellType, depth: int) -> Any:
    try:
        return _plain(cell.cell_contents, depth - 1)
    except ValueError:  # an empty cell
        return None


def _plain(thing: Any, depth: int) -> Any:
    if isinstance(thing, float):
        return repr(thing)  # NaN is not itself
    if isinstance(thing, _WORDS):
        return thing
    if depth == 0 or isinstance(thing, torch.Size) or sys.getsizeof(thing) > 1 << 20:
        return None
    if isinstance(thing, dict):
        return {key: _plain(value, depth - 1) for key, value in thing.items()}
    if isinstance(thing, list | tuple | collections.deque):
        return [_plain(value, depth - 1) for value in thing]
    return numbers_of(thing, depth)
