"""Statistics of a row of values: sums, means, lengths, and what sorting gives."""

import math

import torch
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.operations.arithmetic import repeated
from intriguing.graph.operations.choices import either, larger
from intriguing.graph.table import Affine, declare, rule
from intriguing.spectral.norms.bound import Bound, outward, times


@rule("sum", kind="scale", affine=Affine.FIRST, rising=True)
def total(operation: Operation) -> Bound:
    """√n for sums of n values, by Cauchy and Schwarz; attained by equal values."""
    count = operation.x.numel() / operation.output.numel()
    return Bound(outward(math.sqrt(count)), f"√n, n = {count:.0f}")


@rule("mean", kind="pool", affine=Affine.FIRST, rising=True, within=lambda _: True)
def mean(operation: Operation) -> Bound:
    """1/√n for means of n values."""
    count = operation.x.numel() / operation.output.numel()
    return Bound(outward(1 / math.sqrt(count)), f"1/√n, n = {count:.0f}")


@rule("cumsum", kind="linear", affine=Affine.FIRST, rising=True)
def running_sum(operation: Operation) -> Bound:
    """1/(2 sin(π/(4n + 2))), the norm of the triangle of n ones."""
    count = operation.x.shape[operation.given(1, "dim")]
    return Bound(outward(1 / (2 * math.sin(math.pi / (4 * count + 2)))), f"sums, n = {count}")


_GRADIENT = "gradient of length ≤ 1"


@rule("logsumexp", kind="pool", rising=True)
def summary(operation: Operation) -> Bound:
    """1: the gradient is a distribution, or one entry."""
    return repeated(operation, _GRADIENT)


rule("amax", "amin", kind="pool", rising=True, within=lambda _: True)(summary)
rule("max", "min", kind="pool", join=either, interval=larger)(summary)


def _euclidean(operation: Operation) -> bool:
    """Whether a norm is ‖x‖₂ or max|x|."""
    order = operation.given(1, "p", operation.given(1, "ord", 2))
    return order in (None, 2, 2.0, "fro", math.inf)


@rule("norm", "vector_norm", "linalg_vector_norm", kind="pool", when=_euclidean,
      values=lambda _: (0.0, math.inf))  # fmt: skip
def length(operation: Operation) -> Bound:
    """1: the gradient is a unit vector, or one entry."""
    return repeated(operation, _GRADIENT)


@rule("normalize", kind="normalization",
      when=lambda operation: operation.given(1, "p", 2.0) in (2, 2.0))  # fmt: skip
def unit_length(operation: Operation) -> Bound:
    """1/ε for x/max(‖x‖₂, ε): true, and of no use."""
    eps = float(operation.given(3, "eps", 1e-12))
    return Bound(outward(1 / eps), "1/ε", note="true but of little use: ε is tiny")


@rule("sort", "msort", "topk", "kthvalue", "median", "nanmedian", kind="pool", rising=True)
def ordered(operation: Operation) -> Bound:
    """1: sorted rows are nowhere farther apart than the rows; of the values, not the places."""
    return Bound(1.0, "order statistics")


@rule("quantile", "nanquantile", kind="pool")
def quantile(operation: Operation) -> Bound:
    """√(how many): each lies between two order statistics, at a fixed share of the way."""
    shares = operation.given(1, "q")
    count = shares.numel() if isinstance(shares, Tensor) else 1
    return Bound(outward(math.sqrt(count)) if count > 1 else 1.0, "order statistics")


@rule("cummax", "cummin", "logcumsumexp", kind="pool")
def running(operation: Operation) -> Bound:
    """√n: each of n results moves at most as far as all values together."""
    count = operation.x.shape[operation.given(1, "dim")]
    return Bound(outward(math.sqrt(count)), f"√n, n = {count}")


@rule("std", kind="pool", values=lambda _: (0.0, math.inf))
def standard_deviation(operation: Operation) -> Bound | None:
    """1/√(n − c): the distance from the mean, by which it is divided once."""
    freedom = _freedom(operation)
    return None if freedom is None else Bound(outward(1 / math.sqrt(freedom)), "1/√(n − 1)")


def _variance(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """2·sup‖x − mean‖/(n − c)."""
    freedom = _freedom(operation)
    if freedom is None or len(bounds) != 1:
        return None
    if not operation.ranges:
        return Bound(math.inf, "square", note="a variance has no bound on an unbounded domain; "
                     "give one: domain=Box(0, 1)")  # fmt: skip
    spread = 2 * operation.ranges[0].length / freedom
    return Bound(outward(times(spread, bounds[0])), "2·sup‖x‖/(n − 1) on the domain")


declare("var", join=_variance, values=lambda _: (0.0, math.inf))


def _freedom(operation: Operation) -> float | None:
    """n − c: of how many values each result is, less the correction."""
    given = [
        value for value in (*operation.args[1:], *operation.kwargs.values())
        if isinstance(value, bool)
    ]  # fmt: skip
    if given and not set(operation.kwargs) <= {"dim", "keepdim", "correction"}:
        return None
    if len(operation.args) > 2 or not isinstance(operation.output, Tensor):
        return None
    correction = operation.kwargs.get("correction", 1)
    if isinstance(operation.given(1, "dim"), bool):
        correction = int(operation.given(1, "dim"))
    count = operation.x.numel() / operation.output.numel()
    freedom = count - (1 if correction is None else float(correction))
    return freedom if freedom > 0 and not torch.is_complex(operation.x) else None
