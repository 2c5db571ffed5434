"""The closest adversarial image that is known how to find, and how good it is.

1. On an affine network the problem is a quadratic program: solved exactly, with proof (`affine`).
2. A first adversarial point in a few passes, by linearised steps (`approach`), from x or where the
   gradients there lead nowhere from between x and noise; then two paths that close in on x
   (`closing`), and one more from x where the first ends far beyond what the tangent there promised.
   All lengths from here on are in units of the shortest r so far.
3. A few sequential quadratic steps (`sequential`): where they settle, the network is smooth, and
   such steps from x itself follow, untargeted toward each of the classes that look nearest there;
   elsewhere a bundle of tangents polishes (`bundle`). Where the first path's gradients hardly
   turned, they are tried before the second path; where they turned much, never. Where few pixels
   have a gradient, other paths take the second one's place; untargeted, on networks with kinks, a
   path toward another class that looks nearer at x (`nearer_class`).
4. Then rounds, each a coarse path that may end in another basin (`lagrangian`), followed by a
   polish of its end in the same two ways.
5. Untargeted, before an image is finished or after four rounds: steps and a path toward each of the
   likeliest classes, so that an answer is no longer than that of a class asked for by name.

The rounds follow one schedule whatever the budget, so more passes never give a longer r; and an
image whose shortest r several rounds have found again is finished early.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.distortion.affine import affine_optimum, jacobian
from intriguing.distortion.batch import Batch
from intriguing.distortion.closest_config import ClosestConfig as ClosestConfig
from intriguing.distortion.closing import FIRST
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.result import Found
from intriguing.distortion.rounds import go_rounds
from intriguing.distortion.rows import filled, places, width_of
from intriguing.distortion.start import (
    CALM,
    RESTLESS,
    close,
    close_elsewhere,
    first_answers,
    refine,
    step_from_images,
    try_steps,
)
from intriguing.graph.affine import is_affine
from intriguing.measures import Box


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
        network = network.as_given()  # what is proved of it holds to the last bit
        matrix = jacobian(network, images.shape[1], images)
    parts = []
    for rows in torch.split(torch.arange(len(images), device=images.device), width):
        every = filled(rows, width_of(images))
        batch = Batch(network, images[every], goal[every], box, config, seed)
        parts.append(_search(batch, matrix, len(rows)).first(len(rows)))
        report(int(rows[-1]) + 1)
    return Found.joined(parts)


def _search(batch: Batch, matrix: Tensor | None, count: int) -> Found:
    """Prove, or start and go round; of the first so many images, the others are copies."""
    logits, finite, already = batch.look()
    open_ = finite & ~already
    open_[count:] = False
    rows = places(open_, batch.width)
    if len(rows) and matrix is not None:
        rows = _prove(batch, rows, matrix)
    at_x = batch.goal.secure_margin(logits)
    slope = first_answers(batch, rows, at_x)
    close(batch, rows, (batch.goal, at_x), FIRST, slope)
    try_steps(batch, rows, CALM)
    stepped = batch.smooth.clone()
    step_from_images(batch, rows, stepped)
    close_elsewhere(batch, rows, at_x, logits)
    refine(batch, rows)
    try_steps(batch, rows, RESTLESS)
    step_from_images(batch, rows, batch.smooth & ~stepped)
    go_rounds(batch, rows, range(batch.config.budget))
    best = batch.best
    extra = {"gap": batch.gap, "local_gap": batch.local_gap, "optimal": batch.optimal}
    if not batch.goal.targeted:
        extra["per_class"] = batch.per_class / batch.x.shape[1] ** 0.5
    claimed = best.l2.isfinite()
    return Found(
        best.points, claimed, already, finite, best.forward, best.backward, best.curve, extra
    )


def _prove(batch: Batch, rows: Tensor, matrix: Tensor) -> Tensor:
    """Solve the quadratic program of an affine network; the rows that it leaves open."""
    best = batch.best.take(rows)
    proof = affine_optimum(batch.network, matrix, batch.goal[rows], best, batch.box)
    batch.gap[rows] = (1 - proof.bound / best.l2).clamp_min(0)
    batch.gap[rows] = torch.where(best.l2.isinf(), torch.nan, batch.gap[rows])
    batch.optimal[rows] = proof.optimal
    batch.best.put(rows, best)
    return batch.each(rows[~(proof.optimal | proof.unreachable)])
