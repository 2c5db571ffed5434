"""Batched box-constrained L-BFGS: many independent problems advance together.

Every problem i minimises, over its own box-constrained image z,

    F(z) = ℓᵢ(z) + cᵢ·φ(‖z − aᵢ‖²)          subject to  lower ≤ z ≤ upper

by two-metric projection (Bertsekas 1982): pixels held at a bound by the gradient are set apart, the
others take the quasi-Newton step of `curvature.py`, and the step is projected and shortened until F
decreases enough. What is kept is of ℓ alone, so that c can change between any two evaluations (the
paper's search over c, §4.1) at no cost: values, gradients and, of c‖r‖², curvature follow exactly.

One round of `consume` and `aim` uses one value and gradient of every problem, and no problem waits
for another: each has its own step, pairs, active pixels and state of convergence. Vectors are
summed, multiplied and clamped into tensors that are there already, since new memory costs more than
what is done in it; none is selected by pixel, which processors do one by one.

Descent: pairs take part where sᵀy > 10⁻¹⁰·yᵀy, hence H is positive definite, and on the free pixels
the step is a descent direction; a step is accepted when F(z′) ≤ F(z) − σ·max(0, ∇F(z)ᵀ(z − z′)),
σ = 10⁻⁴, which holds for all small enough t: F never rises (beyond rounding).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.curvature import Curvature
from intriguing.distortion.rows import filled, overwritten, places, width_of
from intriguing.measures import Box

Penalty: TypeAlias = Literal["squared", "norm"]
Evaluate: TypeAlias = Callable[
    [Float[Tensor, "k n"], Int64[Tensor, " k"]],
    tuple[Float[Tensor, " k"], Float[Tensor, "k n"]],
]

_SUFFICIENT = 1e-4
"""σ of the descent above: the usual constant of Armijo's rule (Nocedal & Wright, §3.1)."""
_NORM_SMOOTHING = 1e-6
"""‖r‖ is √(‖r‖² + 10⁻¹²), which has a slope at 0 and is the same to float32 above 10⁻²."""
_PATIENCE, _UTMOST = 6, 25
"""Evaluations in turn that may lower F by next to nothing; see `DescentConfig.tolerance`."""
_NOISE = 4
"""Rounding of F, in units in its last place, of which a descent may still rise."""


@dataclass(frozen=True)
class DescentConfig:
    """How far and how carefully to descend.

    memory: pairs (s, y) a problem keeps. tolerance: a problem has converged when the step of
    gradient projection at the scale of the penalty is at most tolerance·‖z − a‖ (an estimate of the
    relative error in r) or, in pixels, `pixel_tolerance`; or, on networks with kinks, where that
    step never vanishes, when six evaluations in turn each lowered F by less than tolerance²·|F|,
    or than rounding could (25 where the tolerance is 0). max_iterations: evaluations allowed.
    """

    memory: int = 4
    tolerance: float = 1e-3
    pixel_tolerance: float = 0.0
    max_iterations: int = 200


class BoxDescent:
    """A batch of problems between two evaluations; every tensor has one row a problem.

    `told` has, of the accepted points: ℓ, ‖z − a‖², and the margin that came with them.
    """

    def __init__(
        self,
        anchor: Float[Tensor, "b n"],
        start: Float[Tensor, "b n"],
        c: Float[Tensor, " b"],
        box: Box,
        config: DescentConfig,
        penalty: Penalty = "squared",
    ) -> None:
        self.box, self.config, self.penalty = box, config, penalty
        self.curvature = Curvature(len(start), config.memory, start)
        self.anchor = anchor.clone()
        self.z = start.clone()
        self.trial = start.clone()
        self.away = start - anchor
        self.gradient = torch.zeros_like(start)
        self.slope = torch.zeros_like(start)
        self.direction = torch.zeros_like(start)
        # y, s and the free part of ∇F, side by side for the products that they share.
        self.new = start.new_zeros(len(start), 3, start.shape[1])
        # What they hold means nothing from one method to the next.
        self.spare = torch.zeros_like(start)
        self.other = torch.zeros_like(start)
        self.c = c.clone()
        self.told = c.new_tensor((torch.inf, 0.0, -torch.inf)).repeat(len(c), 1)
        self.pull = self._pull()
        self._alone = (c == 0).to(c)
        self.theta = torch.ones_like(c)
        self.t = torch.ones_like(c)
        self.counts = c.new_zeros(len(c), 2, dtype=torch.long)
        self.residual = torch.full_like(c, torch.inf)
        self.tolerance = torch.full_like(c, config.tolerance)
        self.accepted = torch.zeros_like(c, dtype=torch.bool)
        self.fresh = self.accepted
        self.moved = True
        patience = _PATIENCE if config.tolerance else _UTMOST
        self._most = torch.tensor((patience, config.max_iterations), device=c.device)
        self._noise = _NOISE * torch.finfo(c.dtype).eps
        self._middle = (box.lower + box.upper) / 2
        self._half = self._middle - box.lower
        self._near = (2 * self._noise * box.width, 1e-3 * box.width)

    _ROWS = (
        "anchor", "z", "trial", "away", "gradient", "slope", "direction", "new", "c", "told",
        "pull", "_alone", "theta", "t", "counts", "residual", "tolerance", "accepted", "fresh",
        "spare", "other",
    )  # fmt: skip

    @property
    def loss(self) -> Float[Tensor, " b"]:
        """ℓ at the accepted points."""
        return self.told[:, 0]

    @property
    def squared_length(self) -> Float[Tensor, " b"]:
        """‖z − a‖² of the accepted points."""
        return self.told[:, 1]

    @property
    def margin(self) -> Float[Tensor, " b"]:
        """The margin at the accepted points."""
        return self.told[:, 2]

    @property
    def value(self) -> Float[Tensor, " b"]:
        """F at the accepted points."""
        return torch.addcmul(self.loss, self.c, self._phi(self.squared_length))

    @property
    def iterations(self) -> Int64[Tensor, " b"]:
        """Evaluations of each problem since it was last given a full step."""
        return self.counts[:, 1]

    def keep(self, rows: Tensor) -> None:
        """Keep only the problems `rows`, in that order: finished ones leave the batch."""
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])
        self.curvature.keep(rows)

    def load(self, rows: Tensor, anchor: Tensor) -> None:
        """Put new problems, starting at their anchors, in the place of `rows`."""
        for name, value in (
            ("anchor", anchor), ("z", anchor), ("trial", anchor), ("away", 0.0), ("gradient", 0.0),
            ("slope", 0.0), ("t", 1.0), ("counts", 0),
        ):  # fmt: skip
            getattr(self, name)[rows] = value
        self.told[rows, 0] = torch.inf
        self.told[rows, 1] = 0
        self.curvature.forget(rows)
        # The last step was another problem's: it is no pair here, nor is its direction.
        self.accepted, self.fresh = self.accepted.clone(), self.fresh.clone()
        self.accepted[rows], self.fresh[rows] = False, True
        self.moved = True

    def consume(
        self,
        loss: Float[Tensor, " b"],
        gradient: Float[Tensor, "b n"],
        margin: Float[Tensor, " b"] | None = None,
    ) -> None:
        """Take in ℓ and ∇ℓ at `trial`, and a margin that is kept beside them. `aim` comes next.

        The gradient's tensor is kept, and written into.
        """
        self.take(loss, gradient, margin)
        self.measure()

    def take(self, loss: Tensor, gradient: Tensor, margin: Tensor | None = None) -> None:
        """`consume` for a caller who goes on with `change_c` and `measure`."""
        y, s, _ = self.new.unbind(1)
        trial, work = self.trial, self.other
        away = torch.sub(trial, self.anchor, out=self.spare)
        squared_length = _dot(away, away, work)
        if self.penalty == "squared":
            torch.sub(gradient, self.gradient, out=y)
        else:
            pull = self.c / self._phi(squared_length)
            torch.addcmul(gradient, pull[:, None], away, out=y).sub_(self.slope)
        torch.sub(trial, self.z, out=s)
        # A pixel that stayed where it was, at a bound, is left out of the pair, so that the inverse
        # of the whole curvature has, on the free pixels, the inverse of theirs.
        y.mul_(torch.ne(s, 0, out=work))
        promised = -_dot(self.slope, s, work)
        value = torch.addcmul(loss, self.c, self._phi(squared_length))
        gain, size = self.value - value, value.abs()
        rounding = size * self._noise
        enough = torch.sub(promised.clamp_min(0) * _SUFFICIENT, rounding)
        accepted = gain >= enough  # as NaN is not
        accepted &= torch.linalg.vector_norm(y, dim=1) + size < torch.inf
        busy = accepted & (gain >= torch.maximum(self.tolerance.square() * size, rounding))
        self.counts += 1
        self.counts[:, 0] *= ~busy
        # By the parabola through what is known, kept within a tenth and a half of the step before.
        shorter = 0.5 * promised / (promised - gain).clamp_min(1e-38)
        self.t = torch.where(accepted, 1.0, self.t * shorter.nan_to_num(0.1).clamp(0.1, 0.5))
        before = self.z, self.gradient, self.away
        self.trial, _, self.spare = before
        self.z, self.gradient, self.away = overwritten(~accepted, (trial, gradient, away), before)
        told = torch.stack((loss, squared_length, loss if margin is None else margin), 1)
        self.told = torch.where(accepted[:, None], told, self.told)
        self.accepted = self.fresh = accepted
        if self.penalty == "norm":
            self.pull = self._pull()

    def measure(self) -> None:
        """How far a step of gradient projection, at the scale of the penalty, would still go."""
        self._slope()
        scale = (self.pull + self._alone)[:, None]
        there = torch.addcdiv(self.z, self.slope, scale, value=-1, out=self.spare)
        self.residual = torch.linalg.vector_norm(self.box.clamp_(there).sub_(self.z), dim=1)

    def _slope(self) -> None:
        """∇F at the accepted points."""
        torch.addcmul(self.gradient, self.pull[:, None], self.away, out=self.slope)
        self.moved = False

    def aim(self) -> None:
        """Choose the next `trial` of every problem from its point, gradient and pairs."""
        if self.moved:
            self._slope()
        # The room that a pixel has ahead of it, less what counts as none.
        near = self.residual[:, None].clamp(*self._near)
        ahead = torch.sign(self.slope, out=self.spare)
        inward = torch.sub(self.z, self._middle, out=self.other)
        free = torch.addcmul(self._half - near, ahead, inward, out=self.spare).gt_(0)
        torch.mul(self.slope, free, out=self.new[:, 2])
        bend = self.pull if self.penalty == "squared" else torch.zeros_like(self.pull)
        step = self.curvature.step(
            self.new, self.slope, self.accepted, free, bend, self.theta, out=self.other
        )
        before = self.direction
        (self.direction,) = overwritten(~self.fresh, (step,), (before,))
        self.other = before
        self.box.clamp_(torch.addcmul(self.z, self.t[:, None], self.direction, out=self.trial))

    def finished(self) -> Bool[Tensor, " b"]:
        """Which problems have converged, can no longer move, or have used up their evaluations."""
        near = self.tolerance * self.squared_length.sqrt()
        if self.config.pixel_tolerance:
            near = near.clamp_min(self.config.pixel_tolerance)
        return (self.residual <= near) | (self.counts >= self._most).any(1)

    def change_c(self, c: Float[Tensor, " b"], on: Bool[Tensor, " b"]) -> None:
        """Give the problems that are `on` a new c, a full step and a fresh count.

        They go on from where they are, without a pass through the network.
        """
        self.c = torch.where(on, c, self.c)
        self.pull = self._pull()
        self.t = torch.where(on, 1.0, self.t)
        self.counts *= ~on[:, None]
        self.fresh = self.fresh | on
        self.moved = True
        if self.penalty == "norm":
            # Whose pairs are those of the whole objective: r bends it less than across r.
            self.curvature.forget(on.nonzero()[:, 0])

    def restore(
        self,
        on: Bool[Tensor, " b"],
        z: Float[Tensor, "b n"],
        gradient: Float[Tensor, "b n"],
        told: Float[Tensor, "b 3"],
    ) -> None:
        """Put the problems that are `on` at points of which ∇ℓ and `told` are known.

        They keep c and the pairs.
        """
        self.z, self.gradient = overwritten(on, (self.z, self.gradient), (z, gradient))
        torch.sub(self.z, self.anchor, out=self.away)
        self.moved = True
        self.told = torch.where(on[:, None], told, self.told)

    def _phi(self, squared_length: Tensor) -> Tensor:
        """The penalty φ(ρ²) = ρ² or ρ (smoothed at 0)."""
        if self.penalty == "squared":
            return squared_length
        return (squared_length + _NORM_SMOOTHING**2).sqrt()

    def _pull(self) -> Float[Tensor, " b"]:
        """What c·φ pulls with, 2c·φ′(ρ²): of c‖r‖² the curvature, of c‖r‖ at least that."""
        if self.penalty == "squared":
            return 2 * self.c
        return self.c / self._phi(self.squared_length)


@dataclass(frozen=True)
class Minimum:
    """Where each problem ended: its point, F there, the residual left, and the evaluations used."""

    points: Float[Tensor, "b n"]
    values: Float[Tensor, " b"]
    residual: Float[Tensor, " b"]
    evaluations: Int64[Tensor, " b"]


def minimize_in_box(
    evaluate: Evaluate,
    start: Float[Tensor, "b n"],
    box: Box,
    config: DescentConfig | None = None,
    *,
    anchor: Float[Tensor, "b n"] | None = None,
    c: Float[Tensor, " b"] | None = None,
    penalty: Penalty = "squared",
) -> Minimum:
    """Minimise every row's ℓ(z) + c·φ(‖z − anchor‖²) over the box, from `start`.

    `evaluate(points, rows)` gives the values (k,) and gradients (k, n) of the k problems `rows` at
    `points`; problems are repeated to fill a batch up. One that is finished leaves the batch.
    """
    weight = start.new_zeros(len(start)) if c is None else c
    centre = start if anchor is None else anchor
    width = width_of(start)
    rows = filled(torch.arange(len(start), device=start.device), width)
    state = BoxDescent(
        centre[rows],
        box.clamp(start)[rows],
        weight[rows],
        box,
        config or DescentConfig(),
        penalty,
    )
    answer = Minimum(
        start.clone(),
        torch.zeros_like(weight),
        torch.zeros_like(weight),
        rows.new_zeros(len(start)),
    )
    while len(rows):
        state.consume(*evaluate(state.trial, rows))
        over = state.finished()
        if over.any():
            ended = rows[over]
            answer.points[ended] = state.z[over]
            answer.values[ended] = state.value[over]
            answer.residual[ended] = state.residual[over]
            answer.evaluations[ended] = state.iterations[over]
            left = places(~over, width)
            rows = rows[left]
            state.keep(left)
        state.aim()
    return answer


def _dot(
    a: Float[Tensor, "b n"], b: Float[Tensor, "b n"], work: Float[Tensor, "b n"]
) -> Float[Tensor, " b"]:
    """Inner product of each pair of rows; `work` is written over."""
    return torch.mul(a, b, out=work).sum(1)
