"""One operation of a traced network: what it is called, what it was given, what it gave."""

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn


@dataclass(frozen=True)
class Operation:
    """A module, function, operator or method, with the values of one example image (a batch of 1).

    Attributes:
        name: How torch calls the function: "conv2d", "add", "flatten"; of a module, its class.
        module: The module, if it is one.
        args, kwargs: What it was called with, in the example; tensors in float64.
        moving: The tensors among them, in order, that depend on the network's input.
        output: What it gave.
        again: The same call with other values in the place of `moving`.
        ranges: For each moving tensor, bounds on what it can hold over the domain.
        function: What is called if it is no module.
        unruly: Why no rule is about it, where code elsewhere changes what it does.
    """

    name: str
    module: nn.Module | None
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    moving: tuple[Tensor, ...]
    output: Any
    again: Callable[..., Any]
    ranges: "tuple[ValueRange, ...]" = ()
    function: Any = None
    unruly: str = ""

    @property
    def x(self) -> Tensor:
        """The one tensor that depends on the network's input."""
        return self.moving[0]

    @property
    def first_moves(self) -> bool:
        """Whether the first argument, and nothing else, depends on the network's input."""
        return (
            len(self.moving) == 1
            and bool(self.args or self.kwargs)
            and self.given(0, "input") is self.moving[0]
        )

    def given(self, position: int, keyword: str, default: Any = None) -> Any:
        """An argument of the call."""
        if position < len(self.args):
            return self.args[position]
        return self.kwargs.get(keyword, default)

    def option(self, position: int, keyword: str, default: Any = None) -> Any:
        """A setting: the module's attribute of this name, or the function's argument."""
        if self.module is not None:
            return getattr(self.module, keyword, default)
        return self.given(position, keyword, default)

    @property
    def axes(self) -> int:
        """How many axes a convolution or a pool works on, by its name: x may lack the batch's."""
        digits = [before for before, after in itertools.pairwise(self.name) if after == "d"]
        return next((int(digit) for digit in digits if digit in "123"), self.x.ndim - 2)

    def spatial(self, dimensions: int) -> tuple[int, ...]:
        """Sizes of the last dimensions of x."""
        return tuple(self.x.shape[-dimensions:])

    @property
    def copies(self) -> float:
        """How many numbers of the (first) output there are for each of x; at least 1."""
        output = self.output if isinstance(self.output, Tensor) else self.output[0]
        return max(1.0, output.numel() / self.x.numel())


@dataclass(frozen=True)
class ValueRange:
    """How far a tensor can go over the domain.

    Attributes:
        peak, length: |entry| ≤ peak, ‖whole‖₂ ≤ length.
        low, high: Between which numbers each entry lies.
    """

    peak: float
    length: float
    low: Tensor
    high: Tensor


def plain_type(module: nn.Module) -> type[nn.Module]:
    """The module's type; of a parametrised module (weight norm, …) the type that it was before."""
    kind = type(module)
    return kind.__bases__[0] if kind.__module__ == "torch.nn.utils.parametrize" else kind
