"""A network as steps that affine forms go through, from the ball around an image to the logits.

Affine steps keep a form as it is, curves take the chord between the ends of what enters, and all
else has a rule of its own (`Rule.form`). What a step leaves open gets symbols of its own, so that
it cancels where it meets itself again; when there are too many, those that matter least become a
part of the rest of each tensor.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.graph.affine_form import AffineForm, rounding
from intriguing.graph.form_functions import between_lines, curved
from intriguing.graph.table import Formed, rule_of
from intriguing.spectral.certificates.relaxation.affine import AffineMap, affine_map
from intriguing.spectral.certificates.relaxation.cells import FINE, WIDEST, cells_of
from intriguing.spectral.certificates.relaxation.program import Curve, curve_of
from intriguing.spectral.certificates.step import Step, Walk

Through: TypeAlias = Callable[[tuple[Formed, ...]], Formed]
SYMBOLS = 8192
"""At most so many: each costs as much as a pixel does."""
_ENTRIES = 60_000_000
"""Of all rows of one tensor together: half a gigabyte."""


@dataclass(frozen=True)
class Place:
    """One step: what its value is made of, and how.

    Attributes:
        parents: Places of what it takes.
        through: From their forms; None of the input.
        last: The place after which nothing takes it any more.
    """

    parents: tuple[int, ...]
    through: Through | None
    last: int


@dataclass(frozen=True)
class Network:
    """Places in order; the last one gives the logits."""

    places: tuple[Place, ...]

    def form(self, image: Float[Tensor, "1 ..."], radius: float) -> AffineForm | None:
        """Of the logits, in a ball around an image; None where a curve leaves its domain."""
        forms: dict[int, Formed] = {}
        symbols = 1  # one that moves nothing, so that no tensor is empty
        for at, place in enumerate(self.places):
            if place.through is None:
                made: Formed = _ball(image, radius)
            else:
                made = _attempt(place.through, [_widened(forms[p], symbols) for p in place.parents])
            if made is None:
                return None
            forms[at] = made
            symbols = max(symbols, *(len(form.free) for form in _forms(made)))
            for old in [p for p in forms if self.places[p].last <= at and p != at]:
                del forms[old]
            if symbols > SYMBOLS:
                forms, symbols = _folded(forms, symbols)
        made = forms[len(self.places) - 1]
        return made if isinstance(made, AffineForm) else None


def network_of(walk: Walk) -> Network | None:
    """The places of a network; None if an operation has no form, or it is too large."""
    steps = [step for step in walk.steps if not step.fused]
    if not steps or steps[-1].value.ndim != 2:
        return None
    number = {step: i for i, step in enumerate(steps)}
    pixels = steps[0].value.numel()
    found: list[Place] = []
    for step in steps:
        parents = step.parents
        if parents and parents[0].fused:
            parents = parents[0].parents
        largest = max((v.numel() for v in _tensors(step.value)), default=0)
        if largest * (pixels + SYMBOLS) > _ENTRIES or not all(p in number for p in parents):
            return None
        through = None if step.operation is None else _through(step)
        if step.operation is not None and through is None:
            return None
        found.append(Place(tuple(number[p] for p in parents), through, len(steps)))
    last = {i: i for i in range(len(found))}
    for at, place in enumerate(found):
        last.update(dict.fromkeys(place.parents, at))
    last[len(found) - 1] = len(found)
    return Network(tuple(replace(place, last=last[i]) for i, place in enumerate(found)))


def _through(step: Step) -> Through | None:
    """How a form passes; None where that is not known."""
    operation, rule = step.call, rule_of(step.call)
    if operation.unruly:
        return None
    if isinstance(operation.moving[0], tuple):
        index = operation.given(1, "index")
        if operation.name != "getitem" or not isinstance(index, int):
            return None
        return lambda given: given[0][index]
    if rule.selects and rule.is_affine(operation):
        return _selected(step)
    map = affine_map(step)
    if map is not None:
        return _affine(map)
    curve = curve_of(step)
    if curve is not None and _one_batch(step):
        return lambda given: _chord(curve, _one(given))
    alone = len(operation.moving) == 1 and isinstance(step.value, Tensor)
    if rule.interval is not None and alone and _one_batch(step):
        slopes = rule.interval
        return lambda given: curved(
            _one(given), operation.again, lambda span: slopes(operation, (span,))
        )
    if rule.form is None:
        return None
    form = rule.form
    return lambda given: form(operation, tuple(_single(one) for one in given))


def _one_batch(step: Step) -> bool:
    """Whether it keeps the shape of one tensor that is a batch of 1, as pieces are batches."""
    value, x = step.value, step.call.x
    return bool(x.ndim and x.shape[0] == 1 and value.shape == x.shape)


def _attempt(through: Through, given: list[Formed]) -> Formed:
    """The form; None of arguments that a rule was not written for."""
    try:
        return through(tuple(given))
    except (RuntimeError, TypeError, ValueError, AttributeError, IndexError):
        return None


def _single(form: Formed) -> AffineForm:
    """Of one tensor."""
    if not isinstance(form, AffineForm):
        raise TypeError("several tensors, or none that is known")
    return form


def _one(given: tuple[Formed, ...]) -> AffineForm:
    (form,) = given
    return _single(form)


def _affine(map: AffineMap) -> Through:
    """z = Σ Wᵢyᵢ + b, row by row of what the δ and ε move."""

    def through(given: tuple[Formed, ...]) -> AffineForm:
        forms = [_single(one) for one in given]
        moves = torch.vmap(lambda *rows: map.forward(*rows) - map.offset)
        ball = moves(*(one.ball for one in forms))
        free = moves(*(one.free for one in forms))
        rest = map.magnitude([one.rest for one in forms]) * (1 + 1e-9)
        size = map.magnitude([one.largest for one in forms]) + map.offset.abs()
        rows = len(ball) + len(free)
        doubt = rounding(map.terms) * size + rounding(1) * rows * map.offset.abs()
        centre = map.forward(*(one.centre for one in forms))
        return AffineForm(centre, ball, free, rest + doubt)

    return through


def _selected(step: Step) -> Through:
    """Numbers of a form in another order, or some of them, or as several tensors."""
    again = step.call.again
    several = not isinstance(step.value, Tensor)

    def through(given: tuple[Formed, ...]) -> Formed:
        form = _one(given)
        rows = torch.vmap(again)
        parts = (again(form.centre), rows(form.ball), rows(form.free), again(form.rest))
        if not several:
            return AffineForm(*parts)
        return tuple(AffineForm(*part) for part in zip(*parts, strict=True))

    return through


def _chord(curve: Curve, form: AffineForm) -> AffineForm:
    """The curve between two lines along its chord."""
    if not float(form.largest.max()) < WIDEST:
        raise ValueError("cells end before the numbers do")
    low, high = form.centre - form.spread, form.centre + form.spread
    cells = cells_of(curve, low, high, FINE)
    width = (high - low).flatten()
    ends = [curve(end).flatten() for end in (low, high)]
    steepest = curve.steepest
    slope = torch.where(width > 0, (ends[1] - ends[0]) / width, 0.0).clamp(-steepest, steepest)
    apart = torch.stack(
        [(cells.slope - slope) * z + cells.offset for z in (cells.start, cells.stop)]
    )
    error = cells.error * (1 + 1e-9)
    real = torch.where(cells.stop >= cells.start, 0.0, torch.inf)
    below = (apart.amin(0) - error + real).amin(0)
    above = (apart.amax(0) + error - real).amax(0)
    size = steepest * torch.maximum(low.abs(), high.abs()).flatten() + below.abs() + above.abs()
    shaped = [t.view(low.shape) for t in (slope, below, above, rounding(16) * size)]
    return between_lines(form, *shaped)


def _ball(image: Tensor, radius: float) -> AffineForm:
    pixels = image.numel()
    moves = radius * torch.eye(pixels, dtype=image.dtype, device=image.device)
    still = torch.zeros_like(image)
    return AffineForm(image, moves.view(pixels, *image.shape), still[None], still)


def _each(one: Formed, change: Callable[[AffineForm], AffineForm]) -> Formed:
    """Of one form, or of several."""
    if isinstance(one, tuple):
        return tuple(None if form is None else change(form) for form in one)
    return None if one is None else change(one)


def _widened(one: Formed, symbols: int) -> Formed:
    return _each(one, lambda form: form.widened(symbols))


def _folded(forms: dict[int, Formed], symbols: int) -> tuple[dict[int, Formed], int]:
    """With half as many symbols, those that move the tensors that are still needed most."""
    forms = {at: _widened(one, symbols) for at, one in forms.items()}
    known = [form for one in forms.values() for form in _forms(one)]
    weight = known[0].centre.new_zeros(symbols)
    for form in known:
        share = form.free.abs().flatten(1).sum(1)
        weight += share / share.sum().clamp_min(1e-300)
    kept = weight.argsort(descending=True)[: SYMBOLS // 2].sort().values
    others = torch.ones_like(weight, dtype=torch.bool)
    others[kept] = False

    def fold(form: AffineForm) -> AffineForm:
        rest = form.rest + form.free[others].abs().sum(0) * (1 + rounding(symbols))
        return replace(form, free=form.free[kept], rest=rest)

    return {at: _each(one, fold) for at, one in forms.items()}, len(kept)


def _forms(one: Formed) -> Iterable[AffineForm]:
    several: Sequence[AffineForm | None] = one if isinstance(one, tuple) else (one,)
    return [form for form in several if form is not None]


def _tensors(value: Any) -> list[Tensor]:
    return [v for v in (value if isinstance(value, tuple | list) else (value,))
            if isinstance(v, Tensor)]  # fmt: skip
