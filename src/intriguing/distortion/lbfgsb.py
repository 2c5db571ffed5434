"""Batched box-constrained L-BFGS: many independent problems advance together.

Every problem i minimises, over its own box-constrained image z,

    F(z) = ℓᵢ(z) + cᵢ·φ(‖z − aᵢ‖²)          subject to  lower ≤ z ≤ upper

by two-metric projection (Bertsekas 1982): pixels held at a bound by the gradient are set apart, the
others take the quasi-Newton step of `curvature.py`, and the step is projected and shortened until F
decreases enough. The penalty is kept out of ℓ so that c can change in the middle of a run without a
pass through the network (the paper's search over c, §4.1): values, gradients and curvature follow
exactly.

One round of `consume` and `aim` uses one value and gradient of every problem, and no problem waits
for another: each has its own step, pairs, active pixels and state of convergence.

Descent: the pairs satisfy sᵀy > 10⁻¹⁰·yᵀy, hence B is positive definite, and on the free pixels the
step is a descent direction; a step is accepted when

    F(z′) ≤ F(z) − σ·max(∇F(z)ᵀ(z − z′), δ·θ‖z′ − z‖²/t),      σ = 10⁻⁴, δ = 10⁻³

which holds for all small enough t, so F never rises (beyond rounding) and steps cannot stall short
of a stationary point.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.distortion.curvature import Curvature
from intriguing.distortion.rows import Rows, filled, places, put, width_of
from intriguing.measures import Box

Penalty: TypeAlias = Literal["squared", "norm"]
Evaluate: TypeAlias = Callable[
    [Float[Tensor, "k n"], Int64[Tensor, " k"]],
    tuple[Float[Tensor, " k"], Float[Tensor, "k n"]],
]

_SUFFICIENT = 1e-4
"""σ of the descent above: the usual constant of Armijo's rule (Nocedal & Wright, §3.1)."""
_STEP_GUARD = 1e-3
"""δ of the descent above: a small one refuses few steps."""
_CURVED = 1e-10
"""sᵀy / yᵀy above which a pair is kept, so that B stays positive definite in float32."""
_NORM_SMOOTHING = 1e-6
"""‖r‖ is √(‖r‖² + 10⁻¹²), which has a slope at 0 and is the same to float32 above 10⁻²."""
_PATIENCE = 6
"""Evaluations in turn that may lower F by next to nothing; see `DescentConfig.tolerance`."""

# Columns of the counts of a problem: evaluations in turn that changed nothing, that gained too
# little, that were refused, and all since the last full step.
_REJECTIONS, _ITERATIONS = 2, 3


@dataclass(frozen=True)
class DescentConfig:
    """How far and how carefully to descend.

    memory: pairs (s, y) a problem keeps. tolerance: a problem has converged when the step of
    gradient projection at the scale of the penalty is at most tolerance·‖z − a‖ (an estimate of the
    relative error in r) or, in pixels, `pixel_tolerance`; or, on networks with kinks, where that
    step never vanishes, when six evaluations in turn each lowered F by less than tolerance²·|F|.
    max_iterations: evaluations allowed.
    """

    memory: int = 4
    tolerance: float = 1e-3
    pixel_tolerance: float = 0.0
    max_iterations: int = 200
    max_rejections: int = 25


class BoxDescent:
    """A batch of problems between two evaluations; every tensor has one row a problem."""

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
        self.gradient = torch.zeros_like(start)
        self.direction = torch.zeros_like(start)
        self.c = c.clone()
        self.value = c.new_full((len(c),), torch.inf)
        self.squared_length = torch.zeros_like(c)
        self.theta = torch.ones_like(c)
        self.t = torch.ones_like(c)
        self.counts = c.new_zeros(len(c), 4, dtype=torch.long)
        self.residual = torch.full_like(c, torch.inf)
        self.tolerance = torch.full_like(c, config.tolerance)
        most = (3, _PATIENCE, config.max_rejections, config.max_iterations)
        self._most = torch.tensor(most, device=c.device)

    _ROWS = (
        "anchor", "z", "trial", "gradient", "direction", "c", "value", "squared_length", "theta",
        "t", "counts", "residual", "tolerance",
    )  # fmt: skip

    @property
    def iterations(self) -> Int64[Tensor, " b"]:
        """Evaluations of each problem since it was last given a full step."""
        return self.counts[:, _ITERATIONS]

    def keep(self, rows: Tensor) -> None:
        """Keep only the problems `rows`, in that order: finished ones leave the batch."""
        for name in self._ROWS:
            setattr(self, name, getattr(self, name)[rows])
        self.curvature.keep(rows)

    def load(self, rows: Tensor, anchor: Tensor, c: Tensor) -> None:
        """Put new problems, starting at their anchors, in the place of `rows`."""
        self.anchor[rows] = anchor
        self.z[rows] = anchor
        self.trial[rows] = anchor
        self.gradient[rows] = 0
        self.c[rows] = c
        self.value[rows] = torch.inf
        self.renew(rows)
        self.curvature.forget(rows)

    def renew(self, rows: Rows, on: Bool[Tensor, " rows"] | None = None) -> None:
        """Give `rows`, or those of them that are `on`, a full step and a fresh count."""
        if on is None:
            self.t[rows], self.counts[rows], self.residual[rows] = 1, 0, torch.inf
            return
        put(self, "t", rows, torch.where(on, 1, self.t[rows]))
        put(self, "counts", rows, torch.where(on[:, None], 0, self.counts[rows]))
        put(self, "residual", rows, torch.where(on, torch.inf, self.residual[rows]))

    def consume(
        self, loss: Float[Tensor, " b"], gradient: Float[Tensor, "b n"]
    ) -> Bool[Tensor, " b"]:
        """Take in ℓ and ∇ℓ at `trial`; says which problems moved there. `aim` comes next."""
        away = self.trial - self.anchor
        s = self.trial - self.z
        squared_length = _dot(away, away)
        phi, pull = self._phi(squared_length, self.c)
        value = loss + self.c * phi
        gradient = torch.addcmul(gradient, pull[:, None], away)
        # One product gives every inner product of the step, the change and the old gradient.
        both = torch.stack((s, gradient - self.gradient, self.gradient), 1)
        inner = torch.bmm(both, both[:, :2].transpose(1, 2))
        ss, sy, yy, promised = (
            inner[:, 0, 0],
            inner[:, 0, 1],
            inner[:, 1, 1],
            -inner[:, 2, 0],
        )
        guard = _STEP_GUARD * self.theta * ss / self.t
        size = value.abs()
        noise = 4 * torch.finfo(value.dtype).eps * size
        gain = self.value - value
        accepted = gain >= _SUFFICIENT * torch.maximum(promised, guard) - noise
        accepted &= (size < torch.inf) & (yy < torch.inf)  # as NaN is not
        # Before the first value s is 0, and so no pair is curved.
        curved = accepted & (sy > _CURVED * yy)
        self.curvature.add(both[:, :2], curved)
        self.theta = torch.where(curved, yy / sy.clamp_min(1e-38), self.theta)

        futile = gain.abs() <= 4 * noise
        idle = ~(torch.where(accepted, gain, 0) >= self.tolerance.square() * size)
        refused = ~accepted
        more = torch.stack((futile, idle, refused, torch.ones_like(futile)), 1)
        kept = torch.stack((futile | refused, idle, refused, more[:, _ITERATIONS]), 1)
        self.counts = (self.counts + more) * kept
        # By the parabola through what is known, kept within a tenth and a half of the step before.
        shorter = 0.5 * promised / (promised - gain).clamp_min(1e-38)
        self.t = torch.where(accepted, 1.0, self.t * shorter.nan_to_num(0.1).clamp(0.1, 0.5))
        moved = accepted[:, None]
        self.z = torch.where(moved, self.trial, self.z)
        self.gradient = torch.where(moved, gradient, self.gradient)
        self.value = torch.where(accepted, value, self.value)
        self.squared_length = torch.where(accepted, squared_length, self.squared_length)
        self._measure()
        return accepted

    def _measure(self) -> None:
        """How far a step of gradient projection, at the scale of the penalty, would still go."""
        _, scale = self._phi(self.squared_length, self.c)
        scale = torch.where(scale > 0, scale, 1.0)
        projected = torch.addcdiv(self.z, self.gradient, scale[:, None], value=-1)
        self.residual = self.box.clamp(projected).sub_(self.z).norm(dim=1)

    def aim(self) -> None:
        """Choose the next `trial` of every problem from its point, gradient and pairs."""
        near = torch.clamp(0.5 * self.residual, max=1e-3 * self.box.width)[:, None]
        downhill = self.gradient > 0
        room = torch.where(downhill, self.z - self.box.lower, self.box.upper - self.z)
        held = (room <= near) & (self.gradient != 0)
        rejections = self.counts[:, _REJECTIONS]
        lost = rejections == self.config.max_rejections // 2
        self.curvature.forget(slice(None), lost)
        self.t = torch.where(lost, 1.0, self.t)
        direction = self.curvature.step(self.gradient, ~held, self.theta)
        again = (rejections > 0) > lost
        if self.z.device.type != "cpu" or again.any():
            direction = torch.where(again[:, None], self.direction, direction)
        self.direction = direction
        aimed = torch.addcmul(self.z, self.t[:, None], self.direction)
        self.trial = self.box.clamp(aimed)

    def finished(self) -> Bool[Tensor, " b"]:
        """Which problems have converged, can no longer move, or have used up their evaluations."""
        length = self.squared_length.sqrt()
        near = (self.tolerance * length).clamp_min(self.config.pixel_tolerance)
        return (self.residual <= near) | (self.counts >= self._most).any(1)

    def change_c(
        self,
        rows: Rows,
        c: Float[Tensor, " rows"],
        on: Bool[Tensor, " rows"] | None = None,
    ) -> None:
        """Give `rows`, or those of them that are `on`, a new c without a pass through the network.

        They go on from where they are.
        """
        on = torch.ones_like(c, dtype=torch.bool) if on is None else on
        before = self.c[rows]
        c = torch.where(on, c, before)
        squared_length = self.squared_length[rows]
        (phi, old), (_, new) = (self._phi(squared_length, weight) for weight in (before, c))
        change = new - old
        put(self, "value", rows, self.value[rows] + (c - before) * phi)
        away = self.z[rows] - self.anchor[rows]
        gradient = torch.addcmul(self.gradient[rows], change[:, None], away)
        put(self, "gradient", rows, gradient)
        if self.penalty == "squared":
            self.curvature.shift(rows, change)
            theta = self.theta[rows]
            self.theta[rows] = torch.where(on, torch.maximum(theta + change, new), theta)
        else:
            self.curvature.forget(rows, on)
        put(self, "c", rows, c)
        self.renew(rows, on)

    def loss_and_gradient(self, rows: Rows) -> tuple[Tensor, Tensor]:
        """ℓ and ∇ℓ, free of the penalty, at the accepted points of `rows`."""
        c = self.c[rows]
        phi, pull = self._phi(self.squared_length[rows], c)
        away = self.z[rows] - self.anchor[rows]
        gradient = torch.addcmul(self.gradient[rows], pull[:, None], away, value=-1)
        return self.value[rows] - c * phi, gradient

    def restore(
        self,
        rows: Rows,
        on: Bool[Tensor, " rows"],
        z: Tensor,
        squared_length: Tensor,
        loss: Tensor,
        gradient: Tensor,
    ) -> None:
        """Put those of `rows` that are `on` at points whose ‖z − a‖², ℓ and ∇ℓ are known.

        They keep c and the pairs.
        """
        c = self.c[rows]
        phi, pull = self._phi(squared_length, c)
        gradient = torch.addcmul(gradient, pull[:, None], z - self.anchor[rows])
        for name, new in (
            ("z", z), ("gradient", gradient), ("value", loss + c * phi),
            ("squared_length", squared_length),
        ):  # fmt: skip
            here = on[:, None] if new.ndim > 1 else on
            put(self, name, rows, torch.where(here, new, getattr(self, name)[rows]))

    def _phi(self, squared_length: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty φ(ρ²) = ρ² or ρ (smoothed at 0), and what c·φ pulls with, 2c·φ′(ρ²)."""
        if self.penalty == "squared":
            return squared_length, 2 * c
        length = (squared_length + _NORM_SMOOTHING**2).sqrt()
        return length, c / length


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


def _dot(a: Float[Tensor, "b n"], b: Float[Tensor, "b n"]) -> Float[Tensor, " b"]:
    """Inner product of each pair of rows."""
    product: Tensor = torch.linalg.vecdot(a, b)
    return product
