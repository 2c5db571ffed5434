"""A batch of images on its way through a search: what is known of each, and the shared moves.

Rows that are finished take no more part. No move depends on what other rows there are: steps are
cut short by a row's own budget alone, and what comes after that is not taken.
"""

from collections.abc import Iterator
from itertools import pairwise

import torch
from jaxtyping import Bool, Int64
from torch import Tensor

from intriguing.distortion.bundle import polish
from intriguing.distortion.closest_config import ClosestConfig
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.lagrangian import lagrangian_path
from intriguing.distortion.margins import Margins
from intriguing.distortion.problem import Goal, Network, passes_to_measure
from intriguing.distortion.rows import filled, own, places, width_of
from intriguing.distortion.schedule import Round
from intriguing.distortion.sequential import Walk, sequential
from intriguing.measures import Box

SMOOTH = 2e-3
"""A walk's last gap below which a network counts as smooth: few searches that agree suffice."""
AGAIN = 1e-3
"""Share by which lengths may differ and still be the same answer, found again."""
_FINE = 3e-4
"""The gap below which no finer polish follows: it could gain no more than that."""
_FRESH = 3
"""Gradients that a step of a walk takes anew: a pass and a half; others keep their last ones."""
_WORTH = 6
"""Steps that a budget must still allow, or none is begun: fewer seldom pay for what comes first."""
_TOGETHER = 64
"""Rows that are cut short go together in so many, the longest first: few wait for few."""
# A forward pass is kept back for verifying.
_KEPT = 0.5


class Batch:
    """The rows of a search by number, and what is known of each.

    best: the shortest r. expected: the distance from which a path takes its steps. smooth: steps
    settle, so that two that agree suffice; stepwise: they end no farther out than a bundle. again:
    searches that have found the shortest r again. flat: the network is linear in pieces there, also
    if steps settle. nearest: untargeted, the likeliest classes, the nearest first once they are
    ranked; away: how far they are where margins are linear, NaN where not known; turned_to: which
    of them had one of the first paths; turn: how many have had a round, −1 before their steps.
    spent: a larger budget would have gone on here. calm: how alike successive gradients were on
    the first path (`close_in`); spread: the share of the pixels that have a gradient at its end, 0
    without one; saturated: that is very small. strayed: the first few steps did not lead to an
    answer; promised: how far the boundary is that the tangent at x has.
    """

    def __init__(
        self,
        network: Network,
        images: Tensor,
        goal: Goal,
        box: Box,
        config: ClosestConfig,
        seed: int,
    ) -> None:
        self.network, self.goal, self.box, self.config, self.seed = network, goal, box, config, seed
        self.x = images
        self.width = width_of(images)
        self.best = Incumbent(images, config.budget - _KEPT)
        count, like = len(images), images
        self.gap = like.new_full((count,), torch.nan)
        self.local_gap = like.new_full((count,), torch.nan)
        self.expected = like.new_full((count,), torch.inf)
        self.optimal = torch.zeros(count, dtype=torch.bool, device=like.device)
        self.smooth = torch.zeros(count, dtype=torch.bool, device=like.device)
        self.stepwise = torch.zeros_like(self.smooth)
        self.tried = torch.zeros_like(self.smooth)
        self.again = torch.zeros(count, dtype=torch.long, device=like.device)
        self.turn = torch.full_like(self.again, -1)
        self.spent = torch.zeros_like(self.smooth)
        self.flat = torch.zeros_like(self.smooth)
        self.calm = torch.zeros_like(self.gap)
        self.strayed = torch.zeros_like(self.smooth)
        self.promised = torch.full_like(self.gap, torch.inf)
        self.spread = torch.zeros_like(self.gap)
        self.saturated = torch.zeros_like(self.smooth)

    def look(self) -> tuple[Tensor, Tensor, Tensor]:
        """The logits of the images, which are finite, and which reach the goal as they are.

        From here on margins are in units of these logits.
        """
        with torch.no_grad():
            logits = self.network.logits(self.x)
        finite = logits.isfinite().all(1)
        already = self.goal.margin(logits) > 0
        self.goal = self.goal.measured(self.network, self.x, logits, self.box)
        reached = torch.where(already, 1.0, -1.0).to(self.x.dtype)
        self.best.offer(self.x, reached, forward=1 + passes_to_measure(logits))
        self.per_class = self.x.new_full(logits.shape, torch.nan)
        rivals = min(self.config.rivals, logits.shape[1] - 1)
        likely = logits.scatter(1, self.goal.classes[:, None], -torch.inf)
        self.nearest = likely.topk(rivals, 1).indices
        self.away = torch.full_like(self.nearest, torch.nan, dtype=self.x.dtype)
        self.turned_to = torch.zeros_like(self.nearest, dtype=torch.bool)
        return logits, finite, already

    def unfinished(self, rows: Tensor, chosen: Tensor) -> Int64[Tensor, " rows"]:
        """Those of the rows that are chosen, of all images, and have a pass left."""
        chosen = chosen & self.best.within_budget & ~self.spent
        return rows[places(chosen[rows], self.width)]

    def each(self, rows: Tensor) -> Int64[Tensor, " rows"]:
        """The rows, each once and in order, filled up with copies (`rows`)."""
        return filled(torch.unique(rows), self.width)

    def with_room(
        self, rows: Tensor, steps: int, cost: float = 1, first: float = 0
    ) -> Iterator[tuple[Tensor, int]]:
        """Places in `rows`, and how many of so many steps of that cost the budget of one allows.

        `first` is what comes before the first step. A row whose own budget allows fewer is taken no
        further than that (`Incumbent.affords`), so it does not matter which others go with it. It
        is spent then: what a larger budget does is the same and more. Places that only fill the
        rows up are not among them: what comes of the first one holds for these.
        """
        best, rows = self.best, rows[: own(rows)]
        before = best.spent[rows] / 2
        room = ((best.budget - before - first) / cost).floor().clamp(0, steps)
        room = torch.where(self.spent[rows] | (room < min(_WORTH, steps)), 0, room)
        most, order = room.cpu().sort(descending=True, stable=True)
        whole, some = (int((most >= least).sum()) for least in (steps, 1))
        for begin, end in pairwise((0, *range(whole, some, _TOGETHER), some)):
            if begin < end:
                yield filled(order[begin:end].to(rows.device), self.width), int(most[begin])
        taken = self.best.spent[rows] / 2 - before
        self.spent[rows] |= (room < steps) & ((room < 1) | (taken >= first + room * cost))

    def aim(self, rows: Tensor) -> Margins:
        """What must be beaten to keep the class of the shortest r: all others, or the label."""
        goal, best = self.goal[rows], self.best.take(rows)
        if goal.targeted:
            return Margins.against_all(goal.classes, goal, self.per_class.shape[1])
        with torch.no_grad():
            logits = self.network.logits(best.points)
        best.offer(best.points, goal.secure_margin(logits))
        self.best.put(rows, best)
        wanted = logits.scatter(1, goal.classes[:, None], -torch.inf).argmax(1)
        return self.against_label(rows, wanted)

    def against_label(self, rows: Tensor, wanted: Tensor) -> Margins:
        """A class against the label alone, as asked for in an untargeted search."""
        goal = self.goal[rows]
        return Margins.against(wanted, goal.classes, goal, self.per_class.shape[1])

    def follow(
        self,
        rows: Tensor,
        plan: Round,
        start: Tensor,
        expected: Tensor,
        towards: Goal | None = None,
        forgetful: Bool[Tensor, " rows"] | None = None,
    ) -> Tensor:
        """A path as planned, toward its own goal or one class: its shortest answer, or its end.

        `forgetful` rows keep nothing of earlier steps.
        """
        goal, ends = self.goal[rows], start.clone()
        smoothing = torch.full_like(expected, plan.smoothing)
        if forgetful is not None:
            smoothing = torch.where(forgetful, 0, smoothing)
        for part, stop in self.with_room(rows, plan.steps):
            best, ours = self.best.take(rows[part]), goal[part]
            ends[part] = lagrangian_path(
                self.network, ours, ours if towards is None else towards[part],
                best, start[part], expected[part], self.box, classes=self.per_class.shape[1],
                kind=plan.kind, steps=plan.steps, stop=stop, rate=plan.rate, end=plan.end,
                smoothing=smoothing[part],
            )  # fmt: skip
            self.best.put(rows[part], best)
        if (count := own(rows)) < len(rows):
            ends[count:] = ends[:1]
        return ends

    def walk(self, rows: Tensor, aim: Margins, start: Tensor, most: int | None = None) -> Walk:
        """Sequential steps from `start`."""
        config, classes = self.config, self.per_class.shape[1]
        rivals = min(config.rivals, classes - 1) if self.goal.targeted else 1
        fresh = min(_FRESH, rivals)
        whole = Walk.nowhere(start)
        for part, steps in self.with_room(
            rows, most or config.steps, (1 + fresh) / 2, (1 + rivals) / 2
        ):
            best = self.best.take(rows[part])
            walk = sequential(
                self.network, aim[part], best, start[part], self.box,
                steps=steps, rivals=rivals, fresh=fresh,
            )  # fmt: skip
            self._note(rows[part], best, walk, aim[part])
            whole.put(part, walk)
        whole.repeat(own(rows))
        return whole

    def polish(self, rows: Tensor, aim: Margins, start: Tensor, *, finer: bool = True) -> Walk:
        """A bundle's steps from `start`, and where they pay and are wanted, `finer` ones."""
        config = self.config
        before = self.best.l2[rows]
        whole = Walk.nowhere(start)
        for part, steps in self.with_room(rows, config.polish, first=1):
            best = self.best.take(rows[part])
            walk = polish(
                self.network, aim[part], best, start[part], self.box,
                steps=steps, cuts=config.cuts,
            )  # fmt: skip
            self._note(rows[part], best, walk, aim[part])
            whole.put(part, walk)
        whole.repeat(own(rows))
        better = (self.best.l2[rows] < before * (1 - AGAIN)) & (whole.gap > _FINE)
        few = places(better & finer, self.width)
        for among, steps in self.with_room(rows[few], 2 * config.polish, first=1):
            part = few[among]
            best = self.best.take(rows[part])
            walk = polish(
                self.network, aim[part], best, best.points, self.box,
                steps=steps, cuts=config.cuts + config.cuts // 2,
            )  # fmt: skip
            self._note(rows[part], best, walk, aim[part])
            whole.put(part, walk)
        whole.repeat(own(rows))
        return whole

    def _note(self, rows: Tensor, best: Incumbent, walk: Walk, aim: Margins) -> None:
        """Write down what a search of `rows` has come to."""
        before, now = self.best.l2[rows], best.l2
        improved = now < before
        ended = (walk.points - best.images).norm(dim=1)
        gap = torch.where(improved, walk.gap, self.local_gap[rows])
        self.local_gap[rows] = torch.where(now.isfinite(), gap, torch.nan)
        self.expected[rows] = torch.minimum(self.expected[rows], torch.minimum(walk.length, ended))
        fresh = now < before * (1 - AGAIN)
        close = walk.length.isfinite() & (walk.length <= now * (1 + AGAIN))
        self.again[rows] = torch.where(fresh, 0, self.again[rows]) + close.long()
        self.flat[rows] |= walk.flat
        self.best.put(rows, best)
        if not self.goal.targeted:
            wanted = aim.wanted
            known = self.per_class[rows, wanted].nan_to_num(nan=torch.inf, posinf=torch.inf)
            self.per_class[rows, wanted] = torch.minimum(known, walk.length)
