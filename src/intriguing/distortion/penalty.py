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
from intriguing.distortion.rows import filled, width_of
from intriguing.errors import InputError
from intriguing.measures import Box


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
    search = _Conveyor(images, box, config, width)
    while search.alive.any():
        now = objective(search.descent.trial, goal[search.image])
        search.passes += 1
        search.consume(now.loss, now.gradient, now.margin)
        on_finished(search.finished_images)
    return search.answer


class _Conveyor:
    """The images under way, their descents and their brackets of c."""

    def __init__(self, images: Tensor, box: Box, config: PaperConfig, width: int) -> None:
        count = len(images)
        self.images, self.config = images, config
        self.next = min(width, count)
        self.finished_images = 0
        self.width = width_of(images)
        self.image = filled(torch.arange(self.next, device=images.device), self.width)
        first = images[self.image]
        blank = first.new_zeros(len(first))
        self.descent = BoxDescent(first, first, blank, box, config.descent, config.penalty)
        self.alive = torch.arange(len(first), device=images.device) < self.next
        self.passes = torch.zeros_like(self.image)
        self.solves = torch.zeros_like(self.image)
        self.new = torch.ones_like(self.alive)
        self.margin = blank.clone()
        self.low = blank.clone()
        self.high = blank + torch.inf
        self.best = torch.zeros_like(first)
        self.best_gradient = torch.zeros_like(first)
        self.best_loss = blank.clone()
        self.best_length = blank.clone()
        self.best_margin = blank.clone()
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
        "image", "alive", "passes", "solves", "new", "margin", "low", "high", "best",
        "best_gradient", "best_loss", "best_length", "best_margin",
    )  # fmt: skip

    def consume(self, loss: Tensor, gradient: Tensor, margin: Tensor) -> None:
        """Advance every descent by one evaluation, and the search of those that have converged."""
        moved = self.descent.consume(loss, gradient)
        self.margin = torch.where(moved, margin, self.margin)
        self.new &= self.alive
        if self.new.any():
            self._begin(self.new.nonzero()[:, 0], loss, gradient)
        ended = (self.descent.finished() & self.alive).nonzero()[:, 0]
        if len(ended):
            self._decide(ended)
        self.descent.aim()

    def _begin(self, rows: Tensor, loss: Tensor, gradient: Tensor) -> None:
        """Choose the first c from the gradient at x; images that are l already are finished."""
        self.new[rows] = False
        steep = gradient.square().sum(1)[rows]
        linear = steep / loss[rows]
        c = linear / 4 * self.config.start
        if self.config.penalty == "norm":
            c = c * 2 * loss[rows] / steep.sqrt()
        ok = (self.margin[rows] <= 0) & c.isfinite() & (c > 0)
        self.descent.change_c(rows[ok], c[ok])
        self.descent.theta[rows[ok]] = linear[ok]
        self.descent.tolerance[rows[ok]] = self.config.loose
        done = rows[~ok]
        if len(done):
            self.low[done] = torch.where(self.margin[done] > 0, torch.inf, 0 * c[~ok])
            self.best[done] = self.descent.z[done]
            self.best_margin[done] = self.margin[done]
            fooled = done[self.margin[done] > 0]
            self._mark(fooled, torch.zeros_like(self.low[fooled]))
            self._finish(done)

    def _decide(self, rows: Tensor) -> None:
        """Judge the minimisers of `rows`, narrow their brackets, and choose their next c."""
        c = self.descent.c[rows]
        margin = self.margin[rows]
        success = margin > 0
        self._record(rows, c, margin)
        good, bad = rows[success], rows[~success]
        loss, gradient = self.descent.loss_and_gradient(good)
        self.low[good] = c[success]
        squared_length = self.descent.squared_length[good]
        self._mark(good, squared_length.sqrt())
        self.best_length[good] = squared_length
        self.best[good] = self.descent.z[good]
        self.best_gradient[good] = gradient
        self.best_loss[good] = loss
        self.best_margin[good] = margin[success]
        self.high[bad] = c[~success]
        low, high = self.low[rows], self.high[rows]
        over = high / low <= 1 + self.config.precision
        over |= self.solves[rows] >= self.config.max_solves
        back = rows[~success & (low > 0) & ~over]
        self.descent.restore(
            back, self.best[back], self.best_length[back], self.best_loss[back],
            self.best_gradient[back],
        )  # fmt: skip
        on = rows[~over]
        self.descent.change_c(on, self._next_c(on))
        width = (self.high / self.low).log()[on]
        tight = self.config.descent.tolerance
        self.descent.tolerance[on] = (self.config.loose * width).clamp(tight, self.config.loose)
        if over.any():
            self._finish(rows[over])

    def _next_c(self, rows: Tensor) -> Tensor:
        low, high = self.low[rows], self.high[rows]
        factor = self.config.factor
        inside = low.sqrt() * high.sqrt()
        return torch.where(low == 0, high / factor, torch.where(high.isinf(), low * factor, inside))

    def _record(self, rows: Tensor, c: Tensor, margin: Tensor) -> None:
        length = self.descent.squared_length[rows].sqrt()
        entry = torch.stack((c, length, margin), 1)
        self.answer.trace[self.image[rows], self.solves[rows]] = entry
        self.solves[rows] += 1

    def _mark(self, rows: Tensor, length: Tensor) -> None:
        """Enter adversarial minimisers of `rows` in their curves from the passes so far on."""
        budgets = torch.tensor(BUDGETS, device=rows.device)
        reached = torch.where(budgets >= self.passes[rows, None], length[:, None], torch.inf)
        image = self.image[rows]
        self.answer.curve[image] = torch.minimum(self.answer.curve[image], reached)

    def _finish(self, rows: Tensor) -> None:
        """Write the answers of `rows` down and give their places to the next images."""
        image, answer = self.image[rows], self.answer
        answer.points[image] = self.best[rows]
        answer.margin[image] = torch.where(self.low[rows] > 0, self.best_margin[rows], -torch.inf)
        answer.c[image] = self.low[rows]
        answer.passes[image] = self.passes[rows]
        answer.solves[image] = self.solves[rows]
        self.finished_images += len(rows)
        waiting = min(len(rows), len(self.images) - self.next)
        self._refill(rows[:waiting])
        self.alive[rows[waiting:]] = False
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
        self.new[rows] = True
        for name, value in (("passes", 0), ("solves", 0), ("low", 0.0), ("high", math.inf)):
            getattr(self, name)[rows] = value

    def _compact(self, rows: Tensor, alive: int) -> None:
        """Keep only these places, of which the first so many are alive."""
        self.descent.keep(rows)
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])
        self.alive[alive:] = False
