"""What a network does while it runs: its operations in their order, and the memory they take."""

import weakref
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_Named: TypeAlias = Mapping[str, Any] | None


class Watching(TorchDispatchMode, ABC):  # type: ignore[no-untyped-call]
    """Sees every operation before it is run, and runs it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @abstractmethod
    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the operation gives for these arguments."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: _Named = None
    ) -> Any:
        return self.see(func, args, kwargs or {})


class _Operations(Watching):  # type: ignore[no-untyped-call]
    """Names of the operations, in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        self.names.append(str(func))
        return func(*args, **kwargs)


class _Memory(Watching):  # type: ignore[no-untyped-call]
    """Bytes of the tensors that operations made and that are still alive, and their peak."""

    def __init__(self) -> None:
        super().__init__()
        self.alive = 0
        self.peak = 0
        self._known: set[int] = set()

    def see(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out = func(*args, **kwargs)
        given = {place_of(tensor) for tensor in tensors_in((args, kwargs))}
        for tensor in tensors_in(out):
            if place_of(tensor) not in given:
                self._add(tensor)
        return out

    def _add(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        place, size = place_of(tensor), storage.nbytes()
        if not size or place in self._known:
            return
        self._known.add(place)
        self.alive += size
        self.peak = max(self.peak, self.alive)
        weakref.finalize(storage, self._free, place, size)

    def _free(self, place: int, size: int) -> None:
        if place in self._known:
            self._known.remove(place)
            self.alive -= size


def tensors_in(values: object) -> Iterator[Tensor]:
    """The tensors among arguments or answers, however they are nested."""
    return (leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor))


def place_of(tensor: Tensor) -> int:
    """Which memory a tensor looks at, as long as that is alive: its views have the same."""
    return int(tensor.untyped_storage()._cdata)


def operations(model: Callable[[Tensor], Tensor], images: Tensor) -> tuple[str, ...]:
    """The operations of one forward pass; two images that take other branches have others.

    >>> operations(torch.nn.ReLU(), torch.zeros(1))
    ('aten.relu.default',)
    """
    with torch.no_grad(), _Operations() as seen:
        model(images)
    return tuple(seen.names)


def peak_bytes(run: Callable[[], object], device: torch.device) -> int:
    """Most bytes that are alive at once of what `run` makes, without what was there before.

    On a GPU as its allocator counts. Elsewhere of the tensors that operations return; what a
    kernel takes and gives back within one operation is not seen.
    """
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        run()
        torch.cuda.synchronize(device)
        return int(torch.cuda.max_memory_allocated(device) - before)
    with _Memory() as seen:
        run()
    return int(seen.peak)
