"""The closest adversarial image that is known how to find, and how good it is.

1. On an affine network the problem is a quadratic program: solved exactly, with proof (`affine`).
2. A first adversarial point in a few passes, by linearised steps (`approach`), from x or where the
   gradients there lead nowhere from between x and noise; then two paths that close in on x
   (`closing`). All lengths from here on are in units of the shortest r so far.
3. A few sequential quadratic steps from there (`sequential`): where they settle, the network is
   smooth, and such steps from x itself follow; elsewhere a bundle of tangents polishes (`bundle`).
   Untargeted, steps from x lead toward each of the classes that look nearest there.
4. Then rounds, each a coarse path that may end in another basin (`lagrangian`), followed by a
   polish of its end in the same two ways.
5. Untargeted, before an image is finished or after four rounds: steps and a path toward each of the
   likeliest classes, so that an answer is no longer than that of a class asked for by name.

The rounds follow one schedule whatever the budget, so more passes never give a longer r; and an
image whose shortest r several rounds have found again is finished early.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.affine import affine_optimum, jacobian
from intriguing.distortion.approach import approach
from intriguing.distortion.attacks.noise import noise
from intriguing.distortion.bundle import polish
from intriguing.distortion.closing import FIRST, SECOND, Closing, close_in
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.lagrangian import lagrangian_path
from intriguing.distortion.margins import Margins
from intriguing.distortion.problem import Goal, Network, passes_to_measure
from intriguing.distortion.result import Found
from intriguing.distortion.rows import filled, places, width_of
from intriguing.distortion.schedule import SCHEDULE, anywhere, directions
from intriguing.distortion.sequential import Walk, sequential
from intriguing.errors import InputError
from intriguing.graph.affine import is_affine
from intriguing.measures import Box

_SMOOTH = 2e-3
"""A walk's last gap below which a network counts as smooth: two searches that agree suffice."""
_AGAIN = 1e-3
"""Share by which lengths may differ and still be the same answer, found again."""
_HOPELESS = 1.06
"""Times the shortest r: a path that ends farther out is not polished, to save its passes."""
_FINE = 3e-4
"""The gap below which no finer polish follows: it could gain no more than that."""
_GROPE = 60
"""Passes of random directions where gradients led nowhere: 10 draws of the method noise."""
_FRESH = 3
"""Gradients that a step of a walk takes anew: a pass and a half; others keep their last ones."""
_GRAIN = 6
"""Steps are cut short by multiples of this, so that few groups of rows go different ways."""
_ATTEMPT = 8
"""Steps of an approach, after which another start is taken."""
_BLOCK = 4
"""Of these, after so many the rows that have arrived leave."""
_AWAY = (0.25, 0.5)
"""Shares of the way from x to noise at which it then starts."""
_WIDE = 2.5
"""Times the shortest r: as if D were so long, the first path comes in from farther out."""
_TRIED = 4
"""Sequential steps that tell whether a network is smooth: from near an optimum they settle."""
# Passes kept back for verifying, and for a step that takes more than one.
_KEPT = 1.5
# Rounds before untargeted images turn to their classes one by one.
_BEFORE_CLASSES = 4
# A walk's end this much farther than the shortest r: another path to its class seldom undercuts it.
_BEYOND = 2.0


@dataclass(frozen=True)
class ClosestConfig:
    """How much is spent on an image.

    budget: passes, a pass being half a forward and a backward one. classes: untargeted, how many
    of the nearest classes are tried before any rounds; the others are before an image is finished.
    rivals: competing classes linearised at once.
    steps: sequential quadratic steps from a start. polish: passes of a polish with a bundle of
    `cuts` tangents. agreement: an image is finished when so many searches have ended within 0.1 %
    of its shortest r.

    Raises InputError for a number below 1.
    """

    budget: int = 2000
    classes: int = 4
    rivals: int = 9
    steps: int = 12
    polish: int = 30
    cuts: int = 32
    agreement: int = 8

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise InputError(f"{name}={value}; give 1 or more")


def search_closest(
    network: Network,
    images: Float[Tensor, "image n"],
    goal: Goal,
    box: Box,
    config: ClosestConfig,
    seed: int,
    width: int,
    report: Callable[[int], None],
) -> Found:
    """Search `width` images at a time; no image's result depends on the others."""
    matrix = None
    if is_affine(network.model, network.image_shape):
        matrix = jacobian(network, images.shape[1], images)
    parts = []
    for rows in torch.split(torch.arange(len(images), device=images.device), width):
        every = filled(rows, width_of(images))
        search = _Search(network, images[every], goal[every], box, config, seed)
        parts.append(search.run(matrix).first(len(rows)))
        report(int(rows[-1]) + 1)
    return Found.joined(parts)


class _Search:
    """One batch of images on its way; rows that are finished take no more part."""

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
        self.again = torch.zeros(count, dtype=torch.long, device=like.device)
        self.turn = torch.full_like(self.again, -1)
        self.spent = torch.zeros_like(self.smooth)

    def run(self, matrix: Tensor | None) -> Found:
        """Look at x, then prove, step, and go round."""
        with torch.no_grad():
            logits = self.network.logits(self.x)
        finite = logits.isfinite().all(1)
        already = self.goal.margin(logits) > 0
        self.goal = self.goal.measured(self.network, self.x, logits, self.box)
        reached = torch.where(already, 1.0, -1.0).to(self.x.dtype)
        self.best.offer(self.x, reached, forward=1 + passes_to_measure(logits))
        self.per_class = self.x.new_full(logits.shape, torch.nan)
        rows = places(finite & ~already, self.width)
        if len(rows) and matrix is not None:
            rows = self._prove(rows, matrix)
        self._start(rows)
        at_x = self.goal.secure_margin(logits)
        self._close(rows, at_x, FIRST)
        self._close(rows, at_x, SECOND)
        self._try_steps(rows)
        self._refine(rows)
        self._step(rows, logits)
        for number in range(self.config.budget):
            rows = self._unfinished(rows, ~self.optimal)
            if not len(rows):
                break
            going = self._open(rows, number)
            touring = self._tour(self._each(rows[~going]))
            rows = self._each(torch.cat((rows[going], touring)))
            if not len(rows):
                break
            going = self._each(rows[self._open(rows, number)])
            if len(going):
                self._round(going, number)
                self._grope(going, number)
        best = self.best
        extra = {"gap": self.gap, "local_gap": self.local_gap, "optimal": self.optimal}
        if not self.goal.targeted:
            extra["per_class"] = self.per_class / self.x.shape[1] ** 0.5
        claimed = best.l2.isfinite()
        return Found(
            best.points, claimed, already, finite, best.forward, best.backward, best.curve, extra
        )

    def _each(self, rows: Tensor) -> Int64[Tensor, " rows"]:
        """The rows, each once and in order, filled up with copies (`rows`)."""
        return filled(torch.unique(rows), self.width)

    def _open(self, rows: Tensor, number: int) -> Bool[Tensor, " rows"]:
        """Rows that the next round may help: not yet found again often enough.

        Untargeted, classes have their turn before the later rounds.
        """
        enough = torch.where(self.smooth[rows], 2, self.config.agreement)
        open_ = self.again[rows] < enough
        if self.goal.targeted or number < _BEFORE_CLASSES:
            return open_
        return open_ & (self.turn[rows] >= self.nearest.shape[1])

    def _prove(self, rows: Tensor, matrix: Tensor) -> Tensor:
        """Solve the quadratic program of an affine network; the rows that it leaves open."""
        best = self.best.take(rows)
        proof = affine_optimum(self.network, matrix, self.goal[rows], best, self.box)
        self.gap[rows] = (1 - proof.bound / best.l2).clamp_min(0)
        self.gap[rows] = torch.where(best.l2.isinf(), torch.nan, self.gap[rows])
        self.optimal[rows] = proof.optimal
        self.best.put(rows, best)
        return self._each(rows[~(proof.optimal | proof.unreachable)])

    def _unfinished(self, rows: Tensor, chosen: Tensor) -> Int64[Tensor, " rows"]:
        """Those of the rows that are chosen, of all images, and have a pass left."""
        chosen = chosen & self.best.within_budget & ~self.spent
        return rows[places(chosen[rows], self.width)]

    def _start(self, rows: Tensor) -> None:
        """A first adversarial point: from x, or where that leads nowhere from between x and noise.

        The rows that have arrived leave every few steps.
        """
        points = self.x.clone()
        for attempt, share in enumerate((0.0, *_AWAY)):
            for first in range(0, _ATTEMPT, _BLOCK):
                rows = self._unfinished(rows, self.best.l2.isinf())
                if not len(rows):
                    return
                if attempt and not first:
                    other = anywhere(self.x[rows], self.box, self.seed, attempt)
                    points[rows] = self.box.clamp(torch.lerp(self.x[rows], other, share))
                best = self.best.take(rows)
                points[rows] = approach(
                    self.network, self.goal[rows], best, points[rows], self.box,
                    first=first, steps=_BLOCK,
                )  # fmt: skip
                self.best.put(rows, best)

    def _close(self, rows: Tensor, at_x: Tensor, closing: Closing) -> None:
        """Close in on x from the shortest r."""
        rows = self._unfinished(rows, self.best.l2.isfinite())
        if not len(rows):
            return
        best = self.best.take(rows)
        # What a row does beyond its own budget is not taken.
        stop = math.ceil(best.budget - float(best.spent.amin()) / 2)
        close_in(self.network, self.goal[rows], best, at_x[rows], self.box, closing, stop)
        self.best.put(rows, best)

    def _try_steps(self, rows: Tensor) -> None:
        """A few sequential steps from the shortest r: where they settle, the network is smooth."""
        rows = self._unfinished(rows, self.best.l2.isfinite())
        if len(rows):
            walk = self._walk(rows, self._aim(rows), self.best.points[rows], _TRIED)
            self.smooth[rows] = walk.length.isfinite() & (walk.gap < _SMOOTH)
            self.stepwise[rows] = self.smooth[rows]

    def _refine(self, rows: Tensor) -> None:
        """Polish the shortest r where steps did not settle."""
        rows = self._unfinished(rows, self.best.l2.isfinite() & ~self.smooth)
        if len(rows):
            self._polish(rows, self._aim(rows), self.best.points[rows])

    def _aim(self, rows: Tensor) -> Margins:
        """What must be beaten to keep the class of the shortest r: all others, or the label."""
        goal, best = self.goal[rows], self.best.take(rows)
        if goal.targeted:
            return Margins.against_all(goal.classes, goal, self.per_class.shape[1])
        with torch.no_grad():
            logits = self.network.logits(best.points)
        best.offer(best.points, goal.secure_margin(logits))
        self.best.put(rows, best)
        wanted = logits.scatter(1, goal.classes[:, None], -torch.inf).argmax(1)
        return self._against_label(rows, wanted)

    def _step(self, rows: Tensor, logits: Tensor) -> None:
        """Sequential quadratic steps from the images themselves."""
        config, classes = self.config, logits.shape[1]
        rivals = min(config.rivals, classes - 1)
        if self.goal.targeted:
            rows = self._unfinished(rows, self.smooth)
            if len(rows):
                goal = self.goal[rows]
                aim = Margins.against_all(goal.classes, goal, classes)
                self._walk(rows, aim, self.x[rows])
            return
        rows = self._unfinished(rows, ~self.optimal)
        self.nearest = self._nearest_classes(rows, logits[rows], rivals)
        for rank in range(min(config.classes, rivals)):
            rows = self._unfinished(rows, ~self.optimal)
            if len(rows):
                aim = self._against_label(rows, self.nearest[rows, rank])
                self._walk(rows, aim, self.x[rows])

    def _against_label(self, rows: Tensor, wanted: Tensor) -> Margins:
        """A class against the label alone, as asked for in an untargeted search."""
        goal = self.goal[rows]
        return Margins.against(wanted, goal.classes, goal, self.per_class.shape[1])

    def _tour(self, rows: Tensor) -> Tensor:
        """Search toward one more class that could be nearer, where an image would be finished.

        First comes a walk toward each class not yet tried. Then classes have a path of their own,
        the nearest first, as if they had been asked for by name, but for those whose walk ended
        far beyond the shortest r. What undercuts that opens an image again. Returns the rows that
        are not through.
        """
        if self.goal.targeted or not len(rows):
            return rows[:0]
        rows = self._each(rows[~self.optimal[rows] & (self.turn[rows] < self.nearest.shape[1])])
        fresh = self.turn[rows] < 0
        smooth = self._each(rows[fresh & self.stepwise[rows]])
        for rank in range(self.config.classes, self.nearest.shape[1]):
            if len(smooth):
                aim = self._against_label(smooth, self.nearest[smooth, rank])
                self._walk(smooth, aim, self.x[smooth])
        due = self._each(rows[~fresh])
        aims = self.nearest[due, self.turn[due]]
        self.turn[rows] += 1
        near = places(~(self.per_class[due, aims] > _BEYOND * self.best.l2[due]), self.width)
        if len(near):
            self._round(due[near], 0, aims[near])
        return rows

    def _nearest_classes(
        self, rows: Tensor, logits: Float[Tensor, "rows k"], count: int
    ) -> Int64[Tensor, "image r"]:
        """The classes whose linearised distance is least, among the `count` largest logits."""
        labels = self.goal.classes[rows]
        best = self.best.take(rows)
        if not len(rows):
            return labels.new_zeros(len(self.x), count)
        likely = logits.scatter(1, labels[:, None], -torch.inf).topk(count, 1).indices
        aim = Margins.against_all(labels, self.goal[rows], logits.shape[1])
        tangent = aim.linearise(self.network, best.images, likely)
        best.offer(best.images, torch.full_like(best.l2, -torch.inf), backward=count)
        self.best.put(rows, best)
        slopes = tangent.gradients.norm(dim=2)
        distance = (tangent.values / slopes).nan_to_num(nan=torch.inf, posinf=torch.inf)
        order = distance.argsort(dim=1, stable=True)
        nearest = likely.new_zeros(len(self.x), count)
        nearest[rows] = likely.gather(1, order)
        return nearest

    def _round(self, rows: Tensor, number: int, aims: Tensor | None = None) -> None:
        """A path from near the image, toward one class each if so, and the polish of its end."""
        config, goal, best = self.config, self.goal[rows], self.best.take(rows)
        touring = aims is not None
        plan = SCHEDULE[number % len(SCHEDULE)]
        towards = goal
        if aims is None and not goal.targeted and number in (1, 3):
            rank = (number // 2) % min(config.classes, self.nearest.shape[1])
            aims = self.nearest[rows, rank]
        if aims is not None:
            towards = replace(goal, classes=aims, targeted=True)
        # Until something is found, 5 % of the box's diagonal: it only scales a path's first steps.
        usual = 0.05 * self.box.width * self.x.shape[1] ** 0.5
        expected = torch.minimum(best.l2, self.expected[rows])
        expected = torch.where(expected.isfinite() & (expected > 0), expected, usual)
        if number == 0 and not touring:
            expected = _WIDE * expected
        start = best.images
        if plan.noise:
            push = directions(self.x[rows], self.seed, number)
            push = push * (plan.noise * expected)[:, None]
            start = self.box.clamp(start + push)
        point = start.clone()
        for part, stop in self._with_room(rows, plan.steps, 1):
            some, ours = best.take(part), goal[part]
            point[part] = lagrangian_path(
                self.network, ours, ours if towards is goal else towards[part], some, start[part],
                expected[part], self.box, classes=self.per_class.shape[1], kind=plan.kind,
                steps=plan.steps, stop=stop, rate=plan.rate, end=plan.end, smoothing=plan.smoothing,
            )  # fmt: skip
            best.put(part, some)
            self.best.put(rows[part], some)
        if goal.targeted:
            aim = Margins.against_all(goal.classes, goal, self.per_class.shape[1])
        else:
            with torch.no_grad():
                logits = self.network.logits(point)
            best.offer(point, goal.secure_margin(logits))
            wanted = logits.scatter(1, goal.classes[:, None], -torch.inf).argmax(1)
            aim = self._against_label(rows, wanted)
        self.best.put(rows, best)
        promising = (point - best.images).norm(dim=1) < _HOPELESS * best.l2
        promising |= best.l2.isinf()
        stepwise = promising & self.stepwise[rows]
        first = number == 0 and not touring
        bundled = promising & (~self.stepwise[rows] | first)
        lengths = []
        for chosen, way in ((stepwise, self._walk), (bundled, self._polish)):
            few = places(chosen, self.width)
            length = torch.full_like(expected, torch.inf)
            if len(few):
                walk = way(rows[few], aim[few], point[few])
                length[few] = walk.length
                if chosen is stepwise:
                    self.smooth[rows[few]] &= walk.gap < _SMOOTH
            lengths.append(length)
        if first:
            self.stepwise[rows] &= lengths[0] <= lengths[1] * (1 + _AGAIN / 10)

    def _with_room(self, rows: Tensor, steps: int, cost: float) -> Iterator[tuple[Tensor, int]]:
        """Places in `rows`, and how many of so many steps of that cost their budget allows.

        A row that would have taken more is spent: what a larger budget does is the same and more.
        """
        best = self.best
        before = best.spent[rows] / 2
        room = ((best.budget - before) / cost).floor().clamp(0, steps).long()
        room = torch.where(room < steps, room // _GRAIN * _GRAIN, room)
        room = torch.where(self.spent[rows], 0, room)
        self.spent[rows] |= room == 0
        for number in sorted(set(room.tolist())):
            if number:
                part = places(room == number, self.width)
                yield part, number
                if number < steps:
                    some = rows[part]
                    taken = self.best.spent[some] / 2 - before[part]
                    self.spent[some] |= taken >= number * cost

    def _grope(self, rows: Tensor, number: int) -> None:
        """Where gradients led nowhere, as under a saturated softmax: try random directions."""
        spent = self.best.spent[rows] / 2
        lost = self.best.l2[rows].isinf() & (spent + _GROPE <= self.best.budget)
        rows = self._each(rows[lost])
        if not len(rows):
            return
        best = self.best.take(rows)
        seed = self.seed + number
        met = noise(self.network.logits, self.goal[rows], best.images, self.box, _GROPE, seed)
        margin = torch.where(met.l2.isfinite(), 1.0, -1.0).to(met.l2.dtype)
        best.offer(met.points, margin, forward=met.forward)
        self.best.put(rows, best)

    def _walk(self, rows: Tensor, aim: Margins, start: Tensor, most: int | None = None) -> Walk:
        """Sequential steps from `start`."""
        config, classes = self.config, self.per_class.shape[1]
        rivals = min(config.rivals, classes - 1) if self.goal.targeted else 1
        fresh = min(_FRESH, rivals)
        whole = Walk.nowhere(start)
        for part, steps in self._with_room(rows, most or config.steps, (1 + fresh) / 2):
            best = self.best.take(rows[part])
            walk = sequential(
                self.network, aim[part], best, start[part], self.box,
                steps=steps, rivals=rivals, fresh=fresh,
            )  # fmt: skip
            self._note(rows[part], best, walk, aim[part])
            whole.put(part, walk)
        return whole

    def _polish(self, rows: Tensor, aim: Margins, start: Tensor) -> Walk:
        """A bundle's steps from `start`, and finer ones where they pay."""
        config = self.config
        before = self.best.l2[rows]
        whole = Walk.nowhere(start)
        for part, steps in self._with_room(rows, config.polish, 1):
            best = self.best.take(rows[part])
            walk = polish(
                self.network, aim[part], best, start[part], self.box,
                steps=steps, cuts=config.cuts,
            )  # fmt: skip
            self._note(rows[part], best, walk, aim[part])
            whole.put(part, walk)
        better = (self.best.l2[rows] < before * (1 - _AGAIN)) & (whole.gap > _FINE)
        few = places(better, self.width)
        for among, steps in self._with_room(rows[few], 2 * config.polish, 1):
            part = few[among]
            best = self.best.take(rows[part])
            walk = polish(
                self.network, aim[part], best, best.points, self.box,
                steps=steps, cuts=config.cuts + config.cuts // 2,
            )  # fmt: skip
            self._note(rows[part], best, walk, aim[part])
            whole.put(part, walk)
        return whole

    def _note(self, rows: Tensor, best: Incumbent, walk: Walk, aim: Margins) -> None:
        """Write down what a search of `rows` has come to."""
        before, now = self.best.l2[rows], best.l2
        improved = now < before
        ended = (walk.points - best.images).norm(dim=1)
        gap = torch.where(improved, walk.gap, self.local_gap[rows])
        self.local_gap[rows] = torch.where(now.isfinite(), gap, torch.nan)
        self.expected[rows] = torch.minimum(self.expected[rows], torch.minimum(walk.length, ended))
        fresh = now < before * (1 - _AGAIN)
        close = walk.length.isfinite() & (walk.length <= now * (1 + _AGAIN))
        self.again[rows] = torch.where(fresh, 0, self.again[rows]) + close.long()
        self.best.put(rows, best)
        if not self.goal.targeted:
            wanted = aim.wanted
            known = self.per_class[rows, wanted].nan_to_num(nan=torch.inf)
            self.per_class[rows, wanted] = torch.minimum(known, walk.length)
