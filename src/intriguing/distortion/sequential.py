"""Sequential quadratic steps to the nearest point at which a class wins.

At z every rival's margin is replaced by its tangent, and the closest point of the box to x under
these linear constraints is the next trial (a quadratic program, `quadratic.py`):

    p = argmin ½‖z′ − x‖² + ½ρ‖z′ − z‖²   subject to   m_j(z) + ∇m_j(z)·(z′ − z) ≥ inset, box

It is accepted when the merit ½‖z − x‖² + σ·max(0, −min_j m_j) does not rise, σ at least the sum of
the multipliers; otherwise ρ grows until it is, which it must where the margins are differentiable:
for σ above that sum p − z is a descent direction of the merit, and ρ → ∞ makes the step short.
ρ follows the curvature that the last step met.

Only a few rivals' gradients are taken afresh in a step, those that press most; for the others the
last gradient serves, with the margin as it is now, which every forward pass tells.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.margins import Margins
from intriguing.distortion.problem import Network
from intriguing.distortion.quadratic import closest_point, products
from intriguing.measures import Box

_INSET = 1e-4
"""Share of ‖r‖ that tangents are moved inward by, so that float32 leaves a point inside."""
_NEWTON = 3
"""Newton steps of a step's program; the next one goes on from its multipliers."""
_SETTLED = 1e-4
"""Share of ‖r‖ below which a step means that a row has arrived: a tenth of another answer."""
_SAME = 1e-6
"""Share by which a gradient may differ from one elsewhere and be the same: what rounding leaves."""


@dataclass(frozen=True)
class Walk:
    """Where each row ended: its point, the shortest adversarial ‖r‖₂ on the way, and the gap.

    gap: the share of ‖z − x‖ that the problem with its tangents at z would still gain; 0 at a local
    optimum of a smooth network. flat: a gradient was the same at two points, as it is where a
    network is put together of linear pieces: it has kinks, even if no step has met one.
    """

    points: Float[Tensor, "b n"]
    length: Float[Tensor, " b"]
    gap: Float[Tensor, " b"]
    flat: Bool[Tensor, " b"]

    @classmethod
    def nowhere(cls, start: Float[Tensor, "b n"]) -> "Walk":
        """Rows that have not walked yet."""
        nothing = torch.full_like(start[:, 0], torch.inf)
        return cls(start.clone(), nothing, nothing.clone(), nothing < 0)

    def put(self, rows: Tensor, part: "Walk") -> None:
        """Write down how far `rows` have come."""
        self.points[rows] = part.points
        self.length[rows] = torch.minimum(self.length[rows], part.length)
        self.gap[rows] = part.gap
        self.flat[rows] |= part.flat

    def repeat(self, count: int) -> None:
        """Write down of all rows but so many first ones what is known of the first."""
        if count < len(self.points):
            for column in (self.points, self.length, self.gap, self.flat):
                column[count:] = column[:1]


def sequential(
    network: Network,
    aim: Margins,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    box: Box,
    *,
    steps: int,
    rivals: int,
    fresh: int,
) -> Walk:
    """Improve `best` by at most `steps` steps from `start`, while its budget lasts.

    `rivals` classes are linearised; each step takes `fresh` of their gradients anew.
    """
    x, z = best.images, start
    length = (z - x).norm(dim=1)
    tangent = aim.linearise(network, z, rivals)
    short = (-tangent.lowest).clamp_min(0)
    best.offer(z, tangent.lowest, backward=tangent.classes.shape[1], length=length)
    shortest = torch.where(tangent.lowest > 0, length, torch.inf)
    classes, gradients, margins = tangent.classes, tangent.gradients, tangent.margins
    rho = torch.zeros_like(length)
    sigma = torch.zeros_like(rho)
    residual = torch.full_like(rho, torch.inf)
    multipliers = z.new_zeros(classes.shape, dtype=torch.float64)
    count = min(fresh, rivals)
    flat = torch.zeros_like(rho, dtype=torch.bool)
    for _ in range(steps):
        # Rows that have settled, or whose budget allows no more, wait for the others, and end as
        # they would have without them.
        going = (residual > _SETTLED) & best.affords(1 + count)
        if z.device.type == "cpu" and not going.any():
            break
        more = 1 + rho[:, None]
        anchor = torch.addcmul(x, rho[:, None], z) / more
        norms = gradients.norm(dim=2)
        here = products(gradients, z)
        values = margins.gather(1, classes)
        so_far = length.clamp_min(1e-6 * box.width)
        on = values.isfinite() & (norms > 0)
        floor = torch.where(on, here - values + norms * (_INSET * so_far)[:, None], 0)
        answer = closest_point(anchor, gradients, floor, on, multipliers, box, _NEWTON, norms)
        trial = answer.points
        multipliers = torch.where(going[:, None], answer.multipliers, multipliers)
        weights = (multipliers * more).to(z.dtype)
        # Above the multipliers, as an exact penalty must be; it falls slowly where they do.
        sigma = torch.maximum(0.7 * sigma, 2 * weights.sum(1))
        tangent = aim.linearise_some(network, trial, count, going)
        reached = torch.where(going, tangent.lowest, -torch.inf)
        away = (trial - x).norm(dim=1)
        best.offer(trial, reached, forward=going, backward=count * going, length=away)
        shortest = torch.where(reached > 0, torch.minimum(shortest, away), shortest)
        step = trial - z
        moved = step.norm(dim=1)
        met = tangent.margins.gather(1, classes)
        error = weights * (met - values - products(gradients, step))
        error = torch.where(weights > 0, error, 0).sum(1)
        # Bounded, so that no single step decides how far the next may go.
        curvature = (-2 * error / moved.square().clamp_min(1e-20)).clamp(-0.6, 50)
        missing = (-reached).clamp_min(0)
        accepted = merit(away, missing, sigma) <= merit(length, short, sigma)
        least = torch.where(accepted, 0.3 * rho, 2 * rho + 1)
        rho = torch.maximum(curvature, least)
        share = moved / so_far
        residual = torch.minimum(residual, share * (1 + rho))
        gradients, classes, multipliers, same = _renew(
            gradients, classes, multipliers, tangent.gradients, tangent.classes, accepted
        )
        flat |= same & (share > _SETTLED)
        z = torch.where(accepted[:, None], trial, z)
        length = torch.where(accepted, away, length)
        short = torch.where(accepted, missing, short)
        margins = torch.where(accepted[:, None], tangent.margins, margins)
    values, here = margins.gather(1, classes), torch.linalg.vecdot(gradients, z[:, None])
    norms = gradients.norm(dim=2)
    on = values.isfinite() & (norms > 0)
    floor = torch.where(on, here - values, 0)
    closest = closest_point(x, gradients, floor, on, multipliers, box, _NEWTON, norms)
    short = short / norms.amax(1)
    return Walk(z, shortest, model_gap(closest.points, z, x, short), flat)


def model_gap(
    closest: Float[Tensor, "b n"],
    z: Float[Tensor, "b n"],
    x: Float[Tensor, "b n"],
    short: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """By which share of itself ‖z − x‖ differs from the distance of the model's closest point.

    `short` is how far z is from the goal; where that is more than a thousandth of the way, z is no
    candidate and the gap infinite.
    """
    length = (z - x).norm(dim=1)
    length = torch.where(short <= 1e-3 * length, length, torch.nan)
    gap: Tensor = (length - (closest - x).norm(dim=1)).abs() / length
    return gap.nan_to_num(nan=torch.inf)


def merit(
    length: Float[Tensor, " b"], short: Float[Tensor, " b"], sigma: Float[Tensor, " b"]
) -> Float[Tensor, " b"]:
    """½‖z − x‖² + σ·max(0, −margin); infinite where the margin is −∞, as for NaN logits."""
    return torch.addcmul((sigma * short).nan_to_num(nan=torch.inf), length, length, value=0.5)


def _renew(
    gradients: Float[Tensor, "b r n"],
    classes: Tensor,
    multipliers: Tensor,
    new_gradients: Float[Tensor, "b f n"],
    new_classes: Tensor,
    accepted: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Put fresh gradients in the places of their classes, or of an idle class if they have none.

    Says, too, where the first of them is what it was.
    """
    rows = torch.arange(len(classes), device=classes.device)
    gradients, classes, multipliers = gradients.clone(), classes.clone(), multipliers.clone()
    unchanged = accepted
    for i in range(new_classes.shape[1]):
        same = classes == new_classes[:, i, None]
        known, there = same.max(1)
        place = torch.where(known, there, multipliers.argmin(1))
        here, held = gradients[rows, place], classes[rows, place]
        if i == 0:
            change = torch.linalg.vector_norm(new_gradients[:, 0] - here, dim=1)
            unchanged = change <= _SAME * here.norm(dim=1)
        gradients[rows, place] = torch.where(accepted[:, None], new_gradients[:, i], here)
        classes[rows, place] = torch.where(accepted, new_classes[:, i], held)
        weight = multipliers[rows, place]
        multipliers[rows, place] = torch.where(accepted & ~known, 0.0, weight)
    return gradients, classes, multipliers, unchanged
