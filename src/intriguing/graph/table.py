"""The table of operations: one rule for each, which says everything that is known about it.

Bounds, affine recognition, intervals, receptive fields and places of hardening all ask here. A rule
is looked up by the exact type of a module, or by the name of a function that is torch's own, so
that nothing is taken for what it inherits from or is only called like.
"""

import enum
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.graph.affine_form import AffineForm
from intriguing.graph.interval import Interval
from intriguing.graph.operation import Operation, plain_type
from intriguing.spectral.norms.bound import Bound
from intriguing.spectral.norms.linear_map import LinearMap

Norm: TypeAlias = Callable[[Operation], Bound | None]
Formed: TypeAlias = AffineForm | tuple[AffineForm | None, ...] | None
"""Of a value, of several, or of none that is known."""
FormRule: TypeAlias = Callable[[Operation, tuple[AffineForm, ...]], Formed]


class Affine(enum.Enum):
    """In which of its arguments an operation is affine."""

    FIRST = "in its first while the others stay"
    EITHER = "in each of them while the others stay"
    TOGETHER = "in all of them together"


class Steps(enum.Enum):
    """What is constant between jumps, and where it jumps."""

    COMPARISON = "where its two arguments are equal"
    SIGN = "where its argument is 0"
    NEVER = "nowhere in the numbers"


@dataclass(frozen=True)
class Chords:
    """What an activation's curve is like, which tells the slopes of its chords from one point.

    Attributes:
        convex: Whether it is convex or concave, or S-shaped between straight parts.
        slope: Of what is S-shaped and smooth about 0, its derivative.
        curvature: Of what is smooth, a bound on |σ''|.
    """

    convex: bool = False
    slope: Callable[[Tensor], Tensor] | None = None
    curvature: float | None = None


@dataclass(frozen=True)
class Bends:
    """Where an elementwise function bends, which says how far it is from its chords.

    Attributes:
        kinks: Where its slope jumps, rising.
        curvature: |σ''| is at most this everywhere else; 0 of what is straight in pieces.
        slack: How far torch's own formula may be from it, beyond rounding.
    """

    kinks: tuple[float, ...] = ()
    curvature: float = 0.0
    slack: float = 0.0


def _nothing(_: Operation) -> None:
    return None


def _always(_: Operation) -> bool:
    return True


def _never(_: Operation) -> bool:
    return False


@dataclass(frozen=True)
class Rule:
    """What is known about an operation; a part is asked with the call, and None says: not known.

    Attributes:
        names: What torch calls it, as function, method and module.
        kind: What tables call it: "convolution", "linear", "pool", …
        when: Whether the call is one that the rule is about.
        norm: The bound of the operation when its first argument alone depends on the image.
        join: Its bound where several do, given the bound of each relative to the image.
        affine: In what it is affine, or what says that of a call; None if in nothing.
        linear: Its linear part, where that has a short form.
        keeps: Whether it gives its argument, shifted at most, where the shapes are the same.
        selects: Whether every number that it gives is one that it was given, or 0.
        window: Along an axis (0 is the first after the channels), which positions of the input
            (columns) each of the output (rows) reads.
        interval: Of what acts on every number by itself: what it makes of intervals of them.
        form: Of what is neither affine nor acts on every number by itself: the affine form of what
            it gives, from those of what it is given.
        slopes: The least and the greatest slope of an activation.
        chords: Of an activation's curve.
        bends: Of the curve of what acts on every number by itself and has slopes; linear
            relaxations are made of it.
        values: Between which numbers all that it gives lies.
        length: A bound on the length of all that it gives.
        within: Whether each number that it gives lies between the least and the greatest given.
        rising: Whether no number that it gives falls when one that it was given rises.
        steps: What it is where it is constant but for jumps.
        entrywise: Whether it acts on every entry by itself, of whatever type.
        jumps: Whether it jumps, so that no finite bound holds.
        shape_only: Whether its value depends on the shape and kind of its argument only.
        others_shape_only: Whether it does so for all arguments but the first.
    """

    names: tuple[str, ...] = ()
    kind: str = "other"
    when: Callable[[Operation], bool] = _always
    norm: Norm | None = None
    join: Callable[[Operation, tuple[float, ...]], Bound | None] | None = None
    affine: Affine | Callable[[Operation], Affine | None] | None = None
    linear: Callable[[Operation], LinearMap | None] = _nothing
    keeps: bool = False
    selects: bool = False
    window: Callable[[Operation, int], Tensor | None] | None = None
    interval: Callable[[Operation, tuple[Interval, ...]], Interval | None] | None = None
    form: FormRule | None = None
    slopes: Callable[[Operation], tuple[float, float] | None] = _nothing
    chords: Callable[[Operation], Chords | None] = _nothing
    bends: Callable[[Operation], Bends | None] = _nothing
    values: Callable[[Operation], tuple[float, float]] = lambda _: (-math.inf, math.inf)
    length: Callable[[Operation], float] = lambda _: math.inf
    within: Callable[[Operation], bool] = _never
    rising: bool = False
    steps: Steps | None = None
    entrywise: bool = False
    jumps: bool = False
    shape_only: bool = False
    others_shape_only: bool = False

    def is_affine(self, operation: Operation) -> bool:
        """Whether the call is affine in what of it depends on the image."""
        affine = self.affine_in(operation)
        if affine is None or not self.when(operation):
            return False
        alone = len(operation.moving) == 1 and affine is Affine.EITHER
        return affine is Affine.TOGETHER or alone or operation.first_moves

    def affine_in(self, operation: Operation) -> Affine | None:
        """In what of its arguments the call is affine."""
        return self.affine(operation) if callable(self.affine) else self.affine

    def bound(self, operation: Operation) -> Bound | None:
        """The bound of the call if one argument, and that the one it is known for, moves."""
        affine = self.affine_in(operation)
        either = affine in (Affine.EITHER, Affine.TOGETHER) and len(operation.moving) == 1
        if self.norm is None or not (operation.first_moves or either) or not self.when(operation):
            return None
        return self.norm(operation)


UNKNOWN = Rule()
_RULES: dict[str | type[nn.Module], Rule] = {}
_USERS: dict[object, Norm] = {}
_N = TypeVar("_N", bound=Callable[..., Any])


def declare(*targets: str | type[nn.Module], **facts: Any) -> None:
    """Say what is known about the operations of these names and module types: parts of `Rule`."""
    names = tuple(t if isinstance(t, str) else t.__name__ for t in targets)
    made = Rule(names, **facts)
    for target in targets:
        assert target not in _RULES, f"{target} has a rule already"
        _RULES[target] = made


def rule(*targets: str | type[nn.Module], **facts: Any) -> Callable[[_N], _N]:
    """`declare`, with the function below as the norm."""

    def add(norm: _N) -> _N:
        declare(*targets, norm=norm, **facts)
        return norm

    return add


def rules() -> dict[str | type[nn.Module], Rule]:
    """The whole table."""
    return dict(_RULES)


def rule_of(operation: Operation) -> Rule:
    """The rule of a module (by its type) or of a function (itself, or by its name).

    Of what a user has registered a bound for, nothing else is known, and of what is unruly nothing.
    """
    module = operation.module
    kinds = type(module).__mro__ if module is not None else (operation.function,)
    key = operation.name if module is None else plain_type(module)
    known = _RULES.get(key, UNKNOWN)
    if operation.unruly:
        return Rule(known.names, known.kind)
    for kind in kinds:
        if kind is not None and kind in _USERS:
            return Rule(known.names, known.kind, norm=_USERS[kind], join=known.join)
    return known


def rule_named(name: str) -> Rule:
    """The rule of a function of torch's, by its name alone."""
    return _RULES.get(name, UNKNOWN)


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
