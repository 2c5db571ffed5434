"""The multipliers of the last bound, and the radius up to which it is above 0.

Adam on slopes, strengths and shares, each row (a class against the label) by itself. Nothing that
it finds needs to be trusted: with whatever it gives, one pass with outward rounding is the proof.
"""

import math
import time
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.spectral.certificates.relaxation.backward import lower_bound
from intriguing.spectral.certificates.relaxation.choices import Choice, Choices
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
LONG = Pace(300, 0.02, 0.1, 0.99, patience=300)
"""The same where much is to be moved a little."""
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
                choices[at] = Choice(slopes, strength, torch.full_like(length, -1.0))
                shape = program.nodes[before].shape
                parts = [rule.gathered(flat * slopes, shape.numel()).view(len(q), *shape[1:])]
            else:
                parts = list(node.rule.adjoint(q))  # type: ignore[union-attr]
            for parent, part in zip(node.parents, parts, strict=True):
                linear[parent] = linear[parent] + part if parent in linear else part
    return Choices(choices)


def apart(around: Surroundings, choices: Choices) -> Choices:
    """The same with a strength for every unit where tails of single units go on.

    Of a unit that is straight in the ball, off among others, nothing is lost that one would pay
    for: its own is next to none.
    """
    image, curves = around.image, dict(choices.curves)
    places = {*image.inner, *([image.first.place] if image.first else [])}
    for at, choice in curves.items():
        if image.program.nodes[at].parents[0] in places and choice.strength.shape[1] == 1:
            low, high = around.cells[at].slopes
            strength = choice.strength - torch.where(high > low, 0.0, _STRAIGHT).to(choice.slopes)
            curves[at] = replace(choice, strength=strength)
    return Choices(curves, choices.ends)


def improved(
    around: Surroundings, rows: Float[Tensor, "rows classes"], choices: Choices, pace: Pace,
    until: float = math.inf, dtype: torch.dtype = torch.float32,
) -> Choices:  # fmt: skip
    """Better choices for these rows, by steps until the process has taken so many seconds."""
    last = len(around.image.program.nodes) - 1
    kept, end = dict(choices.curves), choices.ends
    ends = {at: tuple(e.to(dtype) for e in around.cells[at].slopes) for at in kept}
    free = {
        at: Choice(*(t.detach().to(dtype).clone().requires_grad_() for t in choice.parts))
        for at, choice in kept.items()
    }
    slopes = [choice.slopes for choice in free.values()]
    logs = [t for choice in free.values() for t in (choice.strength, choice.paid)]
    adam = torch.optim.Adam(
        [{"params": slopes, "lr": pace.slopes}, {"params": logs, "lr": pace.logarithms}]
    )
    best = torch.full((len(rows),), -torch.inf, dtype=dtype, device=rows.device)
    before, first = best, best
    for step in range(pace.steps + 1):
        with torch.no_grad():
            for at, choice in free.items():
                choice.slopes.copy_(choice.slopes.clamp(*ends[at]))
        value, end = lower_bound(around, last, rows.to(dtype), Choices(free, end), False)
        better = value.detach() > best
        best = torch.where(better, value.detach(), best)
        kept = {at: _better(better, free[at], kept[at]) for at in free}
        if step % pace.patience == 0:
            if step and bool((best - before <= _GAIN * (best - first)).all()):
                break
            before = best
            first = best if step == 0 else first
        if step == pace.steps or time.process_time() >= until:
            break
        adam.zero_grad()
        # Operations that are transposed by differentiation share a graph, which is kept.
        torch.autograd.backward(-value.sum(), inputs=slopes + logs, retain_graph=True)
        for choice in free.values():
            for part in choice.parts:
                if part.grad is not None:
                    part.grad.nan_to_num_(0.0, 0.0, 0.0)
        adam.step()
        for group in adam.param_groups:
            group["lr"] *= pace.decay
    return Choices(kept, end.each(lambda t: t.double()))


def proved(
    around: Surroundings, rows: Float[Tensor, "rows classes"], choices: Choices
) -> tuple[Float[Tensor, " rows"], Choices]:
    """What the choices prove, in float64 with outward rounding; and where the proof ended."""
    last = len(around.image.program.nodes) - 1
    fitting = {}
    for at, choice in choices.curves.items():
        low, high = around.cells[at].slopes
        slopes = choice.slopes.clamp(low, high)
        fitting[at] = Choice(slopes, choice.strength, choice.paid)
    with torch.no_grad():
        value, end = lower_bound(around, last, rows, Choices(fitting, choices.ends), True)
    return value, Choices(fitting, end)


def _better(better: Tensor, new: Choice, old: Choice) -> Choice:
    """The new ones in the rows where they are better."""
    return Choice(
        *(
            torch.where(better[:, None], first.detach().double(), second)
            for first, second in zip(new.parts, old.parts, strict=True)
        )
    )
