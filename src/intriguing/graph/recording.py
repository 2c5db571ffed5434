"""What a network does to an image, operation by operation, and what it does besides.

A network is a Python program, and a proof is of a graph. The two are the same function if the
program's way never depends on the image's values, and both do the same operations on what depends
on them: what happened once then happens to every image. So the program is run under torch's own
dispatcher, which sees every operation, also those of hooks, of replaced methods and through views.
What depends on the image is known by where it is stored.
"""

import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from intriguing.errors import InputError
from intriguing.graph.table import is_registered

READS = "reads values of the image"
WRITES = "changes a tensor that it keeps"
DRAWS = "draws random numbers"

_READING = "aten::_local_scalar_dense"
_READING_METHODS = {
    "item", "tolist", "numpy", "equal", "allclose", "is_nonzero", "data_ptr", "storage",
    "untyped_storage", "to_dlpack", "__bool__", "__float__", "__int__", "__index__", "__complex__",
    "__contains__", "__array__", "__dlpack__", "__reduce_ex__", "__repr__", "__format__",
}  # fmt: skip
"""By which Python gets to know values. What torch reads inside one operation is that operation."""

_SET_DATA: Any = vars(torch._C.TensorBase)["data"].__set__


@dataclass(frozen=True)
class Fault:
    """Something for which a graph cannot stand: what it is, and in which module."""

    what: str
    module: str


@dataclass
class Recording:
    """One run.

    Attributes:
        calls: Every operation on what depends on the image: its name, and its arguments, tensors
            by where they are stored if they depend on the image, and themselves if they do not.
        faults: What else happened.
    """

    calls: list[tuple[str, list[Any]]] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)

    def same_as(self, other: "Recording") -> bool:
        """Whether both did the same operations on the same things, weights to a few roundings."""
        return len(self.calls) == len(other.calls) and all(
            mine[0] == theirs[0]
            and len(mine[1]) == len(theirs[1])
            and all(map(_same, mine[1], theirs[1]))
            for mine, theirs in zip(self.calls, other.calls, strict=True)
        )


def record(network: nn.Module, image: Tensor) -> Recording:
    """Run a network on a batch of one image and see what it does."""
    seen = Recorder(network, image)
    seen.run()
    return seen.recording


class Recorder:
    """A run that is being watched.

    Attributes:
        recording: What was seen so far.
        silent: Whether operations are left out of it.
        inside: How many of torch's functions are being run.
    """

    def __init__(self, network: nn.Module, image: Tensor) -> None:
        self.network = network
        self.names = {module: name for name, module in network.named_modules()}
        self.recording = Recording()
        self.image = image.clone()
        self.silent = False
        self.inside = 0
        self._depends = {_storage(self.image)}
        self._numbers: dict[int, int] = {}
        self._born: set[int] = set()
        self._written: list[int] = []
        self._held = [self.image]  # so that no storage's place is given away twice

    def run(self) -> None:
        """Call the network, and see all of it.

        Raises:
            InputError: If it does what cannot be seen.
        """
        before = _dice()
        try:
            with torch.no_grad(), _Dispatched(self), _Called(self):
                result = self.network(self.image)
        except Exception as error:
            said = (str(error).strip() or repr(error)).splitlines()[0]
            raise InputError(
                f"the network cannot be traced: its operations cannot be followed ({said})"
            ) from error
        if _dice() != before:
            self.recording.faults.append(Fault(DRAWS, ""))
        entries = [self._entry(leaf) for leaf in pytree.tree_leaves(result)]
        self.recording.calls.append(("output", entries))

    @contextmanager
    def aside(self, *, silent: bool) -> Iterator["Aside"]:
        """While code runs that may be no part of the graph: its faults are kept apart.

        So are its operations if it is `silent`.
        """
        there = self._born | self._depends
        before, faults, written = self.silent, len(self.recording.faults), len(self._written)
        dice = _dice()
        self.silent, found = before or silent, Aside()
        yield found
        self.silent = before
        found.faults = self.recording.faults[faults:]
        del self.recording.faults[faults:]
        found.changes = any(storage in there for storage in self._written[written:])
        found.changes |= dice != _dice()

    def depends(self, tensor: Tensor) -> bool:
        """Whether its values depend on the image."""
        return _storage(tensor) in self._depends

    def fault(self, what: str) -> None:
        """Note something, unless a module or function with a registered bound answers for it."""
        frame = sys._getframe(1)
        where = ""
        while frame is not None:
            module = frame.f_locals.get("self")
            if is_registered(type(module)) or is_registered(frame.f_code):
                return
            if not where and isinstance(module, nn.Module) and module in self.names:
                where = self.names[module] or type(module).__name__
            frame = frame.f_back  # type: ignore[assignment]
        self.recording.faults.append(Fault(what, where))

    def saw(self, operation: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Take note of an operation of torch's dispatcher, and what depends on the image by it."""
        leaves = pytree.tree_leaves((args, kwargs))
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        moving = any(self.depends(tensor) for tensor in tensors)
        if moving and not self.inside and operation.name() == _READING:
            self.fault(READS)
        if moving and not self.silent:
            entries = [self._entry(leaf) for leaf in leaves]
            self.recording.calls.append((operation.name(), entries))
        results = [leaf for leaf in pytree.tree_leaves(result) if isinstance(leaf, Tensor)]
        for tensor in _written(operation, args, kwargs):
            self.writes(tensor)
            results.append(tensor)
        for tensor in results:
            self._born.add(_storage(tensor))
            self._held.append(tensor)
            if moving:
                self._depends.add(_storage(tensor))
            if moving and not self.silent:
                self._number(tensor)

    def writes(self, tensor: Tensor) -> None:
        """Note that a tensor is written to."""
        if _storage(tensor) not in self._born and not self.depends(tensor):
            self.fault(WRITES)
        self._written.append(_storage(tensor))

    def _number(self, tensor: Tensor) -> int:
        """Which of the tensors made so far, in their order, has this storage."""
        return self._numbers.setdefault(_storage(tensor), len(self._numbers))

    def _entry(self, leaf: Any) -> Any:
        if not isinstance(leaf, Tensor):
            return leaf
        if self.depends(leaf):
            return (
                self._number(leaf),
                leaf.shape,
                leaf.stride(),
                leaf.storage_offset(),
                leaf.dtype,
            )
        return leaf.detach().clone() if _storage(leaf) in self._born else leaf


@dataclass
class Aside:
    """What code beside the graph did: its faults, and whether it changed what was there before.

    What was there are tensors, and the state of the generators of random numbers.
    """

    faults: list[Fault] = field(default_factory=list)
    changes: bool = False


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, seen: Recorder) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = seen

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        self.seen.saw(func, args, kwargs, result)
        return result


class _Called(TorchFunctionMode):
    def __init__(self, seen: Recorder) -> None:
        super().__init__()
        self.seen = seen

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        name = getattr(func, "__name__", "")
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if first is not None and name in _READING_METHODS and self.seen.depends(first):
            self.seen.fault(READS)
        if first is not None and func == _SET_DATA:
            self.seen.writes(first)
        self.seen.inside += 1
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.seen.inside -= 1


def _written(operation: Any, args: Any, kwargs: Any) -> list[Tensor]:
    """The tensors that an operation writes to."""
    found: list[Any] = []
    for place, argument in enumerate(operation._schema.arguments):
        if argument.alias_info is not None and argument.alias_info.is_write:
            given = args[place] if place < len(args) else kwargs.get(argument.name)
            found += pytree.tree_leaves(given)
    return [leaf for leaf in found if isinstance(leaf, Tensor)]


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata  # type: ignore[no-any-return]


def _same(mine: Any, theirs: Any) -> bool:
    if mine is theirs:
        return True
    if isinstance(mine, Tensor) and isinstance(theirs, Tensor):
        if (mine.shape, mine.dtype) != (theirs.shape, theirs.dtype):
            return False
        if torch.equal(mine, theirs):
            return True
        few = 8 * torch.finfo(mine.dtype).eps if mine.is_floating_point() else 0.0
        return torch.allclose(mine, theirs, rtol=few, atol=0.0, equal_nan=True)
    return type(mine) is type(theirs) and bool(mine == theirs)


def _dice() -> tuple[Any, ...]:
    """The states of the generators that a program can draw from without owning one."""
    numpy: Any = np.random.get_state()  # noqa: NPY002
    return (
        torch.get_rng_state().numpy().tobytes(),
        tuple(s.numpy().tobytes() for s in torch.cuda.get_rng_state_all())
        if torch.cuda.is_initialized()  # type: ignore[no-untyped-call]
        else (),
        random.getstate(),
        (numpy[1].tobytes(), numpy[2:]),
    )
