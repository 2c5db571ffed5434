"""Parts of a network that act on every number by itself, in pieces: masks, and what they mask.

`torch.where(h > 0, h, 0.1 * h)`, `h.masked_fill(h < 0, 0)` and `h * (h > 0)` are made of
operations that jump, and do not jump. Between two neighbouring thresholds of its comparisons such a
part has a constant mask, and is as steep as interval arithmetic says. At a threshold the piece on
its left, the piece on its right and the part itself must agree, number by number. A function that
is continuous and nowhere steeper than s between finitely many points has the Lipschitz constant s.
"""

import itertools
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from intriguing.graph.interval import Interval
from intriguing.graph.table import Steps, rule_of

if TYPE_CHECKING:
    from intriguing.spectral.certificates.step import Step

_SPLITS = 8
"""Parts of a bounded domain besides those of thresholds: the more, the tighter intervals are."""
_DEEP = 32
"""Operations that are looked back through, longer than any mask met in practice."""
_ROUNDING = 1e-12
"""Of the values that meet at a threshold: some thousand roundings of float64."""


def steepest(end: "Step", origin: "Step", low: Tensor, high: Tensor) -> float | None:
    """How steep the way from `origin` to `end` is at most, number by number; ∞ where it jumps.

    Args:
        end, origin: The first depends on the second alone.
        low, high: Between which each number of `origin` lies; may be infinite.

    Returns:
        None if something on the way is not known to act on every number by itself, or where.
    """
    way = _way(end, origin)
    if way is None:
        return None
    thresholds = _thresholds(way, origin, low)
    if thresholds is None:
        return None
    if bool((low.isfinite() & high.isfinite()).all()):
        thresholds += [low + (high - low) * i / _SPLITS for i in range(1, _SPLITS)]
    inner = [torch.minimum(torch.maximum(t, low), high) for t in thresholds]
    edges = [low, *(torch.stack(inner).sort(0).values if inner else ()), high]
    pieces = [_Piece(way, origin, *ends) for ends in itertools.pairwise(edges)]
    slope = 0.0
    for piece in pieces:
        span = piece.span(end)
        if span is None:
            return None
        steep = torch.maximum(span.down.abs(), span.up.abs())
        steep = torch.where(piece.high > piece.low, steep, 0.0)
        slope = max(slope, float(steep.max()) if not bool(steep.isnan().any()) else math.inf)
    if not math.isfinite(slope):
        return None
    for left, right in itertools.pairwise(pieces):
        at = left.high
        here = _run(way, origin, at)[end]
        meeting = torch.stack([left.at(end, at), right.at(end, at), here])
        apart = meeting.amax(0) - meeting.amin(0)
        allowed = _ROUNDING * (meeting.abs().amax(0) + slope * at.abs())
        if not bool((apart <= allowed).all()):
            return math.inf
    return slope


def origins(end: "Step") -> Iterator["Step"]:
    """Steps that the end may depend on number by number, nearest first."""
    waiting, seen = list(end.parents), {id(end)}
    while waiting and len(seen) < _DEEP:
        step = waiting.pop(0)
        if id(step) in seen or not _fits(step, end):
            continue
        seen.add(id(step))
        if step.value.is_floating_point():
            yield step
        if _elementwise(step):
            waiting += step.parents


class _Piece:
    """The way while the number it starts from is between two ends, and no mask changes."""

    def __init__(self, way: list["Step"], origin: "Step", low: Tensor, high: Tensor) -> None:
        self.way, self.origin, self.low, self.high = way, origin, low, high
        inside = _run(way, origin, _inside(low, high))
        self.masks = {step: inside[step] for step in _constants(way)}

    def span(self, end: "Step") -> Interval | None:
        """Values and slopes at the end."""
        known = {self.origin: Interval.between(self.low, self.high)}
        for step in self.way:
            if step in self.masks:
                known[step] = Interval.still(self.masks[step].to(self.low))
                continue
            found = _span(step, tuple(known[parent] for parent in step.parents))
            if found is None:
                return None
            known[step] = found
        return known[end]

    def at(self, end: "Step", place: Tensor) -> Tensor:
        """What the end would be there with the masks of this piece."""
        value: Tensor = _run(self.way, self.origin, place, self.masks)[end]
        return value


def _span(step: "Step", spans: tuple[Interval, ...]) -> Interval | None:
    rule = rule_of(step.call).interval
    try:
        return None if rule is None else rule(step.call, spans)
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return None  # arguments that it was not written for


def _run(
    way: list["Step"], origin: "Step", value: Tensor, fixed: dict["Step", Any] | None = None
) -> dict["Step", Any]:
    known: dict[Step, Any] = {origin: value, **(fixed or {})}
    with torch.no_grad():
        for step in way:
            if step not in known:
                known[step] = step.call.again(*(known[parent] for parent in step.parents))
    return known


def _inside(low: Tensor, high: Tensor) -> Tensor:
    """A number between two others, which may be infinite."""
    middle = (low + high) / 2
    middle = torch.where(low.isinf(), high - 1 - high.abs(), middle)
    middle = torch.where(high.isinf(), low + 1 + low.abs(), middle)
    return torch.where(low.isinf() & high.isinf(), 0.0, middle)


def _way(end: "Step", origin: "Step") -> list["Step"] | None:
    """The steps between, in order; None if one is not elementwise, or depends on others."""
    found: list[Step] = []

    def visit(step: "Step") -> bool:
        if step is origin or step in found:
            return True
        known = _fits(step, end) and _elementwise(step) and len(found) < _DEEP
        if not known or not step.parents or not all(visit(parent) for parent in step.parents):
            return False
        found.append(step)
        return True

    return found if end is not origin and visit(end) else None


def _fits(step: "Step", end: "Step") -> bool:
    alike = isinstance(step.value, Tensor) and step.value.shape == end.value.shape
    return alike and not step.value.is_complex()


def _elementwise(step: "Step") -> bool:
    if step.operation is None:
        return False
    rule = rule_of(step.operation)
    return rule.entrywise or rule.interval is not None


def _steps(step: "Step") -> Steps | None:
    """Where it jumps, if it is constant but for jumps."""
    return None if step.operation is None else rule_of(step.operation).steps


def _constants(way: list["Step"]) -> set["Step"]:
    """What is constant between thresholds: masks, and what is made of masks alone."""
    found: set[Step] = set()
    for step in way:
        if _steps(step) or all(parent in found for parent in step.parents):
            found.add(step)
    return found


def _thresholds(way: list["Step"], origin: "Step", like: Tensor) -> list[Tensor] | None:
    """Where some mask on the way changes; None if that cannot be told."""
    found: list[Tensor] = []
    constant = _constants(way)
    for step in way:
        if not step.value.is_floating_point() and step not in constant:
            return None  # a whole number made of one that is none
        if not _steps(step) or all(parent in constant for parent in step.parents):
            continue
        if _steps(step) is Steps.NEVER:
            continue
        places = _crossings(origin, step, like)
        if places is None:
            return None
        found += places
    return found


def _crossings(origin: "Step", step: "Step", like: Tensor) -> list[Tensor] | None:
    """Where the two sides of a comparison are equal."""
    operation = step.call
    sides = [operation.given(0, "input"), operation.given(1, "other", 0.0)]
    if _steps(step) is Steps.SIGN:
        sides[1] = 0.0
    lines = []
    for side in sides:
        place = next((i for i, t in enumerate(operation.moving) if t is side), None)
        if place is None:
            lines.append(
                [
                    (
                        torch.zeros_like(like),
                        torch.as_tensor(side, dtype=like.dtype, device=like.device).expand_as(like),
                    )
                ]
            )
            continue
        line = _lines(origin, step.parents[place], like)
        if line is None:
            return None
        lines.append(line)
    apart = [(a[0] - b[0], b[1] - a[1]) for a in lines[0] for b in lines[1]]
    return [(b / a).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0) for a, b in apart]


def _lines(origin: "Step", step: "Step", like: Tensor) -> list[tuple[Tensor, Tensor]] | None:
    """The step as a·x + b of the number it starts from; of |a·x + b| both signs."""
    if step is origin:
        return [(torch.ones_like(like), torch.zeros_like(like))]
    operation = step.operation
    if operation is not None and operation.name in ("abs", "absolute"):
        inner = _lines(origin, step.parents[0], like)
        return None if inner is None else inner + [(-a, -b) for a, b in inner]
    way = _way(step, origin)
    if way is None or any(_steps(earlier) for earlier in way):
        return None
    everywhere = torch.full_like(like, -torch.inf), torch.full_like(like, torch.inf)
    span = _Piece(way, origin, *everywhere).span(step)
    if span is None or not bool((span.down == span.up).all()):
        return None
    return [(span.down, _run(way, origin, torch.zeros_like(like))[step])]
