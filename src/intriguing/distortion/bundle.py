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
from intriguing.distortion.problem import Network
from intriguing.distortion.quadratic import closest_point, products
from intriguing.distortion.race import Race, Tangent
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
    race: Race,
    best: Incumbent,
    start: Float[Tensor, "b n"],
    box: Box,
    *,
    steps: int,
    cuts: int,
) -> Walk:
    """Improve `best` by `steps` steps of one pass each from `start`."""
    x, z = best.images, start
    tangent = race.linearise(network, z, 1)
    best.offer(z, tangent.lowest, backward=1)
    shortest = torch.where(tangent.lowest > 0, (z - x).norm(dim=1), torch.inf)
    bundle = _Bundle.empty(len(z), cuts, z)
    bundle.add(z, tangent, 0)
    rho = torch.ones_like(tangent.lowest)
    sigma = torch.zeros_like(rho)
    margins = tangent.margins
    scale = torch.zeros_like(rho)
    for step in range(1, steps + 1):
        scale = tangent.gradients[:, 0].norm(dim=1) * (z - x).norm(dim=1)
        bundle.drop_contradictions(z, margins, _CONTRADICTS * scale)
        anchor = (x + rho[:, None] * z) / (1 + rho[:, None])
        trial = bundle.closest(anchor, (z - x).norm(dim=1), box)
        weights = (bundle.multipliers * (1 + rho[:, None])).to(z.dtype)
        sigma = torch.maximum(0.7 * sigma, 2 * weights.sum(1))
        met = race.linearise(network, trial, 1)
        best.offer(trial, met.lowest, backward=1)
        length = torch.where(met.lowest > 0, (trial - x).norm(dim=1), torch.inf)
        shortest = torch.minimum(shortest, length)
        lowest = margins.amin(1)
        accepted = merit(trial, x, met.lowest, sigma) <= merit(z, x, lowest, sigma)
        back = met.lowest + torch.linalg.vecdot(met.gradients[:, 0], z - trial)
        news = back >= margins.gather(1, met.classes)[:, 0] - _CONTRADICTS * scale
        bundle.add(trial, met, step)
        rho = torch.where(accepted, rho / 2, torch.where(news, rho, 2 * rho + 0.5)).clamp(*_RHO)
        yes = accepted[:, None]
        z = torch.where(yes, trial, z)
        margins = torch.where(yes, met.margins, margins)
        gradients = torch.where(yes[:, :, None], met.gradients, tangent.gradients)
        tangent = Tangent(margins, met.classes, gradients)
    bundle.drop_contradictions(z, margins, _CONTRADICTS * scale)
    closest = bundle.closest(x, torch.zeros_like(rho), box)
    short = (-margins.amin(1)).clamp_min(0) / bundle.norms.amax(1)
    return Walk(z, shortest, model_gap(closest, z, x, short))


@dataclass
class _Bundle:
    """Tangents g·z + offset of margins, with the class, multiplier and age of each."""

    gradients: Float[Tensor, "b m n"]
    norms: Float[Tensor, "b m"]
    offsets: Float[Tensor, "b m"]
    on: Bool[Tensor, "b m"]
    classes: Int64[Tensor, "b m"]
    multipliers: Float[Tensor, "b m"]
    born: Int64[Tensor, "b m"]

    @classmethod
    def empty(cls, rows: int, cuts: int, like: Float[Tensor, "_ n"]) -> "_Bundle":
        classes = torch.zeros(rows, cuts, dtype=torch.long, device=like.device)
        return cls(
            like.new_zeros(rows, cuts, like.shape[1]),
            like.new_zeros(rows, cuts),
            like.new_zeros(rows, cuts),
            classes.bool(),
            classes,
            classes.double(),
            classes - 1,
        )

    def add(self, z: Tensor, tangent: Tangent, step: int) -> None:
        """Put the tangent at z in a free place, else where the oldest idle, else the oldest is."""
        idle = self.multipliers == 0
        rank = torch.where(self.on, self.born + (~idle) * 1_000_000, -1)
        place = rank.argmin(1)
        rows = torch.arange(len(z), device=z.device)
        gradient = tangent.gradients[:, 0]
        usable = gradient.isfinite().all(1) & tangent.values[:, 0].isfinite()
        gradient = torch.where(usable[:, None], gradient, 0)
        offset = tangent.values[:, 0] - torch.linalg.vecdot(gradient, z)
        self.gradients[rows, place] = gradient
        self.norms[rows, place] = gradient.norm(dim=1)
        self.offsets[rows, place] = torch.where(usable, offset, 0)
        self.on[rows, place] = usable & (gradient != 0).any(1)
        self.classes[rows, place] = tangent.classes[:, 0]
        self.multipliers[rows, place] = 0
        self.born[rows, place] = step

    def values(self, z: Float[Tensor, "b n"]) -> Float[Tensor, "b m"]:
        """The tangents at z."""
        return products(self.gradients, z) + self.offsets

    def drop_contradictions(self, z: Tensor, margins: Tensor, allowed: Tensor) -> None:
        """Let go of tangents that lie below the margin of their class at z."""
        below = self.values(z) < margins.gather(1, self.classes) - allowed[:, None]
        self.on &= ~below
        self.multipliers *= self.on

    def closest(self, anchor: Tensor, length: Tensor, box: Box) -> Tensor:
        """The point of the box closest to `anchor` at which all tangents are inside the goal."""
        inset = _INSET * self.norms * length[:, None]
        answer = closest_point(
            anchor, self.gradients, inset - self.offsets, self.on, self.multipliers, box, _NEWTON
        )
        self.multipliers = answer.multipliers
        return answer.points
