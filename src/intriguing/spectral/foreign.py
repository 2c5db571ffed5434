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
from intriguing.spectral.rules.registry import is_known, is_registered, plain_type
from intriguing.spectral.witness import Aside, Watching, Witness, watch

_OURS = tuple(str(Path(str(package.__file__)).parent) for package in (torch, intriguing))
_WORDS = (bool, int, float, str, bytes)
_SILENT = (nn.Module, Tensor, types.ModuleType, type)
_Table: TypeAlias = MutableMapping[int, Any]
_GLOBAL: tuple[_Table, ...] = (
    torch_module._global_forward_hooks, torch_module._global_forward_pre_hooks,
)  # fmt: skip


def strange(module: nn.Module) -> str | None:
    """Why a module is not what its type says, if it is not; for the copy that is analysed."""
    if module._forward_hooks or module._forward_pre_hooks:
        return "has forward hooks that change values, or could; remove them"
    if names := _replaced(module):
        return f"has its own {names[0]} in place of its class's; put the class's back"
    if getattr(module, "_compiled_call_impl", None) is not None:
        return "was compiled in place; analyse the network before module.compile()"
    if is_known(module) and not is_registered(type(module)):
        name = patched(plain_type(module))
        if name is not None:
            return f"runs a {name} that is not torch's; put torch's back"
    return None


def first_strange(root: nn.Module, name: str = "") -> str | None:
    """The first strange module of a network or of its part of this name; None if there is none."""
    for inner, module in root.named_modules():
        if why := strange(module):
            return f"{'.'.join(filter(None, (name, inner))) or 'the network'} {why}"
    return None


def strip_harmless(network: nn.Module, image: Tensor) -> str | None:
    """Take hooks and replaced methods off that change nothing; says what global hooks change.

    A hook changes nothing if it gives None or what it was given, writes to no tensor that was there
    before, reads no value of the image, leaves its module's tensors as they are, and keeps no
    count. As its way then depends on no value, it is the same for every image. A replaced method
    changes nothing if the class's does the same operations.

    Args:
        network: A copy, in evaluation mode; it is changed.
        image: A batch of one.
    """
    tables = [
        (module, table)
        for module in network.modules()
        for table in (module._forward_hooks, module._forward_pre_hooks)
        if table
    ] + [(None, table) for table in _GLOBAL if table]
    if tables:
        hooks = [[_Observed(hook) for hook in table.values()] for _, table in tables]
        _run_observed(network, image, tables, hooks)
        judged = _run_observed(network, image, tables, hooks)
        if any(
            one.changes for (m, _), own in zip(tables, hooks, strict=True) for one in own if not m
        ):
            return "a global forward hook of torch changes values, or could; remove it"
        before = [dict(table) for _, table in tables]
        for (module, table), own in zip(tables, hooks, strict=True):
            for key, hook in zip(list(table), own, strict=True):
                if module is not None and not hook.changes:
                    del table[key]
        with without_global_hooks():
            apart = watch(network, image)
        if not apart.does_as(judged):  # what one hook kept, another or the network itself took up
            for (_, table), all_of_them in zip(tables, before, strict=True):
                table.update(all_of_them)
    for module in network.modules():
        _restore_harmless(network, module, image)
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
    network: nn.Module, image: Tensor, tables: Sequence[tuple[nn.Module | None, _Table]],
    hooks: Sequence[Sequence["_Observed"]],
) -> Witness:  # fmt: skip
    """Run with every hook observed; what harmless ones do is left out of the witness."""
    seen = Watching(network, image)
    kept = [dict(table) for _, table in tables]
    try:
        for (_, table), own in zip(tables, hooks, strict=True):
            for key, hook in zip(list(table), own, strict=True):
                hook.seen, table[key] = seen, hook
        seen.run()
    finally:
        for (_, table), all_of_them in zip(tables, kept, strict=True):
            table.update(all_of_them)
    return seen.witness


class _Observed:
    """A hook that is watched while it runs."""

    seen: Watching

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
    replaced = watch(network, image)
    for name in names:
        del vars(module)[name]
    try:
        same = not replaced.faults and watch(network, image).does_as(replaced)
    except Exception:  # the class's own method may not fit this network: any error is possible
        same = False
    if not same:
        vars(module).update(own)


def patched(kind: type[nn.Module]) -> str | None:
    """A function that a class of torch's or ours runs, but that neither of us wrote."""
    forward = kind.forward
    if _foreign(forward, kind, "forward"):
        return "forward"
    for name in forward.__code__.co_names:
        if _foreign(getattr(kind, name, None), kind, name):
            return name
        if _foreign(getattr(functional, name, None), None, name):
            return f"torch.nn.functional.{name}"
    return next(
        (name for name in ("__call__", "_call_impl") if _foreign(getattr(kind, name), None, name)),
        None,
    )


def _foreign(function: Any, kind: type[nn.Module] | None, name: str) -> bool:
    if not isinstance(function, types.FunctionType):
        return False
    if not function.__code__.co_filename.startswith(_OURS):
        return True
    homes = () if kind is None else (c for c in kind.__mro__ if name in vars(c))
    home = next(iter(homes), None)
    return home is not None and function.__qualname__ != f"{home.__name__}.{name}"


def counts_of(network: nn.Module) -> dict[str, Any]:
    """Every number, flag and word that the network's modules, classes and functions keep."""
    return {
        name: (
            _plain(vars(module), 4),
            {key: value for key, value in vars(type(module)).items() if isinstance(value, _WORDS)},
            numbers_of(type(module).forward),
        )
        for name, module in network.named_modules()
    }


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
        around = {name: thing.__globals__.get(name) for name in thing.__code__.co_names}
        plain = {name: value for name, value in around.items() if isinstance(value, _WORDS)}
        return cells, plain, _plain(thing.__defaults__ or (), depth - 1)
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
