"""The worst image within a distance of x: the question of D(x, l) the other way round.

D asks how short r can be if the class has to change; here ‖r‖₂ is given and the loss is to be as
large as possible. It is the descent of `ddn` with its length held, cheap enough for training.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn import functional

from intriguing.distortion.attacks.steps import gradient_of, unit
from intriguing.distortion.problem import Goal, Network
from intriguing.distortion.rows import alone, filled, rows_at_once, width_of
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box, as_box


def strongest_within(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    radius: float,
    *,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    steps: int = 3,
    batch_size: int | None = None,
) -> Float[Tensor, "image ..."]:
    """Images within `radius` of the given ones, and in the box, that the model finds hardest.

    From r = 0, r moves `steps` times along the unit gradient of the cross-entropy, by
    2·radius/(steps + 1); after each move it is projected onto the ball and the box. One step is
    the exact answer for a linear network of two classes where the box does not interfere.

    Args:
        model: In evaluation mode, from images to logits.
        images: Inside `box`, on any device and in any floating-point type.
        labels: Their classes.
        radius: The largest ‖r‖₂.
        box: As for `minimum_distortion`.
        steps: Moves, each of one forward and one backward pass.
        batch_size: Images under way at once; the result does not depend on it.

    Raises:
        InputError: For a radius that is not positive, or no steps.

    >>> net = nn.Linear(2, 2, bias=False).eval()
    >>> _ = net.weight.data.copy_(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
    >>> strongest_within(net, torch.full((1, 2), 0.5), torch.tensor([0]), 0.5, steps=1)
    tensor([[0.2000, 0.1000]])
    """
    if not radius > 0 or steps < 1:
        raise InputError(f"radius {radius} and {steps} steps: give both above 0")
    if not len(images):
        return images.clone()
    network = Network(model, tuple(images.shape[1:]))
    x = network.classifier.fit(images).flatten(1)
    limits, labels, parts = as_box(box).flat(x), labels.to(x.device), []
    width = 1 if alone(x) else batch_size or rows_at_once(x, 8)
    for rows in torch.split(torch.arange(len(x), device=x.device), width):
        every = filled(rows, width_of(x))
        found = _ascended(network, x[every], labels[every], radius, limits, steps)
        parts.append(found[: len(rows)])
    return torch.cat(parts).view(images.shape)


def _ascended(
    network: Network, x: Tensor, labels: Tensor, radius: float, box: Box, steps: int
) -> Tensor:
    points, goal = x, Goal(labels, targeted=False)
    for _ in range(steps):
        with torch.enable_grad():
            z = points.detach().requires_grad_()
            logits = network.logits(z)
            if goal.unit is None:
                goal = goal.measured(network, x, logits.detach(), box)
            loss = functional.cross_entropy(goal.natural(logits), labels, reduction="none")
            uphill = gradient_of(loss, z)
        r = points - x + 2 * radius / (steps + 1) * unit(uphill)
        r = r * (radius / r.norm(dim=1, keepdim=True).clamp_min(radius))
        # x lies in the box, so that the projection onto it makes no |rᵢ| longer.
        points = box.clamp(x + r)
    return points
