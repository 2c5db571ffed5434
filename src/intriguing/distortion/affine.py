"""Affine networks, where the closest adversarial image can be proved to be the closest.

With logits J z + b the conditions f_l ≥ f_j are linear, and D(x, l) is a strictly convex quadratic
program: `quadratic.py` solves it, and the dual value it ends with bounds ‖r‖ from below. Which
networks are affine, `graph.affine` knows.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from intriguing.distortion.incumbent import Incumbent
from intriguing.distortion.logit_unit import power_of_two
from intriguing.distortion.problem import Goal, Network, rounding
from intriguing.distortion.quadratic import closest_point
from intriguing.distortion.rows import WIDTH
from intriguing.measures import Box
from intriguing.models.backward import full_gradient
from intriguing.models.groups import Sizes, in_groups

_LARGEST = 1 << 26
"""Numbers of the matrix J at most: 256 MiB of float32; a larger one is not proved about."""
_AT_ONCE = 40
"""Classes whose constraints a program starts with, the nearest; others enter where violated."""
_ROUNDS = 8
"""Times that violated classes enter; the bound holds with any of them, and is only looser."""
_NEWTON = 40
"""Newton steps of a program at most: a dual that is not solved to the end bounds all the same."""
# Insets tried, in units of `rounding`, which is wide for deep networks, and as shares of the way to
# the boundary, for what the solver leaves. One matrix product was seen to differ between batches by
# up to a sixth of `rounding`: a quarter is asked for here.
_INSETS = ((0.3, 0.0), (0.5, 0.0), (1.0, 1e-12), (1.0, 1e-9), (2.0, 1e-7), (8.0, 1e-6), (8.0, 1e-4))
_ASKED = 0.25
"""Of `rounding`, what an answer's margin must have; see above."""
_EXACT = 1e-5
"""Share of a length that is rounding: programs are solved in float64, answers are in float32."""
_CLOSE = 1e-4
"""Share of ‖r‖ between answer and bound that counts as proved: as large as the widest inset."""
_AGREES = 1e-2
"""Share by which J x may miss the change of the logits: float32 misses 1e-5, a wrong J the half."""


def jacobian(network: Network, pixels: int, like: Tensor) -> Float[Tensor, "k n"] | None:
    """The matrix J of an affine network.

    None when it would not fit in memory, or gradients are not the network's (past a `detach`, say).
    """
    with torch.enable_grad():
        z = like.new_zeros(1, pixels).requires_grad_()
        logits = network.logits(z)[0]
        if len(logits) * pixels > _LARGEST:
            return None
        matrix = torch.stack([full_gradient(f, z, again=True)[0] for f in logits])
    with torch.no_grad():
        tried = torch.linspace(1.0, 9.0, pixels, dtype=like.dtype, device=like.device).cos()[None]
        moved = network.logits(tried)[0] - logits
        apart = (matrix @ tried[0] - moved).abs().max()
        return matrix if bool(apart <= _AGREES * moved.abs().max()) else None


def affine_optimum(
    network: Network, jacobian: Float[Tensor, "k n"], goal: Goal, best: Incumbent, box: Box
) -> "Proof":
    """Offer the optimum of each row to `best`.

    Counts the passes that J took for every row, as if it were alone.
    """
    with torch.no_grad():
        logits = network.logits(best.images)
    best.offer(best.images, goal.secure_margin(logits), backward=len(jacobian))
    program = _Program(network, jacobian.double(), goal, best, box, logits)
    bound = program.beat_all(goal.classes) if goal.targeted else program.beat_one(goal.classes)
    length = best.l2.double()
    farthest = torch.maximum(program.x - box.lower, box.upper - program.x).norm(dim=1)
    # Two things must agree: the program with insets that was solved, and the bound without them.
    steepness = torch.linalg.vector_norm(
        program.jacobian[goal.classes][:, None] - program.jacobian, dim=2
    ).scatter(1, goal.classes[:, None], torch.inf)
    rounded = 16 * program.safety / steepness.amin(1).clamp_min(1e-300)
    optimal = length.isfinite() & (length <= program.attainable * (1 + _EXACT))
    optimal &= length - bound <= _CLOSE * length + rounded
    return Proof(bound.to(best.l2.dtype), optimal, bound > farthest * (1 + _EXACT))


@dataclass(frozen=True)
class Proof:
    """What is proved of each row.

    bound: no adversarial image is closer than this (L2). optimal: the one found is the closest that
    also stands against rounding. unreachable: the box holds none at all.
    """

    bound: Float[Tensor, " b"]
    optimal: Bool[Tensor, " b"]
    unreachable: Bool[Tensor, " b"]


class _Program:
    """The quadratic programs of rows of images, in float64."""

    def __init__(
        self,
        network: Network,
        jacobian: Tensor,
        goal: Goal,
        best: Incumbent,
        box: Box,
        logits: Tensor,
    ) -> None:
        self.network, self.goal, self.best, self.box = network, goal, best, box
        # One unit for all, since all have one J; what is relative to the logits is each one's own.
        one = power_of_two(jacobian.abs().amax()[None])
        own = 1.0 if goal.unit is None else goal.unit.double()
        self.jacobian = jacobian / one
        self.x, self.logits = best.images.double(), logits.double() / one
        self.safety = _rounding(goal, logits).double() * own / one
        self.attainable = torch.full_like(self.x[:, 0], torch.inf)

    def beat_all(self, wanted: Tensor) -> Tensor:
        """f_wanted ≥ f_j for every j: constraints enter as the point so far violates them."""
        classes = self.jacobian.shape[0]
        size = min(classes - 1, _AT_ONCE)
        ahead = self.logits.gather(1, wanted[:, None]) - self.logits
        ahead = ahead.scatter(1, wanted[:, None], torch.inf)
        chosen = ahead.topk(size, 1, largest=False).indices
        for _ in range(_ROUNDS if size < classes - 1 else 1):
            points, multipliers, bound = self._solve(ahead, wanted, chosen, (0, 0))
            now = self._margins(points, ahead, wanted)
            violated = (now < -self.safety[:, None]).any(1, keepdim=True)
            if size == classes - 1 or not violated.any():
                break
            worst = now.scatter(1, chosen, torch.inf).topk(size, 1, largest=False).indices
            idle = violated & (multipliers <= 0)
            rank = idle.long().cumsum(1) - 1
            chosen = torch.where(idle, worst.gather(1, rank.clamp_min(0)), chosen)
        self._offer(ahead, wanted, chosen, torch.ones_like(wanted, dtype=torch.bool))
        return bound

    def beat_one(self, labels: Tensor) -> Tensor:
        """f_j ≥ f_label for any one j: every class that could be closer than the best is tried."""
        behind = self.logits - self.logits.gather(1, labels[:, None])
        gram = self.jacobian @ self.jacobian.T
        own = gram.diagonal()
        normals = own + own[labels][:, None] - 2 * gram[labels]
        least = -behind / normals.clamp_min(1e-300).sqrt()
        least = least.scatter(1, labels[:, None], torch.inf).nan_to_num(nan=torch.inf)
        order = least.argsort(1)
        bound = torch.full_like(least[:, 0], torch.inf)
        for rank in range(order.shape[1] - 1):
            wanted = order[:, rank]
            closer = least.gather(1, wanted[:, None])[:, 0] < bound
            if not closer.any():
                break
            ahead = behind.gather(1, wanted[:, None]).expand_as(behind)
            _, _, reached = self._solve(ahead, wanted, labels[:, None], (0, 0))
            bound = torch.where(closer, torch.minimum(bound, reached), bound)
            self._offer(ahead, wanted, labels[:, None], closer)
        return bound

    def _solve(
        self, ahead: Tensor, wanted: Tensor, chosen: Tensor, inset: tuple[float, float]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The closest point, its multipliers, and the lower bound on ‖r‖₂ with this inset."""
        gradients = self.jacobian[wanted][:, None] - self.jacobian[chosen]
        here = torch.linalg.vecdot(gradients, self.x[:, None])
        behind = ahead.gather(1, chosen)
        floor = here - behind + inset[0] * self.safety[:, None] + inset[1] * behind.abs()
        on = (gradients != 0).any(2) & floor.isfinite()
        floor, start = torch.where(on, floor, 0), torch.zeros_like(floor)
        answer = closest_point(self.x, gradients, floor, on, start, self.box, _NEWTON)
        return answer.points, answer.multipliers, (2 * answer.bound.clamp_min(0)).sqrt()

    def _margins(self, points: Tensor, ahead: Tensor, wanted: Tensor) -> Tensor:
        change = in_groups(self._change, points - self.x, Sizes(WIDTH, WIDTH))
        return ahead + change.gather(1, wanted[:, None]) - change

    def _change(self, away: Tensor) -> Tensor:
        return away @ self.jacobian.T

    def _offer(self, ahead: Tensor, wanted: Tensor, chosen: Tensor, waiting: Tensor) -> None:
        """Offer the closest point that stands in the network's own arithmetic, where `waiting`."""
        for inset in _INSETS:
            points, _, bound = self._solve(ahead, wanted, chosen, inset)
            point = self.box.clamp(points.to(self.best.images.dtype))
            with torch.no_grad():
                logits = self.network.logits(point)
            margin = self.goal.margin(logits) - _ASKED * _rounding(self.goal, logits)
            self.best.offer(point, torch.where(waiting, margin, -torch.inf), forward=waiting.long())
            self.attainable = torch.where(
                waiting & (margin > 0), torch.minimum(self.attainable, bound), self.attainable
            )
            waiting = waiting & ~(margin > 0)
            if not waiting.any():
                break


def _rounding(goal: Goal, logits: Tensor) -> Float[Tensor, " b"]:
    """What rounding could take, in units: the sums of one product are hardly above the logits."""
    return rounding(goal.scaled(logits), at_least=1 / 8)
