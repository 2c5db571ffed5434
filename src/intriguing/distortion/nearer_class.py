"""Untargeted: which other class looks nearer than the one that was found first.

Steps up the margin lead to the class that is likeliest on the way, not to the nearest. How far the
boundary of a class is where its margin is linear costs a backward pass a class. On a robust ResNet
it tells: of 32 images four had come to a class that was not the nearest one, found with 400 passes,
and each time that one had the least distance. Such images were 18 % longer than need be.
"""

from dataclasses import replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.batch import Batch
from intriguing.distortion.margins import Margins
from intriguing.distortion.problem import Goal
from intriguing.distortion.rows import places

_NEARER = 1.1
"""Times the linearised distance of the class that was found: so near another is worth a path. With
1 a ResNet of 56 layers is 2.5 % longer at 40 passes, with 1.2 a robust one up to .3 %."""
_TRUSTED = 0.6
"""Of the linearised distance: where the shortest r is shorter than that, it says nothing. With 0
the ResNet of 56 layers is .4 % longer at 40 passes, with .75 a network of max-pooling 1.3 %."""


def rank_classes(batch: Batch, rows: Tensor) -> None:
    """Of the likeliest classes, put those first whose linearised distance is least; once an image.

    Costs a forward pass and a backward one for each class.
    """
    rows = rows[places(batch.away[rows, 0].isnan(), batch.width)]
    if not len(rows):
        return
    likely, best = batch.nearest[rows], batch.best.take(rows)
    aim = Margins.against_all(batch.goal.classes[rows], batch.goal[rows], batch.per_class.shape[1])
    distance = aim.distances(batch.network, best.images, likely)
    best.offer(best.images, torch.full_like(best.l2, -torch.inf), backward=likely.shape[1])
    batch.best.put(rows, best)
    batch.away[rows], order = distance.sort(dim=1, stable=True)
    batch.nearest[rows] = likely.gather(1, order)


def turn(
    batch: Batch, rows: Tensor, chosen: Tensor, heading: tuple[Goal, Tensor], logits: Tensor
) -> tuple[Goal, Float[Tensor, " b"]]:
    """The heading of the chosen rows; untargeted, of some the class that looks nearer.

    `heading` is the goal of all images and its margin at x, where their `logits` are. The class has
    not been turned to yet, and is about as near as that of the shortest r. Costs a forward pass,
    beside what ranking costs.
    """
    if batch.goal.targeted:
        return heading
    rows = batch.unfinished(rows, chosen & (batch.best.l2 > _TRUSTED * batch.promised))
    if not len(rows):
        return heading
    rank_classes(batch, rows)
    near, away = batch.nearest[rows], batch.away[rows]
    mine = near == batch.aim(rows).wanted[:, None]
    distance = torch.where(mine, away, torch.inf).amin(1)
    others = torch.where(mine | batch.turned_to[rows], torch.inf, away)
    least, rank = others.min(1)
    few = places(least < _NEARER * distance, batch.width)
    some, rank = rows[few], rank[few]
    batch.turned_to[some, rank] = True
    goal, _ = heading
    classes, toward = goal.classes.clone(), torch.zeros_like(batch.smooth)
    classes[some], toward[some] = batch.nearest[some, rank], True
    goal = replace(goal, classes=classes, toward=toward)
    return goal, goal.secure_margin(logits)
