"""The multipliers of the last bound, and the radius up to which it is above 0.

Adam on slopes, strengths, shares and units, each row (a class against the label) by itself. Nothing
that it finds needs to be trusted: with whatever it gives, one pass with outward rounding is the
proof.
"""

import math
import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.spectral.certificates.relaxation.backward import lower_bound
from intriguing.spectral.certificates.relaxation.choices import Choice, Choices, Ends
from intriguing.spectral.certificates.relaxation.program import Curve
from intriguing.spectral.certificates.relaxation.surroundings import Surroundings
from intriguing.spectral.certificates.relaxation.windows import Window


@dataclass(frozen=True)
class Pace:
    """Steps of a search, Adam's rates of slopes and of logarithms, what is left of them, and
    steps in which a bound must gain something."""

    steps: int
    slopes: float
    logarithms: float
    decay: float
    patience: int = 20


FIRST = Pace(60, 0.15, 0.3, 0.95)
"""From lines, with one strength a layer."""
APART = Pace(80, 0.1, 0.15, 0.97)
"""From there on, with one for every unit of the first layer."""
AGAIN = Pace(50, 0.05, 0.1, 0.96)
"""From what was found at another radius."""
LONG = Pace(300, 0.02, 0.1, 0.99)
"""The same where much is to be moved a little."""
_SLOWER = 0.3
"""Rate of the logarithms of units, relative to others: faster, steps of the power method fall
behind."""
_LOOKS = 5
"""Passes until a bound is what its choices are worth."""
_SEEN, _COMING = 5, 15.0
"""After so many times the steps of patience a row is not expected to gain more than so many times
what it gained in the last of them: steps become shorter."""
_STRAIGHT = 20.0
"""By what the logarithm of a straight unit's strength is less."""
_GAIN = 2e-4
"""What a bound must gain, relative to what it is away from its start, until patience ends."""


def started(around: Surroundings, rows: Float[Tensor, "rows classes"]) -> Choices:
    """CROWN's slopes, and strengths for which the tails cost about what the slopes do."""
    program = around.image.program
    choices: dict[int, Choice] = {}
    linear: dict[int, Tensor] = {len(program.nodes) - 1: rows}
    with torch.no_grad():
        for at in range(len(program.nodes) - 1, -1, -1):
            node = program.nodes[at]
            if at not in linear or node.rule is None:
                continue
            q = linear.pop(at)
            if at in around.lines:
                lines, rule = around.lines[at], node.rule
                assert isinstance(rule, Curve | Window)
                flat = rule.spread(q.flatten(1))
                slopes = torch.where(flat >= 0, lines.below, lines.above)
                (before,) = node.parents
                reach = min(around.reach(before), 1e6)
                length = torch.linalg.vector_norm(flat, dim=1, keepdim=True)
                strength = (0.1 * length / max(reach, 1e-12)).clamp_min(1e-12).log()
                paid, units = torch.full_like(length, -1.0), torch.zeros_like(length)
                choices[at] = Choice(slopes, strength, paid, units)
                shape = program.nodes[before].shape
                parts = [rule.gathered(flat * slopes, shape.numel()).view(len(q), *shape[1:])]
            else:
                parts = list(node.rule.adjoint(q))  # type: ignore[union-attr]
            for parent, part in zip(node.parents, parts, strict=True):
                linear[parent] = linear[parent] + part if parent in linear else part
    return Choices(choices)


def apart(around: Surroundings, choices: Choices) -> Choices:
    """The same with a strength for every unit where tails of single units go on, and units of
    every number that they meet behind the next map.

    Of a unit that is straight in the ball, off among others, nothing is lost that one would pay
    for: its own is next to none.
    """
    image, curves = around.image, dict(choices.curves)
    places = {*image.inner, *([image.first.place] if image.first else [])}
    met = {map.before for map in image.inner.values()}
    for at, choice in curves.items():
        if image.program.nodes[at].parents[0] not in places:
            continue
        low, high = around.cells[at].slopes
        bends, strength = (high > low)[None], choice.strength
        if strength.shape[1] == 1:
            strength = strength - torch.where(bends, 0.0, _STRAIGHT).to(strength)
        else:  # some were straight where it was found
            none = bends & (strength < strength.amax(1, keepdim=True) - 0.5 * _STRAIGHT)
            some = (bends & ~none).to(strength)
            middle = (some * strength).sum(1, keepdim=True) / some.sum(1, keepdim=True).clamp_min(1)
            strength = torch.where(none, middle, strength)
        choice = replace(choice, strength=strength)
        if at in met and choice.units.shape[1] == 1:
            units = choice.units.expand(-1, image.values[at].numel()).clone()
            choice = replace(choice, units=units)
        curves[at] = choice
    return Choices(curves, choices.ends)


def improved(
    around: Surroundings, rows: Float[Tensor, "rows classes"], choices: Choices, pace: Pace,
    until: float = math.inf, enough: Float[Tensor, " rows"] | None = None,
    dtype: torch.dtype = torch.float32,
) -> Choices:  # fmt: skip
    """Better choices for these rows, by steps until the process has taken so many seconds.

    Args:
        enough: Bounds with which rows are left as they are, and those that will not get there.
    """
    last = len(around.image.program.nodes) - 1
    enough = None if enough is None else enough.to(rows.device)
    climbs = _Climbs(around, choices, pace, dtype)
    kept = {at: Choice(*(t.clone() for t in c.parts)) for at, c in choices.curves.items()}
    best = torch.full((len(rows),), -torch.inf, dtype=dtype, device=rows.device)
    before, first = best.clone(), best.clone()
    left, end = torch.arange(len(rows), device=rows.device), choices.ends
    ended: list[tuple[Tensor, Ends]] = []
    for step in range(pace.steps + 1):
        climbs.fit()
        some = rows[left].to(dtype)
        value, end = lower_bound(around, last, some, Choices(climbs.free, end), False)
        better = value.detach() > best[left]
        best[left[better]] = value.detach()[better]
        for at, choice in climbs.free.items():
            for new, old in zip(choice.parts, kept[at].parts, strict=True):
                old[left[better]] = new.detach()[better].double()
        if step == pace.steps or time.process_time() >= until:
            break
        climbs.step(value)
        if step % pace.patience:
            continue
        if enough is not None:
            own = Choices(kept).rows(left).curves
            best[left], end = _looked(around, some, Choices(own, end))
        going = _going(best, before, first, enough, step // pace.patience)[left]
        before, first = best.clone(), first if step else best.clone()
        if not bool(going.all()):
            stay, gone = going.nonzero()[:, 0], (~going).nonzero()[:, 0]
            ended.append((left[gone], end.rows(gone)))
            left, end = left[stay], end.rows(stay)
            climbs.keep(stay)
            if not len(left):
                break
    ended.append((left, end))
    order = torch.cat([places for places, _ in ended]).argsort()
    end = Ends.stacked([one for _, one in ended]).rows(order)
    return Choices(kept, end.each(lambda t: t.double()))


def _going(
    best: Tensor, before: Tensor, first: Tensor, enough: Tensor | None, patiences: int
) -> Tensor:
    """Whether rows still gain something, or will have enough and have not."""
    if patiences == 0:
        return torch.ones_like(best, dtype=torch.bool) if enough is None else best < enough
    gained = best - before
    if enough is None:
        return gained > _GAIN * (best - first)
    going = best < enough
    return going & (best + _COMING * gained > enough) if patiences >= _SEEN else going


def _looked(around: Surroundings, rows: Tensor, choices: Choices) -> tuple[Tensor, Ends]:
    """Bounds of choices as they are: each step's is from where its power method has just got."""
    last, end = len(around.image.program.nodes) - 1, choices.ends
    curves = {at: Choice(*(t.to(rows) for t in c.parts)) for at, c in choices.curves.items()}
    value = rows.new_zeros(len(rows))
    with torch.no_grad():
        for _ in range(_LOOKS):
            value, end = lower_bound(around, last, rows, Choices(curves, end), False)
    return value, end


class _Climbs:
    """Choices of rows, as Adam moves them (Kingma & Ba 2015)."""

    def __init__(
        self, around: Surroundings, choices: Choices, pace: Pace, dtype: torch.dtype
    ) -> None:
        self.pace = pace
        self.ends = {
            at: tuple(e.to(dtype) for e in around.cells[at].slopes) for at in choices.curves
        }
        self.free = {
            at: Choice(*(t.detach().to(dtype).clone().requires_grad_() for t in choice.parts))
            for at, choice in choices.curves.items()
        }
        rates = (pace.slopes, pace.logarithms, pace.logarithms, _SLOWER * pace.logarithms)
        self.adam = torch.optim.Adam(
            {"params": [part], "lr": rate}
            for choice in self.free.values()
            for part, rate in zip(choice.parts, rates, strict=True)
        )

    @property
    def _moved(self) -> list[Tensor]:
        """All that Adam moves: units only where each number has its own."""
        parts = [(c.slopes, c.strength, c.paid) for c in self.free.values()]
        units = [c.units for c in self.free.values() if c.units.shape[1] > 1]
        return [part for several in parts for part in several] + units

    def fit(self) -> None:
        """Slopes into what the curves have here."""
        with torch.no_grad():
            for at, choice in self.free.items():
                choice.slopes.copy_(choice.slopes.clamp(*self.ends[at]))

    def step(self, value: Float[Tensor, " rows"]) -> None:
        """Along the derivatives of each row's own bound."""
        self.adam.zero_grad()
        # Operations that are transposed by differentiation share a graph, which is kept.
        moved = self._moved
        torch.autograd.backward(-value.sum(), inputs=moved, retain_graph=True)
        for part in moved:
            if part.grad is not None:
                part.grad.nan_to_num_(0.0, 0.0, 0.0)
        self.adam.step()
        for group in self.adam.param_groups:
            group["lr"] *= self.pace.decay

    def keep(self, rows: Int64[Tensor, " some"]) -> None:
        """Of these rows alone."""
        taken = {
            part: part.detach()[rows].requires_grad_()
            for c in self.free.values()
            for part in c.parts
        }
        for group in self.adam.param_groups:
            group["params"] = [taken[part] for part in group["params"]]
        for before, part in taken.items():
            moments = self.adam.state.pop(before, {})
            self.adam.state[part] = {k: v[rows] if v.ndim else v for k, v in moments.items()}
        self.free = {at: Choice(*(taken[part] for part in c.parts)) for at, c in self.free.items()}


def proved(
    around: Surroundings, rows: Float[Tensor, "rows classes"], choices: Choices
) -> tuple[Float[Tensor, " rows"], Choices]:
    """What the choices prove, in float64 with outward rounding; and where the proof ended."""
    last = len(around.image.program.nodes) - 1
    fitting = {}
    for at, choice in choices.curves.items():
        low, high = around.cells[at].slopes
        slopes = choice.slopes.clamp(low, high)
        fitting[at] = replace(choice, slopes=slopes)
    with torch.no_grad():
        value, end = lower_bound(around, last, rows, Choices(fitting, choices.ends), True)
    return value, Choices(fitting, end)
