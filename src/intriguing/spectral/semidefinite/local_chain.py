"""Bounds that hold around one image: the chain's slopes as seen from there.

A certificate needs no bound of the change between any two images, only from this image x to others
with ‖x' − x‖ ≤ R. There the ellipsoid before an activation says how far each of its units can move,
d_i = R·sqrt(Z_ii), and the chords from the unit's own value span fewer slopes (`chord_slopes.py`):
units that cannot switch have one slope, the others less than all. The next ellipsoids are smaller
for it, and with them the units' reach, layer by layer. The multipliers are then found anew.

If L bounds the change of a lead f_c − f_j inside the ball, no point at less than
min(R, (f_c − f_j)(x)/L) is classified as j. L grows with R, so that the best R is searched for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.spectral.semidefinite.batched_lbfgs import descend
from intriguing.spectral.semidefinite.chord_slopes import chord_slopes
from intriguing.spectral.semidefinite.ellipsoid import (
    Axes,
    Covariance,
    Relax,
    Step,
    Windows,
    carry,
    covariance,
)
from intriguing.spectral.semidefinite.layers import Layer
from intriguing.spectral.semidefinite.multiplier_search import EVALUATIONS, SemidefiniteConfig
from intriguing.spectral.semidefinite.multipliers import (
    SHRINK,
    TINY,
    at,
    leading,
    minimise,
    numbers,
    work,
)
from intriguing.spectral.semidefinite.outward_rounding import (
    Enclosure,
    advanced,
    opening,
    proved_along,
    replay,
)
from intriguing.spectral.semidefinite.steps import program

BARRIERS = (3e-3,)
"""One μ: a gap of a third of a percent is below what the choice of R leaves."""
ITERATIONS = 12
"""Steps for each lead: from the chain's own multipliers, more gain less than 1 %."""
REACH_ITERATIONS = 6
"""Steps that keep units' reach small, one layer after another."""
FIRST = 1.5
"""R at first, relative to the radius known."""
TRIALS, LONGER = 7, 1.6
"""Then so many others, with the multipliers found."""
LAST = 1.03
"""And at last, with new ones, relative to the best of those."""
ROUNDED = 1.0 + 1e-9
"""Pays for the rounding of a square root and a product, many times over."""
OPERATIONS = 1e11
"""Floating-point operations that one lead may cost at most."""


@dataclass(frozen=True)
class LocalChain:
    """A feed-forward chain whose slopes can be anchored.

    Attributes:
        steps, start: Of its program.
        activations: Of each slope that a step's `place` names.
        together: How many rows to treat at once.
    """

    steps: tuple[Step, ...]
    start: Float[Tensor, " n"]
    activations: tuple[Operation, ...]
    together: int

    def radii(
        self,
        values: Sequence[Float[Tensor, "rows units"]],
        directions: Float[Tensor, "rows out"],
        margins: Float[Tensor, " rows"],
        known: Float[Tensor, " rows"],
    ) -> Float[Tensor, " rows"]:
        """Within which distance each row's lead stays above 0; at least what is known.

        Args:
            values: What enters each activation at the row's image.
            directions: The lead is this times the output.
            margins: The lead at the image.
            known: A radius that is proved already, above 0.
        """
        parts = []
        for first in range(0, len(margins), self.together):
            rows = slice(first, first + self.together)
            own = [value[rows] for value in values]
            parts.append(self._radii(own, directions[rows], margins[rows], known[rows]))
        return torch.cat(parts) if parts else known

    def _radii(
        self, values: Sequence[Tensor], directions: Tensor, margins: Tensor, known: Tensor
    ) -> Tensor:
        best = known
        reach = FIRST * known
        steps, logs = self._anchored(values, reach, None)
        bound, logs = self._refined(steps, logs, directions)
        shape = logs + _widths(steps, logs)
        found = torch.minimum(reach, margins / bound)
        # With these multipliers, the largest R that L(R) allows: longer while it does, then halved.
        inside = torch.where(found >= reach, reach, 0.0)
        outside = torch.where(found >= reach, torch.inf, reach)
        for _ in range(TRIALS):
            reach = torch.where(
                outside.isfinite(),
                (torch.maximum(inside, found) * outside).sqrt(),
                LONGER * torch.maximum(inside, found),
            )
            steps, own = self._anchored(values, reach, shape)
            radius = torch.minimum(reach, margins / self._proved(steps, own, directions))
            found = torch.maximum(found, radius)
            inside = torch.where(radius >= reach, reach, inside)
            outside = torch.where(radius >= reach, outside, torch.minimum(reach, outside))
        best = torch.maximum(best, found)
        # Better multipliers will allow a little more than these.
        reach = LAST * best
        bound, _ = self._refined(*self._anchored(values, reach, shape), directions)
        return torch.maximum(best, torch.minimum(reach, margins / bound))

    def _refined(
        self, steps: tuple[Step, ...], logs: Tensor, directions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Bounds with the best multipliers for these slopes, and those."""
        rest, state = leading(steps, Axes(self.start[None]))
        bound = self._proved(steps, logs, directions)
        better = minimise(rest, state, logs, directions, barriers=BARRIERS, iterations=ITERATIONS)
        for own, _ in better:
            proved = self._proved(steps, own, directions)
            logs = torch.where((proved <= bound)[:, None], own, logs)
            bound = torch.minimum(bound, proved)
        return bound, logs

    def _proved(self, steps: tuple[Step, ...], logs: Tensor, directions: Tensor) -> Tensor:
        return proved_along(replay(steps, self.start, logs), directions)

    def _anchored(
        self, values: Sequence[Tensor], reach: Tensor, shape: Tensor | None
    ) -> tuple[tuple[Step, ...], Tensor]:
        """The steps with the slopes inside each row's ball, and multipliers that are feasible.

        `shape` is log TH², which suits slopes of other widths better than T. Without it,
        multipliers are searched that keep the units' reach small.
        """
        state = opening(self.start, reach[:, None])
        steps: list[Step] = []
        found: list[Tensor] = []
        used = 0
        for number, step in enumerate(self.steps):
            own = reach.new_zeros(len(reach), 0)
            if isinstance(step, Relax | Windows):
                before = covariance(state.ellipsoid)
                if isinstance(step, Relax) and step.place >= 0:
                    step = self._seen(step, state, values[step.place], reach)
                given = None if shape is None else shape[:, used : used + step.units]
                own = _feasible(step, before, given)
                if shape is None:
                    own = self._kept_small(step, before, own, number)
                used += step.units
                found.append(own)
            state = advanced(step, state, own)
            steps.append(step)
        return tuple(steps), torch.cat(found, 1)

    def _seen(self, step: Relax, state: Enclosure, value: Tensor, reach: Tensor) -> Relax:
        """With the slopes of chords no longer than each unit's reach."""
        assert isinstance(state.ellipsoid, Covariance)
        squares = state.ellipsoid.matrix[:, 0].diagonal(dim1=-2, dim2=-1).real
        distance = reach[:, None] * squares.clamp_min(0).sqrt() * ROUNDED
        distance = torch.where(state.proved[:, None], distance, torch.inf)
        low, high = chord_slopes(self.activations[step.place], value, distance)
        return replace(step, low=low, high=high)

    def _kept_small(
        self, step: Relax | Windows, before: Tensor, own: Tensor, number: int
    ) -> Tensor:
        """Multipliers for which units of the next activation move little; unchanged at the last."""
        between = []
        for after in self.steps[number + 1 :]:
            if isinstance(after, Relax | Windows):
                break
            between.append(after)
        else:
            return own
        segment = (step, *between)

        def objective(point: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
            point = point.detach().requires_grad_()
            passage = carry(at(segment, rows), Covariance(before[rows]), point)
            squares = covariance(passage.end).diagonal(dim1=-2, dim2=-1).real
            value = squares.clamp_min(TINY).log().mean((1, 2)) - BARRIERS[0] * passage.barrier
            inside = passage.feasible & value.isfinite()
            if not inside.any():
                return torch.full_like(value, torch.inf).detach(), torch.zeros_like(point)
            (gradient,) = torch.autograd.grad(value[inside].sum(), point)
            inside = inside & gradient.isfinite().all(1)
            return (
                torch.where(inside, value.detach(), torch.inf),
                torch.where(inside[:, None], gradient, 0.0),
            )

        return descend(objective, own, steps=REACH_ITERATIONS)


def local_chain(
    layers: Sequence[Layer], activations: tuple[Operation, ...], config: SemidefiniteConfig
) -> LocalChain | None:
    """A chain with slopes to anchor, or None if it has none or one lead would cost too much."""
    chain = program(layers, config.dense_units)
    if not any(isinstance(step, Relax) and step.place >= 0 for step in chain.steps):
        return None
    steps, state = leading(chain.steps, Axes(chain.start[None]))
    evaluations = 2 * EVALUATIONS * len(BARRIERS) * ITERATIONS + 4 * TRIALS
    held = sum(numbers(step) for step in chain.steps)
    if evaluations * work(steps, state) > OPERATIONS or held > config.numbers:
        return None
    return LocalChain(
        chain.steps, chain.start, activations, max(1, config.numbers // max(1, held) // 4)
    )


def _widths(steps: tuple[Step, ...], logs: Tensor) -> Tensor:
    """2 log H of every multiplier, and 0 for windows."""
    wide = []
    for step in steps:
        if isinstance(step, Relax | Windows):
            width = step.width if isinstance(step, Relax) else 1.0
            wide.append(torch.as_tensor(width, dtype=logs.dtype).expand(len(logs), step.units))
    widths: Tensor = torch.cat([width.to(logs.device) for width in wide], 1)
    return 2.0 * widths.log()


def _feasible(step: Relax | Windows, before: Tensor, given: Tensor | None) -> Tensor:
    """log T or log e for which the next ellipsoid is finite: T of TH², scaled where needed."""
    if isinstance(step, Windows):
        largest = torch.linalg.eigvalsh(before)[..., -1].amax(1).clamp_min(TINY)
        level: Tensor = (largest / SHRINK).log()[:, None]
        return level.expand(len(before), step.units)
    width = torch.as_tensor(step.width, dtype=before.real.dtype, device=before.device)
    width = width.expand(len(before), step.units)
    own = (torch.zeros_like(width) if given is None else given) - 2.0 * width.log()
    scale = (0.5 * own).exp() * width
    inner = scale[:, None, :, None] * before * scale[:, None, None, :]
    largest = torch.linalg.eigvalsh(inner)[..., -1].amax(1).clamp_min(TINY)
    # X ≻ 0 where this is below 2; a start of one's own is in the middle of that.
    target = torch.ones_like(largest) if given is None else largest.clamp_max(1.99)
    shift: Tensor = (target / largest).log()[:, None]
    return own + shift
