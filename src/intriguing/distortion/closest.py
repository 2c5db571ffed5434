"""The closest adversarial image that is known how to find, and how good it is.

1. On an affine network the problem is a quadratic program: solved exactly, with proof (`affine`).
2. From the image itself, sequential quadratic steps (`sequential`): on smooth networks a few dozen
   passes end at a local optimum that other methods rarely undercut. Untargeted, toward each of the
   classes that the linearised network puts nearest.
3. Then rounds, each a coarse path that may end in another basin (`lagrangian`), followed by a
   polish: sequential steps again where they settled, else a bundle of tangents (`bundle`).

The rounds follow one schedule whatever the budget, so more passes never give a longer r; and an
image whose shortest r several rounds have found again is finished early.
"""

import zlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.affine import affine_optimum, is_affine, jacobian
from intriguing.distortion.attacks.noise import noise
from intriguing.distortion.bundle import polish
from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.lagrangian import Kind, lagrangian_path
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.race import Race
from intriguing.distortion.result import Found
from intriguing.distortion.sequential import Walk, sequential
from intriguing.errors import InputError
from intriguing.measures import Box

_SMOOTH = 2e-3
_AGAIN = 1e-3
_HOPELESS = 1.06
_FINE = 3e-4
_GROPE = 60
# Passes kept back for verifying, and for a step that takes more than one.
_KEPT = 1.5


@dataclass(frozen=True)
class _Round:
    """How a round's path goes: see `lagrangian_path`; `noise` moves its start, in units of D."""

    kind: Kind
    rate: float
    end: float
    steps: int
    smoothing: float
    noise: float


_SCHEDULE = (
    _Round("entropy", 5.4, 0.03, 100, 0.7, 0.0),
    _Round("margin", 5.4, 0.03, 100, 0.7, 0.25),
    _Round("entropy", 8.0, 0.015, 100, 0.7, 0.25),
    _Round("ratio", 4.0, 0.015, 200, 0.85, 0.25),
    _Round("margin", 5.4, 0.03, 100, 0.7, 0.25),
    _Round("entropy", 1.3, 0.1, 100, 0.7, 0.25),
    _Round("ratio", 2.7, 0.01, 400, 0.9, 0.0),
    _Round("margin", 5.4, 0.03, 100, 0.7, 0.25),
    _Round("entropy", 5.4, 0.03, 100, 0.7, 1.0),
)


@dataclass(frozen=True)
class ClosestConfig:
    """How much is spent on an image.

    budget: passes, a pass being half a forward and a backward one. classes: untargeted, how many
    of the nearest classes are tried one by one. rivals: competing classes linearised at once.
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
    if is_affine(network.model):
        matrix = jacobian(network, images.shape[1], images)
    parts = []
    for rows in torch.split(torch.arange(len(images), device=images.device), width):
        search = _Search(network, images[rows], goal[rows], box, config, seed)
        parts.append(search.run(matrix))
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
        self.best = Incumbent(images, config.budget - _KEPT)
        count, like = len(images), images
        self.gap = like.new_full((count,), torch.nan)
        self.local_gap = like.new_full((count,), torch.nan)
        self.expected = like.new_full((count,), torch.inf)
        self.optimal = torch.zeros(count, dtype=torch.bool, device=like.device)
        self.smooth = torch.zeros(count, dtype=torch.bool, device=like.device)
        self.stepwise = torch.zeros_like(self.smooth)
        self.again = torch.zeros(count, dtype=torch.long, device=like.device)

    def run(self, matrix: Tensor | None) -> Found:
        """Look at x, then prove, step, and go round."""
        with torch.no_grad():
            logits = self.network.logits(self.x)
        finite = logits.isfinite().all(1)
        already = self.goal.margin(logits) > 0
        self.best.offer(self.x, torch.where(already, 1.0, -1.0).to(self.x.dtype))
        self.per_class = self.x.new_full(logits.shape, torch.nan)
        rows = (finite & ~already).nonzero()[:, 0]
        if len(rows) and matrix is not None:
            rows = self._prove(rows, matrix)
        if len(rows):
            self._step(rows, logits)
        for number in range(self.config.budget):
            rows = rows[self.best.within_budget[rows] & self._open(rows)]
            if not len(rows):
                break
            self._round(rows, number)
            self._grope(rows, number)
        best = self.best
        extra = {"gap": self.gap, "local_gap": self.local_gap, "optimal": self.optimal}
        if not self.goal.targeted:
            extra["per_class"] = self.per_class / self.x.shape[1] ** 0.5
        claimed = best.l2.isfinite()
        return Found(
            best.points, claimed, already, finite, best.forward, best.backward, best.curve, extra
        )

    def _open(self, rows: Tensor) -> Bool[Tensor, " rows"]:
        """Rows that a further round may help: not yet found again often enough."""
        enough = torch.where(self.smooth[rows], 2, self.config.agreement)
        return self.again[rows] < enough

    def _prove(self, rows: Tensor, matrix: Tensor) -> Tensor:
        """Solve the quadratic program of an affine network; the rows that it leaves open."""
        best = self.best.take(rows)
        proof = affine_optimum(self.network, matrix, self.goal[rows], best, self.box)
        self.gap[rows] = (1 - proof.bound / best.l2).clamp_min(0)
        self.gap[rows[best.l2.isinf()]] = torch.nan
        self.optimal[rows] = proof.optimal
        self.best.put(rows, best)
        return rows[~(proof.optimal | proof.unreachable)]

    def _step(self, rows: Tensor, logits: Tensor) -> None:
        """Sequential quadratic steps from the images themselves."""
        config, classes = self.config, logits.shape[1]
        rivals = min(config.rivals, classes - 1)
        if self.goal.targeted:
            race = self._against_all(self.goal.classes[rows])
            best = self.best.take(rows)
            walk = sequential(
                self.network, race, best, best.images, self.box,
                steps=config.steps, rivals=rivals, fresh=3,
            )  # fmt: skip
            self._note(rows, best, walk)
            self.smooth[rows] = walk.length.isfinite() & (walk.gap < _SMOOTH)
            return
        self.nearest = self._nearest_classes(rows, logits[rows], rivals)
        for rank in range(min(config.classes, rivals)):
            left = rows[self.best.within_budget[rows]]
            if not len(left):
                return
            wanted = self.nearest[left, rank]
            best = self.best.take(left)
            walk = sequential(
                self.network, Race(wanted, self.goal.classes[left]), best, best.images, self.box,
                steps=config.steps, rivals=1, fresh=1,
            )  # fmt: skip
            self._note(left, best, walk, wanted)
            self.smooth[left] |= walk.length.isfinite() & (walk.gap < _SMOOTH)

    def _nearest_classes(
        self, rows: Tensor, logits: Float[Tensor, "rows k"], count: int
    ) -> Int64[Tensor, "image r"]:
        """The classes whose linearised distance is least, among the `count` largest logits."""
        labels = self.goal.classes[rows]
        best = self.best.take(rows)
        likely = logits.scatter(1, labels[:, None], -torch.inf).topk(count, 1).indices
        race = self._against_all(labels)
        tangent = race.linearise(self.network, best.images, likely)
        best.offer(best.images, torch.full_like(best.l2, -torch.inf), backward=count)
        self.best.put(rows, best)
        slopes = tangent.gradients.norm(dim=2)
        distance = (tangent.values / slopes).nan_to_num(nan=torch.inf, posinf=torch.inf)
        order = distance.argsort(dim=1, stable=True)
        nearest = likely.new_zeros(len(self.x), count)
        nearest[rows] = likely.gather(1, order)
        return nearest

    def _round(self, rows: Tensor, number: int) -> None:
        """A path from near the image, and the polish of what it finds."""
        config, goal, best = self.config, self.goal[rows], self.best.take(rows)
        plan = _SCHEDULE[number % len(_SCHEDULE)]
        towards = goal
        if not goal.targeted and number in (1, 3):
            rank = (number // 2) % min(config.classes, self.nearest.shape[1])
            towards = Goal(self.nearest[rows, rank])
        usual = 0.05 * self.box.width * self.x.shape[1] ** 0.5
        expected = torch.minimum(best.l2, self.expected[rows])
        expected = torch.where(expected.isfinite() & (expected > 0), expected, usual)
        start = best.images
        if plan.noise:
            push = self._noise(rows, number) * (plan.noise * expected)[:, None]
            start = self.box.clamp(start + push)
        point = lagrangian_path(
            self.network, goal, towards, best, start, expected, self.box,
            kind=plan.kind, steps=plan.steps, rate=plan.rate, end=plan.end,
            smoothing=plan.smoothing,
        )  # fmt: skip
        if goal.targeted:
            race = self._against_all(goal.classes)
        else:
            with torch.no_grad():
                logits = self.network.logits(point)
            wanted = logits.scatter(1, goal.classes[:, None], -torch.inf).argmax(1)
            race = Race(wanted, goal.classes)
        self.best.put(rows, best)
        promising = (point - best.images).norm(dim=1) < _HOPELESS * best.l2
        promising |= best.l2.isinf()
        stepwise = promising & (self.stepwise[rows] | (number == 0))
        bundled = promising & (~self.stepwise[rows] | (number == 0))
        lengths = []
        for chosen, way in ((stepwise, self._again), (bundled, self._polish)):
            few = chosen.nonzero()[:, 0]
            length = torch.full_like(expected, torch.inf)
            if len(few):
                length[few] = way(rows[few], race[few], point[few])
            lengths.append(length)
        if number == 0:
            self.stepwise[rows] = lengths[0] <= lengths[1] * (1 + _AGAIN / 10)

    def _grope(self, rows: Tensor, number: int) -> None:
        """Where gradients led nowhere, as under a saturated softmax: try random directions."""
        spent = (self.best.forward + self.best.backward)[rows] / 2
        rows = rows[self.best.l2[rows].isinf() & (spent + _GROPE <= self.best.budget)]
        if not len(rows):
            return
        best = self.best.take(rows)
        seed = self.seed + number
        met = noise(self.network.logits, self.goal[rows], best.images, self.box, _GROPE, seed)
        margin = torch.where(met.l2.isfinite(), 1.0, -1.0).to(met.l2.dtype)
        best.offer(met.points, margin, forward=met.forward)
        self.best.put(rows, best)

    def _again(self, rows: Tensor, race: Race, point: Tensor) -> Tensor:
        """Sequential steps from `point`; the shortest length each row came to."""
        best, config = self.best.take(rows), self.config
        classes = self.per_class.shape[1]
        rivals = min(config.rivals, classes - 1) if self.goal.targeted else 1
        walk = sequential(
            self.network, race, best, point, self.box, steps=config.steps, rivals=rivals, fresh=3
        )
        self.smooth[rows] &= walk.gap < _SMOOTH
        self._note(rows, best, walk, None if self.goal.targeted else race.wanted)
        return walk.length

    def _polish(self, rows: Tensor, race: Race, point: Tensor) -> Tensor:
        """A bundle's steps from `point`, and finer ones where they pay; the same."""
        best, config = self.best.take(rows), self.config
        walk = polish(
            self.network, race, best, point, self.box, steps=config.polish, cuts=config.cuts
        )
        wanted = None if self.goal.targeted else race.wanted
        better = (best.l2 < self.best.l2[rows] * (1 - _AGAIN)) & best.within_budget
        self._note(rows, best, walk, wanted)
        length = walk.length
        few = (better & (walk.gap > _FINE)).nonzero()[:, 0]
        if len(few):
            again = best.take(few)
            walk = polish(
                self.network, race[few], again, again.points, self.box,
                steps=2 * config.polish, cuts=config.cuts + config.cuts // 2,
            )  # fmt: skip
            self._note(rows[few], again, walk, None if wanted is None else wanted[few])
            length[few] = torch.minimum(length[few], walk.length)
        return length

    def _note(
        self, rows: Tensor, best: Incumbent, walk: Walk, wanted: Tensor | None = None
    ) -> None:
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
        if wanted is not None:
            known = self.per_class[rows, wanted].nan_to_num(nan=torch.inf)
            self.per_class[rows, wanted] = torch.minimum(known, walk.length)

    def _against_all(self, wanted: Tensor) -> Race:
        return Race(wanted, torch.full_like(wanted, -1))

    def _noise(self, rows: Tensor, number: int) -> Tensor:
        """A direction of length 1 about, drawn from the seed, the round and the image alone."""
        generator = torch.Generator()
        draws = []
        for image in self.x[rows].cpu():
            key = zlib.crc32(image.numpy().tobytes())
            generator.manual_seed((self.seed * 1_000_003 + number) * 2**32 + key)
            draws.append(torch.randn(len(image), generator=generator, dtype=image.dtype))
        direction: Tensor = torch.stack(draws).to(self.x.device) / self.x.shape[1] ** 0.5
        return direction
