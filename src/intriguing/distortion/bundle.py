"""Polishing an adversarial image on a network with kinks, by a bundle of its tangents.

Where ReLUs or pooling switch, one tangent says little: the closest adversarial image lies on many
kinks at once, and its r is a combination of the gradients on all sides of them. So tangents met on
the way are kept, up to `cuts` of them, and every step solves

    p = argmin ½‖z′ − x‖² + ½ρ‖z′ − z‖²   subject to   every kept tangent ≥ inset, z′ in the box

around the centre z. A tangent that contradicts the margin known at the centre (it lies across a
kink that bends the other way) is dropped. A trial that does not lower the merit still adds its
tangent, which cuts it off: the next one is better informed; only a trial whose tangent is no news
makes ρ grow. (Proximal bundle methods: Lemaréchal 1978, Kiwiel 1990; here the prox term is the
distance itself.)
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.margins import Margins, Tangent
from intriguing.distortion.problem import Network
from intriguing.distortion.quadratic import closest_point, products
from intriguing.distortion.rows import chosen
from intriguing.distortion.sequential import Walk, merit, model_gap
from intriguing.measures import Box

_INSET = 1e-4
"""Share of ‖r‖ that tangents are moved inward by, so that float32 leaves a point inside."""
_NEWTON = 1
"""Newton steps of a bundle's program, which goes on from the last step's multipliers."""
_CONTRADICTS = 1e-2
"""Share of slope times ‖r‖ by which a tangent may miss a margin and still agree with it."""
_RHO = (0.01, 1e6)
"""Bounds of the weight of staying near, which a success halves and a failure doubles."""


def polish(
    network: Network,
    aim: Margins,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    box: Box,
    *,
    steps: int,
    cuts: int,
) -> Walk:
    """Improve `best` by `steps` steps of one pass each from `start`, while its budget lasts."""
    x, z = best.images, start
    length = (z - x).norm(dim=1)
    tangent = aim.linearise(network, z, 1)
    best.offer(z, tangent.lowest, backward=1, length=length)
    shortest = torch.where(tangent.lowest > 0, length, torch.inf)
    bundle = _Bundle.empty(len(z), cuts, z)
    rho = torch.ones_like(length)
    sigma = torch.zeros_like(rho)
    margins, short = tangent.margins, (-tangent.lowest).clamp_min(0)
    every = torch.ones_like(short, dtype=torch.bool)
    slope = bundle.add(z, tangent, 0, every)
    for step in range(1, steps + 1):
        allowed = _CONTRADICTS * slope * length
        bundle.drop_contradictions(z, margins, allowed)
        more = 1 + rho[:, None]
        anchor = torch.addcmul(x, rho[:, None], z) / more
        going = best.within_budget
        if z.device.type == "cpu" and not going.any():
            break
        trial = bundle.closest(anchor, length, box, going)
        weights = (bundle.multipliers[:, : bundle.used] * more).to(z.dtype)
        # Above the multipliers, as an exact penalty must be; it falls slowly where they do.
        sigma = torch.maximum(0.7 * sigma, 2 * weights.sum(1))
        met = aim.linearise_some(network, trial, 1, going)
        reached, away = met.lowest, (trial - x).norm(dim=1)
        best.offer(trial, reached, backward=1, length=away)
        shortest = torch.where(going & (reached > 0), torch.minimum(shortest, away), shortest)
        missing = (-reached).clamp_min(0)
        accepted = going & (merit(away, missing, sigma) <= merit(length, short, sigma))
        gradient = met.gradients[:, 0]
        back = reached + torch.linalg.vecdot(gradient, z - trial)
        news = back >= margins.gather(1, met.classes)[:, 0] - allowed
        steep = bundle.add(trial, met, step, going)
        grown = torch.where(news, rho, 2 * rho + 0.5)
        rho = torch.where(accepted, rho / 2, grown).clamp(*_RHO)
        slope = torch.where(accepted, steep, slope)
        length = torch.where(accepted, away, length)
        short = torch.where(accepted, missing, short)
        z = torch.where(accepted[:, None], trial, z)
        margins = torch.where(accepted[:, None], met.margins, margins)
    bundle.drop_contradictions(z, margins, _CONTRADICTS * slope * length)
    closest = bundle.closest(x, torch.zeros_like(rho), box, every)
    steepest = bundle.norms[:, : bundle.used].amax(1)
    return Walk(z, shortest, model_gap(closest, z, x, short / steepest), ~every)


@dataclass
class _Bundle:
    """Tangents g·z − floor of margins, with the class, multiplier and age of each.

    In the first `used` of their places: those after them are free in every row. Beside the
    gradients there is one place more, which takes what is not to be kept.
    """

    gradients: Float[Tensor, "b m n"]
    norms: Float[Tensor, "b m"]
    floors: Float[Tensor, "b m"]
    on: Bool[Tensor, "b m"]
    classes: Int64[Tensor, "b m"]
    multipliers: Float[Tensor, "b m"]
    born: Int64[Tensor, "b m"]
    used: int = 0

    @classmethod
    def empty(cls, rows: int, cuts: int, like: Float[Tensor, "_ n"]) -> "_Bundle":
        classes = torch.zeros(rows, cuts + 1, dtype=torch.long, device=like.device)
        return cls(
            like.new_zeros(rows, cuts, like.shape[1]),
            like.new_zeros(rows, cuts + 1),
            like.new_zeros(rows, cuts + 1),
            classes.bool(),
            classes,
            classes.double(),
            classes - 1,
        )

    def add(
        self, z: Tensor, tangent: Tangent, step: int, going: Bool[Tensor, " b"]
    ) -> Float[Tensor, " b"]:
        """Put the tangent at z in a free place, else where the oldest idle, else the oldest is.

        Rows that are not `going` keep what they have. Returns the norm of its gradient.
        """
        cuts = self.gradients.shape[1]
        rank = torch.where(self.multipliers == 0, self.born, self.born + 1_000_000)
        free = torch.where(self.on, rank, -1)[:, :cuts].argmin(1, keepdim=True)
        place = torch.where(going[:, None], free, cuts)
        self.used = min(self.used + 1, cuts)
        gradient, value = tangent.gradients[:, 0], tangent.lowest[:, None]
        norm = torch.linalg.vector_norm(gradient, dim=1, keepdim=True)
        usable = norm + 0 * value < torch.inf  # as NaN is not
        gradient = torch.where(usable, gradient, 0)
        floor = torch.linalg.vecdot(gradient, z)[:, None] - torch.where(usable, value, 0)
        here = free[:, :, None].expand(-1, -1, gradient.shape[1])
        (kept,) = chosen(going, (gradient,), (self.gradients.gather(1, here)[:, 0],))
        self.gradients.scatter_(1, here, kept[:, None])
        known = torch.where(usable, norm, 0)
        self.norms.scatter_(1, place, known)
        self.floors.scatter_(1, place, floor)
        self.on.scatter_(1, place, known > 0)
        self.classes.scatter_(1, place, tangent.classes)
        self.multipliers.scatter_(1, place, 0.0)
        self.born.scatter_(1, place, step)
        steep: Tensor = norm[:, 0]
        return steep

    def drop_contradictions(self, z: Tensor, margins: Tensor, allowed: Tensor) -> None:
        """Let go of tangents that lie below the margin of their class at z."""
        known = self.classes[:, : self.used]
        self.on[:, : self.used] &= self._values(z) >= margins.gather(1, known) - allowed[:, None]

    def closest(
        self, anchor: Tensor, length: Tensor, box: Box, going: Bool[Tensor, " b"]
    ) -> Tensor:
        """The point of the box closest to `anchor` at which all tangents are inside the goal.

        Rows that are not `going` keep their multipliers.
        """
        gradients, norms, floors, on, multipliers = (
            column[:, : self.used]
            for column in (self.gradients, self.norms, self.floors, self.on, self.multipliers)
        )
        inside = torch.addcmul(floors, norms, length[:, None], value=_INSET)
        answer = closest_point(
            anchor, gradients, inside, on, multipliers, box, _NEWTON, slopes=norms
        )  # fmt: skip
        multipliers.copy_(torch.where(going[:, None], answer.multipliers, multipliers))
        return answer.points

    def _values(self, z: Float[Tensor, "b n"]) -> Float[Tensor, "b used"]:
        """The tangents at z."""
        return products(self.gradients[:, : self.used], z) - self.floors[:, : self.used]
