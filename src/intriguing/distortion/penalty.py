"""The paper's approximation of D(x, l): box-constrained L-BFGS on a penalty, and a search over c.

    minimise  c·φ(‖r‖) + loss_f(x + r, l)   subject to  x + r in the box          (§4.1)

c weighs the size of r, so a larger c gives a smaller r, and the wanted c is the *largest* one whose
minimiser is still classified l. (The paper says the minimum c: as if c weighed the loss.)

The search starts from half of the c that a linear network with the gradient seen at x would want.
Every minimiser tells what c would end where the margin is 0, if the margin grew evenly along r; the
next c is that, or where the secant of what two of them tell is 0, a little to the side of which
less is known: usually five minimisations have one success and one failure within the precision.
Each starts from the best adversarial minimiser so far and keeps its pairs, whose curvature follows
a change of c exactly. Images ride a conveyor of fixed width: one that is finished leaves its place
to the next, and no image waits for another.
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
from intriguing.distortion.rows import filled, overwritten, width_of
from intriguing.errors import InputError
from intriguing.measures import Box

_ROUNDS = 8
"""Rounds after which an accelerator is asked which images are finished."""


@dataclass(frozen=True)
class PaperConfig:
    """The search over c of §4.1.

    penalty: "squared" minimises c‖r‖² + loss (smooth; what the known implementations do and what
    our tables use), "norm" c‖r‖ + loss as the paper prints. factor: by how much c grows or shrinks
    at most between two minimisations. precision: the search ends when the largest successful c and
    the smallest failing one differ by less than this share. max_solves: minimisations an image may
    have. start: the first c, as a share of the one that a linear network would want. loose: the
    tolerance of minimisations far from the answer. descent: the inner solver's limits, its
    tolerance the one near the answer.
    """

    penalty: Penalty = "squared"
    factor: float = 4.0
    precision: float = 0.02
    max_solves: int = 30
    start: float = 0.5
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
    return search.answer()


class _Conveyor:
    """The images under way, their descents and their brackets of c.

    Of a minimiser we keep ℓ, ‖r‖², its margin, c, ‖r‖, the passes so far, x = ln c, and how far
    ahead of x the margin seems to be 0: a row of 8. `low` is that of the largest c which has
    succeeded, `high` that of the smallest which has not.
    """

    def __init__(
        self, images: Tensor, goals: Goal, box: Box, config: PaperConfig, width: int
    ) -> None:
        count, device = len(images), images.device
        self.images, self.goals, self.config = images, goals, config
        self.next = min(width, count)
        self.finished_images = 0
        self.width = width_of(images)
        # What is finished leaves at once, or after a few rounds where knowing it means to wait.
        self.every = 1 if device.type == "cpu" else _ROUNDS
        self.rounds = 0
        self.image = filled(torch.arange(self.next, device=device), self.width)
        self.goal = goals[self.image]
        first = images[self.image]
        self.descent = BoxDescent(
            first, first, torch.ones_like(first[:, 0]), box, config.descent, config.penalty
        )
        self.alive = torch.arange(len(first), device=device) < self.next
        self.going = self.alive.clone()
        self.passes = torch.zeros_like(self.image)
        self.solves = torch.zeros_like(self.image)
        self.new: Tensor | None = torch.arange(len(first), device=device)
        self.x = torch.zeros_like(first[:, 0])
        self.low = first.new_tensor(_UNKNOWN).repeat(len(first), 1)
        self.high = -self.low
        self.best = torch.zeros_like(first)
        self.best_gradient = torch.zeros_like(first)
        # One place more than there are minimisations takes what is not to be kept.
        self.trace = first.new_full((len(first), config.max_solves + 1, 8), torch.nan)
        self._plan = first.new_tensor([_plan(k, config) for k in range(config.max_solves + 1)])
        # Of every image, once it is finished: where it ended, `low`, `trace`, passes and solves.
        self.points = images.clone()
        self.ends = images.new_full((count, 8), torch.nan)
        self.told = images.new_full((count, config.max_solves, 8), torch.nan)
        self.spent = torch.zeros(count, 2, dtype=torch.long, device=device)

    _ROWS = (
        "image", "alive", "going", "passes", "solves", "x", "high", "low", "best", "best_gradient",
        "trace",
    )  # fmt: skip

    def consume(self, loss: Tensor, gradient: Tensor, margin: Tensor) -> None:
        """Advance every descent by one evaluation, and the search of those that have converged."""
        self.passes += self.going
        self.descent.take(loss, gradient, margin)
        if self.new is not None:
            self._begin(self.new, loss, gradient)
            self.new = None
        self.descent.measure()
        ended = self.descent.finished() & self.going
        if self.every > 1 or ended.any():
            self._decide(ended)
        self.rounds += 1
        if self.rounds % self.every == 0:
            done = (self.alive > self.going).nonzero()[:, 0]
            if len(done):
                self._finish(done)
        self.descent.aim()

    def _begin(self, rows: Tensor, loss: Tensor, gradient: Tensor) -> None:
        """Choose the first c from the gradient at x; images that are l already are finished."""
        descent = self.descent
        steep = torch.square(gradient, out=descent.spare).sum(1)[rows]
        loss, margin = loss[rows], descent.margin[rows]
        linear = steep / loss
        c = linear / 4 * self.config.start
        if self.config.penalty == "norm":
            c = c * 2 * loss / steep.sqrt()
        fooled = margin > 0
        ok = ~fooled & c.isfinite() & (c > 0)
        self.going[rows] = self.going[rows] & ok
        c = torch.where(ok, c, 1)
        self.x[rows] = c.log()
        everyone = torch.zeros_like(descent.c)
        everyone[rows] = c
        descent.change_c(everyone, everyone > 0)
        descent.theta[rows] = torch.where(ok, linear, 1)
        descent.tolerance[rows] = self.config.loose
        nothing = torch.where(fooled, torch.inf, 0 * linear)
        self.low[rows, _C] = torch.where(ok, 0, nothing)
        self.low[rows, _X] = torch.where(fooled, torch.inf, torch.full_like(c, -_NOWHERE))
        self.low[rows, :3] = descent.told[rows]
        self.best[rows], self.best_gradient[rows] = descent.z[rows], descent.gradient[rows]

    def _decide(self, ended: Tensor) -> None:
        """Judge the minimisers of the images that have `ended`, and choose their next c."""
        descent, config = self.descent, self.config
        good = ended & (descent.margin > 0)
        bad = ended > good
        x, ahead = self.x, self._ahead()
        more = (descent.c, descent.squared_length.sqrt(), self.passes.to(x), x, ahead)
        now = torch.cat((descent.told, torch.stack(more, 1)), 1)
        place = torch.where(ended, self.solves, config.max_solves)
        self.trace.scatter_(1, place[:, None, None].expand(-1, 1, 8), now[:, None])
        self.solves += ended
        before, grown = self.low, x - self.low[:, _X]
        still = good & (now[:, _LENGTH] >= (1 - _STILL) * before[:, _LENGTH]) & (ahead < _NEAR)
        still &= (grown >= math.log1p(config.precision)) & (grown < _NOWHERE / 2)
        self.low = torch.where(good[:, None], now, before)
        self.high = torch.where(bad[:, None], now, self.high)
        self.best, self.best_gradient = overwritten(
            good, (self.best, self.best_gradient), (descent.z, descent.gradient)
        )
        low, high = self.low[:, _X], self.high[:, _X]
        between = high - low
        over = (
            (between <= math.log1p(config.precision)) | (self.solves >= config.max_solves) | still
        )
        on = ended > over
        back = (low > -_NOWHERE) | (self.solves >= _AFRESH)
        descent.restore(on & bad & back, self.best, self.best_gradient, self.low[:, :3])
        # Where the secant is 0, and then to that side of it of which less is known.
        share = self.low[:, _AHEAD] / (self.low[:, _AHEAD] - self.high[:, _AHEAD])
        reach, inside = self._plan[self.solves].unbind(1)
        aim = torch.addcmul(low, between, share) - torch.copysign(reach, share - 0.5)
        inside = inside * between * (between < _NOWHERE / 2)
        aim = torch.clamp(aim, low + inside, high - inside)
        tolerance = (2 * config.loose * (aim - x).abs()).clamp(
            config.descent.tolerance, config.loose
        )
        descent.tolerance = torch.where(on, tolerance, descent.tolerance)
        self.x = torch.where(on, aim, x)
        descent.change_c(self.x.exp(), on)
        self.going &= on | ~ended

    def _ahead(self) -> Float[Tensor, " b"]:
        """How far, in ln c, the margin would be 0 if it grew evenly along r: above 0 after success.

        With ℓ = ln(1 + e^−m) a minimiser has 2c‖r‖ = σ(−m)·‖∇m‖. So it tells ‖∇m‖, hence where m
        is 0, and what c would end there.
        """
        margin = self.descent.margin
        odds = 1 + margin.exp()
        if self.config.penalty == "squared":
            pulled = self.descent.pull * self.descent.squared_length
            odds *= pulled / torch.addcdiv(pulled, margin, odds, value=-1).clamp_min(1e-30)
        most = math.log(self.config.factor)
        return (odds.log() - math.log(2)).clamp(-most, most)

    def answer(self) -> PenaltySearch:
        """What came of every image."""
        trace, end = self.told[:, :, :, None], self.ends
        length, margin, passes = (trace[:, :, k] for k in (_LENGTH, _MARGIN, _PASSES))
        reached = (margin > 0) & (passes <= torch.tensor(BUDGETS, device=trace.device))
        shortest = torch.where(reached, length, torch.inf).amin(1)
        return PenaltySearch(
            points=self.points,
            margin=torch.where(end[:, _X] > -_NOWHERE, end[:, _MARGIN], -torch.inf),
            c=end[:, _C],
            passes=self.spent[:, 0],
            solves=self.spent[:, 1],
            trace=torch.stack([self.told[:, :, k] for k in (_C, _LENGTH, _MARGIN)], 2),
            # Those that are l already are so from their first pass on.
            curve=torch.where(end[:, _X, None].isposinf(), 0, shortest),
        )

    def _finish(self, rows: Tensor) -> None:
        """Write down how `rows` ended and give their places to the next images."""
        image = self.image[rows]
        self.points[image], self.ends[image] = self.best[rows], self.low[rows]
        self.told[image] = self.trace[rows, :-1]
        self.spent[image] = torch.stack((self.passes[rows], self.solves[rows]), 1)
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
        self.descent.load(rows, self.images[coming])
        self.image[rows] = coming
        self.goal, self.new = self.goals[self.image], rows
        self.going[rows] = True
        for name, value in (
            ("passes", 0), ("solves", 0), ("trace", math.nan),
            ("low", self.low.new_tensor(_UNKNOWN)), ("high", -self.low.new_tensor(_UNKNOWN)),
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


_MARGIN, _C, _LENGTH, _PASSES, _X, _AHEAD = range(2, 8)
"""Columns of what is kept of a minimiser."""
_NOWHERE = 1e3
"""|x| where an end of the bracket is not known: beyond every ln c, and finite."""
_UNKNOWN = (0.0, 0.0, 0.0, 0.0, 0.0, 0.0, -_NOWHERE, _NOWHERE)
"""The lower end before any success: the secant from there has the slope −1 that is expected."""
_STILL, _NEAR = 1e-3, 0.2
"""Share by which r must become shorter while c grows by more than the precision, and how near, in
ln c, the boundary is thought to be: at a kink r stays where it is, and a larger c is no help."""
_AFRESH = 5
"""Minimisations in vain after which the next starts at the image again: a smaller c is no help."""


def _plan(solves: int, config: PaperConfig) -> tuple[float, float]:
    """After so many minimisations: how far beyond the expected c to go, and how deep inside.

    The first goes by about a quarter of the precision to the other side of where the margin is
    expected to be 0, so that two that are well expected end the search, as near to it on average as
    bisection does; it doubles where they were not, for
    a margin that jumps. The second is the least share of the bracket to leave on either side.
    """
    reach = 0.27 * math.log1p(config.precision) * 2.0 ** max(0, solves - 4)
    inside = (0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.35)
    return min(reach, math.log(config.factor)), inside[solves] if solves < len(inside) else 0.5
