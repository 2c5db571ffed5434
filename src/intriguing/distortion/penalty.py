"""The paper's approximation of D(x, l): box-constrained L-BFGS on a penalty, and a search over c.

    minimise  c·φ(‖r‖) + loss_f(x + r, l)   subject to  x + r in the box          (§4.1)

c weighs the size of r, so a larger c gives a smaller r, and the wanted c is the *largest* one whose
minimiser is still classified l. (The paper says the minimum c: as if c weighed the loss.)

The search starts from the c that a linear network with the gradient seen at x would want, walks c
by a fixed factor until it has one success and one failure, and bisects log c. Every minimisation
starts from the best adversarial minimiser so far and keeps its pairs, whose curvature follows a
change of c exactly. Images ride a conveyor of fixed width: one that is finished leaves its place to
the next, and no image waits for another.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from intriguing.distortion.incumbent import BUDGETS
from intriguing.distortion.lbfgsb import BoxDescent, DescentConfig, Penalty
from intriguing.distortion.problem import Goal, TargetedLoss
from intriguing.distortion.rows import Rows, filled, put, width_of
from intriguing.errors import InputError
from intriguing.measures import Box

_ROUNDS = 8
"""Rounds after which an accelerator is asked which images are finished."""


@dataclass(frozen=True)
class PaperConfig:
    """The search over c of §4.1.

    penalty: "squared" minimises c‖r‖² + loss (smooth; what the known implementations do and what
    our tables use), "norm" c‖r‖ + loss as the paper prints. factor: by how much c grows or shrinks
    until the answer is bracketed. precision: the search ends when the largest successful c and the
    smallest failing one differ by less than this share. max_solves: minimisations an image may
    have. start: the first c, as a share of the one that a linear network would want. loose: the
    tolerance of minimisations far from the answer. descent: the inner solver's limits, its
    tolerance the one near the answer.
    """

    penalty: Penalty = "squared"
    factor: float = 4.0
    precision: float = 0.02
    max_solves: int = 30
    start: float = 0.25
    loose: float = 0.03
    descent: DescentConfig = field(default_factory=DescentConfig)

    def __post_init__(self) -> None:
        if not (self.factor > 1 and self.precision > 0 and self.max_solves >= 1 and self.start > 0):
            raise InputError(
                f"{self}: factor must exceed 1, precision and start must exceed 0, and max_solves "
                "must be at least 1"
            )
        if self.loose < self.descent.tolerance:
            raise InputError(
                f"loose={self.loose} is tighter than descent.tolerance={self.descent.tolerance}; "
                "give loose the larger value"
            )


@dataclass(frozen=True)
class PenaltySearch:
    """What the search found, one row an image.

    points: minimisers at the largest successful c, with their secure margins (−∞ for an image
    without success, whose point means nothing). c: infinite for an image that is l already, 0
    without success, NaN where the loss or its gradient at x is not finite. trace: c, ‖r‖₂ and
    margin of each minimisation. curve: the shortest adversarial ‖r‖₂ within each of `BUDGETS`.
    """

    points: Float[Tensor, "image n"]
    margin: Float[Tensor, " image"]
    c: Float[Tensor, " image"]
    passes: Int64[Tensor, " image"]
    solves: Int64[Tensor, " image"]
    trace: Float[Tensor, "image solve 3"]
    curve: Float[Tensor, "image budget"]


def search_c(
    objective: TargetedLoss,
    images: Float[Tensor, "image n"],
    goal: Goal,
    box: Box,
    config: PaperConfig,
    width: int,
    on_finished: Callable[[int], None] = lambda count: None,
) -> PenaltySearch:
    """Search the largest c of every image, `width` images at a time."""
    search = _Conveyor(images, goal, box, config, width)
    while search.finished_images < len(images):
        now = objective(search.descent.trial, search.goal)
        search.consume(now.loss, now.gradient, now.margin)
        on_finished(search.finished_images)
    return search.answer


class _Conveyor:
    """The images under way, their descents and their brackets of c."""

    def __init__(
        self, images: Tensor, goals: Goal, box: Box, config: PaperConfig, width: int
    ) -> None:
        count = len(images)
        self.images, self.goals, self.config = images, goals, config
        self.next = min(width, count)
        self.finished_images = 0
        self.width = width_of(images)
        # What is finished leaves at once, or after a few rounds where knowing it means to wait.
        self.every = 1 if images.device.type == "cpu" else _ROUNDS
        self.rounds = 0
        self.image = filled(torch.arange(self.next, device=images.device), self.width)
        self.goal = goals[self.image]
        first = images[self.image]
        blank = first.new_zeros(len(first))
        self.descent = BoxDescent(first, first, blank, box, config.descent, config.penalty)
        self.alive = torch.arange(len(first), device=images.device) < self.next
        self.going = self.alive.clone()
        self.passes = torch.zeros_like(self.image)
        self.solves = torch.zeros_like(self.image)
        self.new: Tensor | None = torch.arange(len(first), device=images.device)
        self.margin = blank.clone()
        self.low = blank.clone()
        self.high = blank + torch.inf
        self.best = torch.zeros_like(first)
        self.best_gradient = torch.zeros_like(first)
        self.best_loss = blank.clone()
        self.best_length = blank.clone()
        self.best_margin = blank.clone()
        # One place more than there are minimisations takes what is not to be kept.
        self.trace = first.new_full((len(first), config.max_solves + 1, 4), torch.nan)
        self._budgets = torch.tensor(BUDGETS, device=images.device)
        undefined = images.new_full((count,), torch.nan)
        self.answer = PenaltySearch(
            points=images.clone(),
            margin=undefined.clone(),
            c=undefined.clone(),
            passes=torch.zeros(count, dtype=torch.long, device=images.device),
            solves=torch.zeros(count, dtype=torch.long, device=images.device),
            trace=images.new_full((count, config.max_solves, 3), torch.nan),
            curve=images.new_full((count, len(BUDGETS)), torch.inf),
        )

    _ROWS = (
        "image", "alive", "going", "passes", "solves", "margin", "low", "high", "best",
        "best_gradient", "best_loss", "best_length", "best_margin", "trace",
    )  # fmt: skip

    def consume(self, loss: Tensor, gradient: Tensor, margin: Tensor) -> None:
        """Advance every descent by one evaluation, and the search of those that have converged."""
        self.passes += self.going
        moved = self.descent.consume(loss, gradient)
        self.margin = torch.where(moved, margin, self.margin)
        if self.new is not None:
            steep = gradient.square().sum(1)
            self._begin(self.new, loss[self.new], steep[self.new])
            self.new = None
        ended = self.descent.finished() & self.going
        if self.every > 1:
            self._decide(slice(None), ended)
        else:
            rows = ended.nonzero()[:, 0]
            if len(rows):
                self._decide(rows, ended[rows])
        self.rounds += 1
        if self.rounds % self.every == 0:
            done = (self.alive > self.going).nonzero()[:, 0]
            if len(done):
                self._finish(done)
        self.descent.aim()

    def _begin(self, rows: Tensor, loss: Tensor, steep: Tensor) -> None:
        """Choose the first c from the gradient at x; images that are l already are finished."""
        linear = steep / loss
        c = linear / 4 * self.config.start
        if self.config.penalty == "norm":
            c = c * 2 * loss / steep.sqrt()
        margin = self.margin[rows]
        fooled = margin > 0
        ok = ~fooled & c.isfinite() & (c > 0)
        self.descent.change_c(rows, c, ok)
        self.descent.theta[rows] = torch.where(ok, linear, self.descent.theta[rows])
        self.descent.tolerance[rows] = self.config.loose
        self.going[rows] = self.going[rows] & ok
        ends = torch.where(fooled, torch.inf, 0 * c)
        self.low[rows] = torch.where(ok, self.low[rows], ends)
        self.best[rows] = self.descent.z[rows]
        self.best_margin[rows] = margin

    def _decide(self, rows: Rows, ended: Tensor) -> None:
        """Judge the minimisers of the `rows` that have `ended`, and choose their next c."""
        descent, c, margin, solves = (
            self.descent,
            self.descent.c[rows],
            self.margin[rows],
            self.solves[rows],
        )
        good, bad = ended & (margin > 0), ended & (margin <= 0)
        squared_length = descent.squared_length[rows]
        length = squared_length.sqrt()
        place = torch.where(ended, solves, self.config.max_solves)
        entry = torch.stack((c, length, margin, self.passes[rows].to(c)), 1)[:, None]
        place = place[:, None, None].expand(-1, 1, 4)
        put(self, "trace", rows, self.trace[rows].scatter(1, place, entry))
        solves = solves + ended
        put(self, "solves", rows, solves)
        low = torch.where(good, c, self.low[rows])
        high = torch.where(bad, c, self.high[rows])
        put(self, "low", rows, low)
        put(self, "high", rows, high)
        self._keep(rows, good, squared_length, margin)
        ratio = self.high / self.low
        over = (ratio[rows] <= 1 + self.config.precision) | (solves >= self.config.max_solves)
        on = ended > over
        descent.restore(
            rows, on & bad & (low > 0), self.best[rows], self.best_length[rows],
            self.best_loss[rows], self.best_gradient[rows],
        )  # fmt: skip
        descent.change_c(rows, self._next_c(low, high), on)
        loose, tight = self.config.loose, self.config.descent.tolerance
        tolerance = (loose * ratio.log()[rows]).clamp(tight, loose)
        put(
            descent,
            "tolerance",
            rows,
            torch.where(on, tolerance, descent.tolerance[rows]),
        )
        put(self, "going", rows, self.going[rows] & (on | ~ended))

    def _keep(self, rows: Rows, good: Tensor, squared_length: Tensor, margin: Tensor) -> None:
        """Keep the minimisers of `rows` that are `good` as the best so far."""
        loss, gradient = self.descent.loss_and_gradient(rows)
        for name, new in (
            ("best", self.descent.z[rows]), ("best_gradient", gradient), ("best_loss", loss),
            ("best_length", squared_length), ("best_margin", margin),
        ):  # fmt: skip
            here = good[:, None] if new.ndim > 1 else good
            put(self, name, rows, torch.where(here, new, getattr(self, name)[rows]))

    def _next_c(self, low: Tensor, high: Tensor) -> Tensor:
        factor = self.config.factor
        inside = low.sqrt() * high.sqrt()
        return torch.where(
            low == 0,
            high / factor,
            torch.where(high == torch.inf, low * factor, inside),
        )

    def _curve(self, rows: Tensor) -> Float[Tensor, "rows budget"]:
        """The shortest adversarial minimisers of `rows` within each budget of passes."""
        _, length, margin, passes = self.trace[rows, :-1, :, None].unbind(2)
        reached = (margin > 0) & (passes <= self._budgets)
        shortest = torch.where(reached, length, torch.inf).amin(1)
        # Those that are l already are so from their first pass on.
        return torch.where(self.low[rows, None].isinf(), 0, shortest)

    def _finish(self, rows: Tensor) -> None:
        """Write the answers of `rows` down and give their places to the next images."""
        image, answer = self.image[rows], self.answer
        answer.points[image] = self.best[rows]
        answer.margin[image] = torch.where(self.low[rows] > 0, self.best_margin[rows], -torch.inf)
        answer.c[image] = self.low[rows]
        answer.passes[image] = self.passes[rows]
        answer.solves[image] = self.solves[rows]
        answer.trace[image] = self.trace[rows, :-1, :3]
        answer.curve[image] = self._curve(rows)
        self.finished_images += len(rows)
        waiting = min(len(rows), len(self.images) - self.next)
        self.alive[rows[waiting:]] = False
        if waiting:
            self._refill(rows[:waiting])
        elif self.finished_images < len(self.images):
            rows = self.alive.nonzero()[:, 0]
            needed = filled(rows, self.width)
            # Copying the rest pays when it spares a quarter of every pass.
            if len(needed) <= 0.75 * len(self.alive):
                self._compact(needed, len(rows))

    def _refill(self, rows: Tensor) -> None:
        coming = torch.arange(self.next, self.next + len(rows), device=rows.device)
        self.next += len(rows)
        self.descent.load(rows, self.images[coming], self.images.new_zeros(len(rows)))
        self.image[rows] = coming
        self.goal, self.new = self.goals[self.image], rows
        self.going[rows] = True
        for name, value in (
            ("passes", 0), ("solves", 0), ("low", 0.0), ("high", math.inf), ("trace", math.nan),
        ):  # fmt: skip
            getattr(self, name)[rows] = value

    def _compact(self, rows: Tensor, alive: int) -> None:
        """Keep only these places, of which the first so many are alive."""
        self.descent.keep(rows)
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])
        self.goal = self.goals[self.image]
        self.alive[alive:] = False
        self.going[alive:] = False
