"""How much work a chain's multipliers are given: first those of the whole map, then of pairs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.spectral.norms.convolution_layer import Convolution
from intriguing.spectral.semidefinite.ellipsoid import Axes
from intriguing.spectral.semidefinite.layers import Dense, Layer
from intriguing.spectral.semidefinite.multipliers import (
    leading,
    minimise,
    numbers,
    product_start,
    work,
)
from intriguing.spectral.semidefinite.outward_rounding import (
    Enclosure,
    proved_along,
    proved_largest,
    replay,
)
from intriguing.spectral.semidefinite.steps import program

FEWEST = 10
"""Iterations for each μ below which the multipliers are not worth starting."""
EVALUATIONS = 1.3
"""Evaluations of the objective an iteration, roughly."""


@dataclass(frozen=True)
class SemidefiniteConfig:
    """How much work the multipliers are worth.

    Attributes:
        barriers: The falling weights μ of the barrier; the relative gap to the optimum that is left
            is of the size of the last one.
        iterations: At most so many L-BFGS iterations for each μ.
        dense_units: Convolutions with at most so many outputs are treated as matrices, with one
            multiplier a unit instead of one a channel: tighter, and cubic in the number of units.
        operations: Floating-point operations to spend at most, roughly: 3e11 take a minute or two
            on one core. Large chains get fewer iterations; what the whole map leaves refines pairs,
            and if it is not enough for all, those with the largest bounds. A chain for which not
            even a few iterations are affordable gets its product.
        numbers: Numbers that the matrices of a batch may hold at most (memory is some ten times
            theirs): pairs are refined in parts, and a chain that holds more gets its product.
    """

    barriers: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    iterations: int = 40
    dense_units: int = 256
    operations: float = 3e11
    numbers: int = 2**24

    def __post_init__(self) -> None:
        falling = all(b < a for a, b in zip(self.barriers, self.barriers[1:], strict=False))
        if not self.barriers or not falling or min(self.barriers) <= 0.0:
            raise InputError(f"barriers {self.barriers}; give falling positive numbers")
        if self.iterations < 1 or self.numbers < 1:
            raise InputError("iterations and numbers must be at least 1")
        if self.dense_units < 0 or self.operations < 0:
            raise InputError("dense_units and operations must be at least 0")


class Search:
    """One chain's multipliers: for the whole map, and from there for single directions."""

    def __init__(
        self,
        layers: Sequence[Layer],
        config: SemidefiniteConfig,
        progress: ProgressCallback | None,
    ) -> None:
        self.config, self.progress = config, progress
        self.left = config.operations
        # What it takes is known from shapes alone, before anything large is made.
        outline = program(_outline(layers), config.dense_units)
        steps, state = leading(outline.steps, Axes(outline.start[None]))
        self.cost = work(steps, state)
        self.held = sum(numbers(step) for step in outline.steps)
        self.affordable = self.held <= config.numbers and (
            not outline.parameters or self._iterations(len(config.barriers)) >= FEWEST
        )
        if self.affordable:
            self.chain = program(layers, config.dense_units)
            self.steps, self.state = leading(self.chain.steps, Axes(self.chain.start[None]))

    def whole(self) -> tuple[float, Float[Tensor, "1 parameters"] | None]:
        """The bound of the whole map, and its multipliers if they were affordable and proved."""
        if not self.affordable:
            return math.inf, None
        if not self.chain.parameters:
            none = self.chain.start.new_zeros(1, 0)
            return float(proved_largest(self._replay(none))), none
        iterations = self._iterations(len(self.config.barriers))
        tried = [product_start(self.steps, self.state)]
        better = minimise(
            self.steps,
            self.state,
            tried[0],
            None,
            barriers=self.config.barriers,
            iterations=iterations,
        )
        for multipliers, evaluations in better:
            tried.append(multipliers)
            self.left -= evaluations * self.cost
            self._report("semidefinite bound", len(tried) - 1, len(self.config.barriers))
        for multipliers in reversed(tried):
            upper = float(proved_largest(self._replay(multipliers)))
            if math.isfinite(upper):
                return upper, multipliers
        return math.inf, None

    def pairs(
        self, directions: Float[Tensor, "pairs out"], multipliers: Float[Tensor, "1 parameters"]
    ) -> tuple[Float[Tensor, " pairs"], int]:
        """Each direction's bound, and how many were refined with multipliers of their own."""
        bounds = proved_along(self._replay(multipliers), directions)
        if not self.chain.parameters:
            return bounds, len(bounds)
        barriers = self.config.barriers[1:] or self.config.barriers
        iterations = max(FEWEST, self._iterations(len(barriers) * len(directions)))
        each = EVALUATIONS * self.cost * len(barriers) * iterations
        together = max(1, self.config.numbers // max(1, self.held))
        order, done = bounds.argsort(descending=True), 0
        while done < len(order) and each <= self.left:
            rows = min(together, int(self.left / max(1.0, each)))
            part = order[done : done + rows]
            better = minimise(
                self.steps,
                self.state,
                multipliers.expand(len(part), -1),
                directions[part],
                barriers=barriers,
                iterations=iterations,
            )
            for own, evaluations in better:
                proved = proved_along(self._replay(own), directions[part])
                bounds[part] = torch.minimum(bounds[part], proved)
                self.left -= evaluations * self.cost
            done += len(part)
            self._report("semidefinite bound of pairs", done, len(order))
        return bounds, done

    def _replay(self, multipliers: Tensor) -> Enclosure:
        return replay(self.chain.steps, self.chain.start, multipliers)

    def _iterations(self, runs: int) -> int:
        """How many are affordable for each of so many runs."""
        most = self.left / max(1.0, EVALUATIONS * self.cost * runs)
        return min(self.config.iterations, int(most))

    def _report(self, stage: str, done: int, total: int) -> None:
        if self.progress is not None:
            self.progress(Progress(stage, done, total))


def _outline(layers: Sequence[Layer]) -> list[Layer]:
    """The same layers with shapes for weights."""
    return [
        replace(layer, weight=layer.weight.to("meta"))
        if isinstance(layer, Dense | Convolution)
        else layer
        for layer in layers
    ]
