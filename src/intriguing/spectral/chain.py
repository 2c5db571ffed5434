"""The Lipschitz bound of a feed-forward chain, of semidefinite quality and without its solver.

A chain is a list of stages (`stages.py`), first to last. How it is bounded is described in
`ellipsoid.py` (the rules), `multipliers.py` (the best of them), `cyclic.py` (convolutions) and
`proof.py` (rounding).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback
from intriguing.spectral.bound import outward
from intriguing.spectral.convolution import convolution_norm
from intriguing.spectral.ellipsoid import Axes
from intriguing.spectral.matrix import matrix_norm
from intriguing.spectral.multipliers import leading, minimise, numbers, product_start, work
from intriguing.spectral.program import program
from intriguing.spectral.proof import Enclosure, proved_along, proved_largest, replay
from intriguing.spectral.stages import Convolution, Dense, Flatten, Pool, Slope, Stage, shapes

__all__ = [
    "ChainBound",
    "Convolution",
    "Dense",
    "Flatten",
    "Pool",
    "SemidefiniteConfig",
    "Slope",
    "Stage",
    "chain_bound",
    "chain_product",
]


@dataclass(frozen=True)
class SemidefiniteConfig:
    """How much work the multipliers are worth.

    Attributes:
        barriers: The falling weights μ of the barrier; the relative gap to the optimum that is left
            is of the size of the last one.
        iterations: At most so many L-BFGS iterations for each μ.
        dense_units: Convolutions with at most so many outputs are treated as matrices, with one
            multiplier a unit instead of one a channel: tighter, and cubic in the number of units.
        operations: Floating-point operations to spend at most, roughly: 1e12 take 2 to 5 minutes
            on one core. Large chains get fewer iterations; what the whole map leaves refines pairs,
            and if it is not enough for all, those with the largest bounds. A chain for which not
            even a few iterations are affordable gets its product.
        numbers: Numbers that the matrices of a batch may hold at most (memory is some ten times
            theirs): pairs are refined in parts, and a chain that holds more gets its product.
    """

    barriers: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    iterations: int = 40
    dense_units: int = 512
    operations: float = 1e12
    numbers: int = 2**24

    def __post_init__(self) -> None:
        falling = all(b < a for a, b in zip(self.barriers, self.barriers[1:], strict=False))
        if not self.barriers or not falling or min(self.barriers) <= 0.0:
            raise InputError(f"barriers {self.barriers}; give falling positive numbers")
        if self.iterations < 1 or self.numbers < 1:
            raise InputError("iterations and numbers must be at least 1")
        if self.dense_units < 0 or self.operations < 0:
            raise InputError("dense_units and operations must be at least 0")


@dataclass(frozen=True)
class ChainBound:
    """Upper bounds on the L2 Lipschitz constant of a chain.

    Attributes:
        upper: For the whole map.
        pairs: For each direction of the output that was asked for.
        product: The product of the stages' norms, for the whole map: never less than `upper`.
        refined: How many of the pairs got multipliers of their own; the others use the whole map's.
    """

    upper: float
    pairs: Float[Tensor, " pairs"] | None
    product: float
    refined: int


DEFAULT = SemidefiniteConfig()
FEWEST = 10
"""Iterations for each μ below which the multipliers are not worth starting."""
LARGEST_IMAGE = 1024
"""Units of an output image up to which it is flattened, so that its directions can be refined."""
EVALUATIONS = 1.3
"""Evaluations of the objective an iteration, roughly."""


def chain_bound(
    stages: Sequence[Stage],
    differences: Float[Tensor, "pairs out"] | None = None,
    *,
    config: SemidefiniteConfig = DEFAULT,
    progress: ProgressCallback | None = None,
) -> ChainBound:
    """Bound the Lipschitz constant of a chain, and of directions of its output.

    The bound is LipSDP's with one multiplier a neuron (Fazlyab et al. 2019), or one a channel where
    there are convolutions; found by L-BFGS, not by a semidefinite solver, and then proved in
    float64 with all rounding outwards. It is never more than the product of the stages' norms.

    Args:
        stages: First to last, at least one.
        differences: Rows d: the scalar map d · chain(x) is bounded for each, for example
            e_c − e_j for the logits' differences.
        config: How much work the multipliers are worth.
        progress: Called while multipliers are improved.

    Raises:
        InputError: A stage is invalid or does not fit, or the differences do not fit the output.

    >>> identity, relu = torch.eye(2, dtype=torch.float64), Slope(0.0, 1.0)
    >>> shear = torch.tensor([[1.0, 1.0], [0.0, 1.0]], dtype=torch.float64)
    >>> bound = chain_bound([Dense(shear), relu, Dense(shear.inverse())])
    >>> f"{bound.upper:.3f} {bound.product:.3f}"
    '1.416 2.618'

    The truth is √2, where only the first unit is active.
    """
    stages = _closed(list(stages))
    out = shapes(stages)[-1]
    directions = None if differences is None else _directions(differences, out)
    norms = [_norm(stage) for stage in stages]
    product = _product(norms)
    simple = None if directions is None else _simple_pairs(stages, norms, directions)
    if product == 0.0:
        return ChainBound(0.0, None if simple is None else torch.zeros_like(simple), 0.0, 0)
    search = _Search(stages, config, progress)
    upper, multipliers = search.whole()
    upper = min(upper, product)
    if directions is None or simple is None:
        return ChainBound(upper, None, product, 0)
    lengths = torch.linalg.vector_norm(directions, dim=1)
    simple = torch.minimum(simple, lengths * outward(upper))
    if multipliers is None or out is None or len(out) > 1:
        return ChainBound(upper, simple, product, 0)
    pairs, refined = search.pairs(directions, multipliers)
    return ChainBound(upper, torch.minimum(pairs, simple), product, refined)


def chain_product(stages: Sequence[Stage]) -> float:
    """The product of the stages' norms: what `chain_bound` improves on."""
    shapes(stages)
    return _product([_norm(stage) for stage in stages])


class _Search:
    """One chain's multipliers: for the whole map, and from there for single directions."""

    def __init__(
        self,
        stages: Sequence[Stage],
        config: SemidefiniteConfig,
        progress: ProgressCallback | None,
    ) -> None:
        self.config, self.progress = config, progress
        self.left = config.operations
        # What it takes is known from shapes alone, before anything large is made.
        outline = program(_outline(stages), config.dense_units)
        steps, state = leading(outline.steps, Axes(outline.start[None]))
        self.cost = work(steps, state)
        self.held = sum(numbers(step) for step in outline.steps)
        self.affordable = self.held <= config.numbers and (
            not outline.parameters or self._iterations(len(config.barriers)) >= FEWEST
        )
        if self.affordable:
            self.chain = program(stages, config.dense_units)
            self.steps, self.state = leading(self.chain.steps, Axes(self.chain.start[None]))

    def whole(self) -> tuple[float, Float[Tensor, "1 parameters"] | None]:
        """The bound of the whole map, and its multipliers if they were affordable and proved."""
        if not self.affordable:
            return math.inf, None
        if not self.chain.parameters:
            return float(proved_largest(self._replay(self.chain.start.new_zeros(1, 0)))), None
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


def _closed(stages: list[Stage]) -> list[Stage]:
    """The chain with an identity matrix after an image, so that its output is one axis."""
    out = shapes(stages)[-1]
    last = next((stage for stage in reversed(stages) if not isinstance(stage, Slope)), None)
    if out is None or last is None or isinstance(last, Dense) or math.prod(out) > LARGEST_IMAGE:
        return stages
    identity = torch.eye(math.prod(out), dtype=torch.float64, device=_device(stages))
    return [*stages, Flatten(), Dense(identity)]


def _outline(stages: Sequence[Stage]) -> list[Stage]:
    """The same stages with shapes for weights."""
    return [
        replace(stage, weight=stage.weight.to("meta"))
        if isinstance(stage, Dense | Convolution)
        else stage
        for stage in stages
    ]


def _directions(differences: Tensor, out: tuple[int, ...] | None) -> Float[Tensor, "pairs out"]:
    if out is None or differences.ndim != 2 or differences.shape[1] != math.prod(out):
        size = "unknown" if out is None else math.prod(out)
        raise InputError(
            f"differences of shape {tuple(differences.shape)} do not fit an output of size {size}; "
            "give (pairs, outputs)"
        )
    return differences.detach().double()


def _norm(stage: Stage) -> float:
    """The stage's norm, from above."""
    if isinstance(stage, Dense):
        return matrix_norm(stage.weight)
    if isinstance(stage, Convolution):
        # Zeros around the image are pixels of a larger one, whatever side they are on.
        size = [n + sum(pad) for n, pad in zip(stage.input_size, stage.padding, strict=True)]
        return convolution_norm(
            stage.weight,
            stride=stage.stride,
            dilation=stage.dilation,
            groups=stage.groups,
            input_size=size,
        )
    if isinstance(stage, Slope):
        return max(abs(stage.low), abs(stage.high))
    return stage.factor if isinstance(stage, Pool) else 1.0


def _product(norms: Sequence[float]) -> float:
    return outward(math.prod(norms))


def _simple_pairs(
    stages: Sequence[Stage], norms: Sequence[float], directions: Float[Tensor, "pairs out"]
) -> Float[Tensor, " pairs"]:
    """Each direction's product: the last matrix's own row, and the others' norms."""
    last = stages[-1]
    rows, rest = directions, norms
    rounding = torch.zeros_like(directions[:, 0])
    if isinstance(last, Dense):
        weight, rest = last.weight.detach().double(), norms[:-1]
        rows = directions @ weight
        size = torch.linalg.vector_norm(directions.abs() @ weight.abs(), dim=1)
        rounding = len(weight) * torch.finfo(torch.float64).eps * size
    lengths: Tensor = torch.linalg.vector_norm(rows, dim=1) + rounding
    return lengths * outward(_product(rest))


def _device(stages: Sequence[Stage]) -> torch.device:
    weights = (stage.weight for stage in stages if isinstance(stage, Dense | Convolution))
    return next((weight.device for weight in weights), torch.device("cpu"))
