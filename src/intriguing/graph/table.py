"""The table of rules."""

import math
from collections.abc import Callable
from typing import Any, TypeAlias, TypeVar

from torch import nn

from intriguing.errors import InputError
from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation
from intriguing.spectral.norms.bound import Bound

Rule: TypeAlias = Callable[[Operation], Bound | None]
"""The bound of an operation whose first argument alone depends on the input; None: not known."""

Join: TypeAlias = Callable[[Operation, tuple[float, ...]], Bound | None]
"""The bound of a join of several tensors, given the bound of each relative to the input."""

Curve: TypeAlias = Callable[[Operation, tuple[Interval, ...]], Interval | None]
"""What an elementwise operation makes of the spans of its moving tensors; None: not known."""

_RULES: dict[str | type[nn.Module], Rule] = {}
_JOINS: dict[str | type[nn.Module], Join] = {}
_CURVES: dict[str | type[nn.Module], Curve] = {}
_USERS: dict[object, Rule] = {}
_AFFINE: set[Rule] = set()
_KINDS: dict[str | type[nn.Module], str] = {}

_R = TypeVar("_R", bound=Callable[..., Any])


def rule(*targets: str | type[nn.Module], kind: str, affine: bool = False) -> Callable[[_R], _R]:
    """Make the function below the rule of these names and module types.

    `kind` is what tables call them; `affine` says that they are, in their first argument.
    """

    def add(function: _R) -> _R:
        for target in targets:
            _RULES[target], _KINDS[target] = function, kind
        if affine:
            _AFFINE.add(function)
        return function

    return add


def join(*targets: str | type[nn.Module]) -> Callable[[_R], _R]:
    """Make the function below the join of these names and module types."""

    def add(function: _R) -> _R:
        _JOINS.update(dict.fromkeys(targets, function))
        return function

    return add


def curve(*targets: str | type[nn.Module]) -> Callable[[_R], _R]:
    """Make the function below the curve of these names and module types."""

    def add(function: _R) -> _R:
        _CURVES.update(dict.fromkeys(targets, function))
        return function

    return add


def kind_of(target: object, name: str) -> str:
    """What a table calls this operation: "convolution", "linear", "pool", …"""
    return _KINDS.get(plain_type(target) if isinstance(target, nn.Module) else name, "other")


def rule_of(target: object, name: str) -> Rule | None:
    """The rule of a module (by its type) or of a function (itself, or by its name)."""
    if isinstance(target, nn.Module):
        for kind in type(target).__mro__:
            if kind in _USERS:
                return _USERS[kind]
        return _RULES.get(plain_type(target))
    return _USERS.get(target) or _RULES.get(name)


def join_of(target: object, name: str) -> Join | None:
    """The join of a module or of a function."""
    return _JOINS.get(plain_type(target) if isinstance(target, nn.Module) else name)


def curve_of(target: object, name: str) -> Curve | None:
    """The curve of a module or of a function; none where a user says what bounds it."""
    if isinstance(target, nn.Module):
        return None if is_registered(type(target)) else _CURVES.get(plain_type(target))
    return None if target in _USERS else _CURVES.get(name)


def is_affine(rule: Rule) -> bool:
    """Whether what the rule bounds is affine."""
    return rule in _AFFINE


def is_known(module: nn.Module) -> bool:
    """Whether this module's type has a rule, or a user registered a bound for it or a parent."""
    return type(module) in _RULES or is_registered(type(module))


def is_registered(target: object) -> bool:
    """Whether a user has registered a bound for this class or a parent, or this function's code."""
    if isinstance(target, type):
        return any(kind in _USERS for kind in target.__mro__)
    return any(getattr(function, "__code__", None) is target for function in _USERS)


def registered_functions() -> tuple[Callable[..., Any], ...]:
    """The functions that users have registered a bound for."""
    return tuple(target for target in _USERS if not isinstance(target, type))  # type: ignore[misc]


def plain_type(module: nn.Module) -> type[nn.Module]:
    """The module's type; of a parametrised module (weight norm, …) the type that it was before."""
    kind = type(module)
    return kind.__bases__[0] if kind.__module__ == "torch.nn.utils.parametrize" else kind


def register_bound(
    target: type[nn.Module] | Callable[..., Any],
    bound: float | Callable[[Operation], float | Bound | None],
    *,
    guaranteed: bool = True,
) -> None:
    """Say how much an operation that this package does not know can amplify a change of its input.

    Args:
        target: A module class (and what inherits from it), or a function that the network calls,
            which is then not looked into.
        bound: The L2 Lipschitz bound: a number, or a function of the `Operation`, which has the
            `module`, its `args` and `kwargs`, and the example's `output`.
        guaranteed: False for an estimate: every bound that rests on it then says so.

    Raises:
        InputError: If `bound` is negative or NaN, or `target` is neither.

    >>> class Halve(nn.Module):
    ...     def forward(self, x):
    ...         return x / 2
    >>> register_bound(Halve, 0.5)
    """
    if not callable(target):
        raise InputError(f"cannot register {target!r}; give a module class or a function")
    if not callable(bound) and not bound >= 0:
        raise InputError(f"a Lipschitz bound is 0 or more, not {bound}")

    def answer(operation: Operation) -> Bound | None:
        value = bound(operation) if callable(bound) else float(bound)
        if value is None or isinstance(value, Bound):
            return value
        if math.isnan(value) or value < 0:
            raise InputError(f"the bound registered for {operation.name} gives {value}; it is ≥ 0")
        return Bound(float(value), "registered by the user", guaranteed)

    _USERS[target] = answer
