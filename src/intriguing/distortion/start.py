"""The start of a search: a first answer in a few passes, and what can be made of it nearby."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from intriguing.distortion.approach import approach
from intriguing.distortion.batch import AGAIN, SMOOTH, Batch
from intriguing.distortion.closing import BACK, SECOND, THIRD, Closing, close_in
from intriguing.distortion.nearer_class import rank_classes, turn
from intriguing.distortion.problem import Goal
from intriguing.distortion.rows import places
from intriguing.distortion.schedule import Round, anywhere
from intriguing.distortion.uphill import Slope

_BLOCK = 4
"""Steps of an approach, after which it is seen whether they climb."""
_BLOCKS = 8
"""So many of them at most."""
_CLIMBED = 0.1
"""Share of the margin at x that they must have gained, or another start is taken."""
_ATTEMPTS = 4
"""Each further start lies one part of so many nearer to noise than to x."""
CALM = 0.99
"""How alike gradients are where steps are tried at once: above .995 on smooth networks and on small
ones that are linear from step to step, .8 to .99 on convolutional ReLU networks."""
RESTLESS = 0.95
"""Below that they are not tried at all."""
_WILD = 0.6, 0.85
"""Below that no step says where the next one will lead: where the first answer took few steps, as
on deep ReLU networks (.69 and more), and where it took many, as behind steep sigmoids."""
_LONG = Round("entropy", 1.3, 0.02, 50, 0.5, 0.0)
"""The path there: steps in every pixel's own units, from the shortest r, that forget in half the
time that a round's do. Of 30 kinds, rates, ends, lengths and beginnings the best one on networks
of steep sigmoids, adversarially trained and batch-normalised alike (100 passes, 24 images)."""
_FEW = 0.08
"""Share of the pixels that have the gradient below which the others count as saturated: .01 to .07
(.1 of single images) behind steep sigmoids and on a network that was trained against
steps of the same size for all pixels; .09 to .14 on a robust ResNet, .2 and more on others."""
_BEYOND = 2.0
"""Times the linearised boundary's distance from x: a first path that ends farther is in a basin far
from x, found on the way to noise. Of nine networks it is so of more than single images of one,
which has six narrow layers: to random classes 5 % shorter at 100 and 200 passes on average, to the
least likely .4 %."""
_SATURATED = (
    (Round("entropy", 5.0, 0.015, 50, 0.2, 0.0), True),
    (Round("entropy", 12.0, 0.015, 60, 0.2, 0.0), True),
    (Round("entropy", 5.0, 0.015, 50, 0.2, 0.0), False),
)
"""The paths there, with whether each begins at x, or else at the shortest r: steps in every pixel's
own units that hardly remember the last one. Of some hundred sequences of up to three paths of 30 to
70 passes, by kind, rate, end, memory and beginning, the best one on two such networks together (45
to 400 passes, two or three goals, 16 images each). Beginning at x they leave the basin of the first
answer, which lies near noise."""
_TRIED = 4
"""Sequential steps that tell whether a network is smooth: from near an optimum they settle."""


def first_answers(batch: Batch, rows: Tensor, at_x: Tensor) -> Slope:
    """A first adversarial point: steps from x, and where they do not climb, from nearer to noise.

    After every few steps the rows that have arrived leave. Returns the slope, for all images, of
    the points that were found.
    """
    slope = Slope(at_x.clone(), torch.zeros_like(batch.x))
    points, before = batch.x.clone(), at_x.clone()
    overshoot, attempt = torch.zeros_like(at_x), torch.zeros_like(batch.again)
    for number in range(_BLOCKS):
        rows = batch.unfinished(rows, batch.best.l2.isinf())
        if not len(rows):
            break
        batch.strayed[rows] = number > 0
        best = batch.best.take(rows)
        points[rows], seen, overshoot[rows], promised = approach(
            batch.network, batch.goal[rows], best, points[rows], overshoot[rows], batch.box, _BLOCK
        )
        if number == 0:
            batch.promised[rows] = promised
        batch.best.put(rows, best)
        slope.margin[rows], slope.gradient[rows] = seen
        climbing = seen.margin - before[rows] > _CLIMBED * -at_x[rows]
        before[rows] = seen.margin
        stuck = rows[places(~climbing, batch.width)]
        if len(stuck):
            attempt[stuck] = attempt[stuck] + 1
            away = (attempt[stuck] / _ATTEMPTS).clamp_max(1)[:, None].to(points)
            x, noise = batch.x[stuck], anywhere(batch.x[stuck], batch.box, batch.seed, number)
            points[stuck] = batch.box.clamp(torch.lerp(x, noise, away))
            before[stuck], overshoot[stuck] = at_x[stuck], 0
    return slope


def close(
    batch: Batch,
    rows: Tensor,
    heading: tuple[Goal, Tensor],
    closing: Closing,
    known: Slope | None = None,
    chosen: Tensor | None = None,
) -> None:
    """Close in on x from the shortest r; `known` is the slope there, of all images.

    `heading` is the goal of all images and its margin at x. Where some are `chosen`, of all images
    of which an answer is known, only they.
    """
    rows = batch.unfinished(rows, batch.best.l2.isfinite() if chosen is None else chosen)
    if not len(rows):
        return
    best = batch.best.take(rows)
    # What a row does beyond its own budget is not taken.
    stop = math.ceil(best.budget - float(best.spent.amin()) / 2)
    there = None if known is None else Slope(known.margin[rows], known.gradient[rows])
    before = batch.best.l2.clone()
    goal, at_x = heading[0][rows], heading[1][rows]
    alike, spread = close_in(batch.network, goal, best, at_x, batch.box, closing, stop, there)
    batch.best.put(rows, best)
    _renew(batch, before)
    if known is not None:
        batch.calm[rows] = alike
        batch.spread[rows] = spread
        batch.saturated[rows] = spread < _FEW


def close_elsewhere(batch: Batch, rows: Tensor, at_x: Tensor, logits: Tensor) -> None:
    """Further paths, to other basins: what they are depends on the gradients of the first one.

    Where that has ended far beyond what the tangent at x promised, one begins at x. Usually a
    second one, and where the network is not smooth a third; where gradients turn from
    step to step that is a long one in all pixels' units, sooner so where the first answer took
    many. Where another class looks nearer, they begin at x and lead to that (`nearer_class`). Where
    few pixels have a gradient, all are paths in all pixels' units.
    """
    found = batch.best.l2.isfinite()
    kinked = found & ~batch.smooth
    saturated = kinked & batch.saturated
    others = kinked & ~saturated
    straight = batch.goal, at_x
    close(batch, rows, straight, BACK, chosen=others & (batch.best.l2 > _BEYOND * batch.promised))
    _follow(batch, batch.unfinished(rows, saturated), _SATURATED)
    turned = turn(batch, rows, others, straight, logits)
    close(batch, rows, turned, SECOND, chosen=found & ~saturated)
    few, many = _WILD
    wild = batch.calm < torch.where(batch.strayed, many, few)
    if turned is not straight:
        turned = turn(batch, rows, others, straight, logits)
    if turned[0].toward is not None:
        wild = wild & ~turned[0].toward
    _follow(batch, batch.unfinished(rows, others & wild), ((_LONG, False),))
    close(batch, rows, turned, THIRD, chosen=others & ~wild)


def _follow(batch: Batch, rows: Tensor, plans: Sequence[tuple[Round, bool]]) -> None:
    """Paths of an augmented Lagrangian, one after the other, from x or from the shortest r."""
    for plan, from_image in plans:
        if not len(rows):
            return
        before = batch.best.l2.clone()
        start = batch.x if from_image else batch.best.points
        batch.follow(rows, plan, start[rows], before[rows])
        _renew(batch, before)


def _renew(batch: Batch, before: Tensor) -> None:
    """What is shorter than `before` has not been found again; steps from there are another try."""
    fresh = batch.best.l2 < before * (1 - AGAIN)
    batch.again = torch.where(fresh, 0, batch.again)
    batch.tried = batch.tried & ~fresh


def try_steps(batch: Batch, rows: Tensor, at_least: float) -> None:
    """A few sequential steps from the shortest r: where they settle, the network is smooth.

    They are tried once from a point, and where the first path's gradients were `at_least` so alike.
    """
    rows = batch.unfinished(
        rows, batch.best.l2.isfinite() & ~batch.tried & (batch.calm >= at_least)
    )
    if len(rows):
        walk = batch.walk(rows, batch.aim(rows), batch.best.points[rows], _TRIED)
        batch.smooth[rows] = walk.length.isfinite() & (walk.gap < SMOOTH)
        batch.stepwise[rows] = batch.smooth[rows]
        batch.tried[rows] = True


def refine(batch: Batch, rows: Tensor) -> None:
    """Polish the shortest r where steps did not settle; but coarsely: a round gains more."""
    rows = batch.unfinished(rows, batch.best.l2.isfinite() & ~batch.smooth)
    if len(rows):
        batch.polish(rows, batch.aim(rows), batch.best.points[rows], finer=False)


def step_from_images(batch: Batch, rows: Tensor, chosen: Tensor) -> None:
    """Sequential steps from the chosen images; untargeted, toward each of several classes."""
    rows = batch.unfinished(rows, chosen & ~batch.optimal)
    if batch.goal.targeted:
        if len(rows):
            batch.walk(rows, batch.aim(rows), batch.x[rows])
        return
    if len(rows):
        rank_classes(batch, rows)
    for rank in range(min(batch.config.classes, batch.nearest.shape[1])):
        rows = batch.unfinished(rows, ~batch.optimal)
        if len(rows):
            aim = batch.against_label(rows, batch.nearest[rows, rank])
            batch.walk(rows, aim, batch.x[rows])
