"""Rounds: a coarse path that may end in another basin, and the polish of its end; as many as fit.

Untargeted, each of the likeliest classes has steps and a path of its own before an image is
finished, or after a few rounds.
"""

from collections.abc import Iterator
from dataclasses import replace

import torch
from jaxtyping import Bool
from torch import Tensor

from intriguing.distortion.attacks.noise import noise
from intriguing.distortion.batch import AGAIN, SMOOTH, Batch
from intriguing.distortion.margins import Margins
from intriguing.distortion.rows import places
from intriguing.distortion.schedule import SCHEDULE, SHORT, TOUR, WIDE, Round, directions

_HOPELESS = 1.06
"""Times the shortest r: a path that ends farther out is not polished, to save its passes."""
_GROPE = 60
"""Passes of random directions where gradients led nowhere: 10 draws of the method noise."""
# A walk's end this much farther than the shortest r: another path to its class seldom undercuts it.
_BEYOND = 2.0
_SMOOTH, _FLAT = 2, 4
"""Searches that agree where steps settle: on smooth networks, and on those of linear pieces, which
have more basins. Of 30 distances known to a per cent (784-100-10, ReLU) three were .4 to 1.8 %
longer after two, one after three, none after four."""
# Untargeted, the rounds that go toward the nearest class, and toward the second.
_CLASSES = 2, 4
# Rounds before untargeted images turn to their classes one by one.
_BEFORE_CLASSES = 5


def go_rounds(batch: Batch, rows: Tensor, numbers: range) -> None:
    """Improve the rows by these rounds, until found again often enough or their budget ends."""
    for number in numbers:
        rows = batch.unfinished(rows, ~batch.optimal)
        if not len(rows):
            return
        going = _open(batch, rows, number)
        touring = _tour(batch, batch.each(rows[~going]))
        rows = batch.each(torch.cat((rows[going], touring)))
        if not len(rows):
            return
        going = batch.each(rows[_open(batch, rows, number)])
        if len(going):
            for some, plan in _planned(batch, going, number):
                _round(batch, some, number, plan)
            _grope(batch, going, number)


def _planned(batch: Batch, rows: Tensor, number: int) -> Iterator[tuple[Tensor, Round]]:
    """Which of the rows take which path."""
    lost = batch.strayed & (batch.spread == 0)
    wide = (batch.saturated | batch.flat | lost)[rows] & (number < SHORT)
    plans = [(~wide, SCHEDULE[number % len(SCHEDULE)])]
    if number == 0:
        plans.append((wide, WIDE))
    for chosen, plan in plans:
        few = places(chosen, batch.width)
        if len(few):
            yield rows[few], plan


def _tour(batch: Batch, rows: Tensor) -> Tensor:
    """Search toward one more class that could be nearer, where an image would be finished.

    First comes a walk toward each class not yet tried. Then classes have a path of their own,
    the nearest first, as if they had been asked for by name, but for those whose walk ended
    far beyond the shortest r. What undercuts that opens an image again. Returns the rows that
    are not through.
    """
    if batch.goal.targeted or not len(rows):
        return rows[:0]
    rows = batch.each(rows[~batch.optimal[rows] & (batch.turn[rows] < batch.nearest.shape[1])])
    fresh = batch.turn[rows] < 0
    smooth = batch.each(rows[fresh & batch.stepwise[rows]])
    for rank in range(batch.config.classes, batch.nearest.shape[1]):
        if len(smooth):
            aim = batch.against_label(smooth, batch.nearest[smooth, rank])
            batch.walk(smooth, aim, batch.x[smooth])
    due = batch.each(rows[~fresh])
    aims = batch.nearest[due, batch.turn[due]]
    batch.turn[rows] += 1
    near = ~(batch.per_class[due, aims] > _BEYOND * batch.best.l2[due])
    smooth = batch.stepwise[due] & ~batch.flat[due]
    for chosen, plan in ((near & smooth, SCHEDULE[0]), (near & ~smooth, TOUR)):
        few = places(chosen, batch.width)
        if len(few):
            _round(batch, due[few], 0, plan, aims[few])
    return rows


def _round(
    batch: Batch, rows: Tensor, number: int, plan: Round, aims: Tensor | None = None
) -> None:
    """A path from near the image, toward one class each if so, and the polish of its end."""
    config, goal, best = batch.config, batch.goal[rows], batch.best.take(rows)
    touring = aims is not None
    towards = None
    if aims is None and not goal.targeted and number in _CLASSES:
        rank = _CLASSES.index(number) % min(config.classes, batch.nearest.shape[1])
        aims = batch.nearest[rows, rank]
    if aims is not None:
        towards = replace(goal, classes=aims, targeted=True)
    # Until something is found, 5 % of the box's diagonal: it only scales a path's first steps.
    usual = 0.05 * batch.box.width * batch.x.shape[1] ** 0.5
    expected = torch.minimum(best.l2, batch.expected[rows])
    expected = torch.where(expected.isfinite() & (expected > 0), expected, usual)
    expected = plan.wide * expected
    start = best.images
    if plan.noise:
        push = directions(batch.x[rows], batch.box, batch.seed, number)
        push = push * (plan.noise * expected)[:, None]
        start = batch.box.clamp(start + push)
    # Where pixels are saturated, what the last gradients were says nothing of the next.
    point = batch.follow(rows, plan, start, expected, towards, batch.saturated[rows])
    best = batch.best.take(rows)
    if goal.targeted:
        aim = Margins.against_all(goal.classes, goal, batch.per_class.shape[1])
    else:
        with torch.no_grad():
            logits = batch.network.logits(point)
        best.offer(point, goal.secure_margin(logits))
        wanted = logits.scatter(1, goal.classes[:, None], -torch.inf).argmax(1)
        aim = batch.against_label(rows, wanted)
    batch.best.put(rows, best)
    promising = (point - best.images).norm(dim=1) < _HOPELESS * best.l2
    promising |= best.l2.isinf()
    stepwise = promising & batch.stepwise[rows]
    first = number == 0 and not touring
    bundled = promising & (~batch.stepwise[rows] | first)
    lengths = []
    for chosen, way in ((stepwise, batch.walk), (bundled, batch.polish)):
        few = places(chosen, batch.width)
        length = torch.full_like(expected, torch.inf)
        if len(few):
            walk = way(rows[few], aim[few], point[few])
            length[few] = walk.length
            if chosen is stepwise:
                batch.smooth[rows[few]] &= walk.gap < SMOOTH
        lengths.append(length)
    if first:
        batch.stepwise[rows] &= lengths[0] <= lengths[1] * (1 + AGAIN / 10)


def _grope(batch: Batch, rows: Tensor, number: int) -> None:
    """Where gradients led nowhere, as under a saturated softmax: try random directions."""
    spent = batch.best.spent[rows] / 2
    lost = batch.best.l2[rows].isinf() & (spent + _GROPE <= batch.best.budget)
    rows = batch.each(rows[lost])
    if not len(rows):
        return
    best = batch.best.take(rows)
    seed = batch.seed + number
    met = noise(batch.network.logits, batch.goal[rows], best.images, batch.box, _GROPE, seed)
    margin = torch.where(met.l2.isfinite(), 1.0, -1.0).to(met.l2.dtype)
    best.offer(met.points, margin, forward=met.forward)
    batch.best.put(rows, best)


def _open(batch: Batch, rows: Tensor, number: int) -> Bool[Tensor, " rows"]:
    """Rows that the next round may help: not yet found again often enough.

    Untargeted, classes have their turn before the later rounds.
    """
    settled = torch.where(batch.flat[rows], _FLAT, _SMOOTH)
    enough = torch.where(batch.smooth[rows], settled, batch.config.agreement)
    open_: Tensor = batch.again[rows] < enough
    if batch.goal.targeted or number < _BEFORE_CLASSES:
        return open_
    return open_ & (batch.turn[rows] >= batch.nearest.shape[1])
