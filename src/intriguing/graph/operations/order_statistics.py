"""Operations that sort, and other statistics of a row of values."""

import math

import torch
from torch import Tensor

from intriguing.graph.operation import Operation
from intriguing.graph.table import join, rule
from intriguing.spectral.norms.bound import Bound, outward, times


@rule("sort", "msort", "topk", "kthvalue", "median", "nanmedian", kind="pool")
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


@rule("std", kind="pool")
def standard_deviation(operation: Operation) -> Bound | None:
    """1/√(n − c): the distance from the mean, by which it is divided once."""
    freedom = _freedom(operation)
    return None if freedom is None else Bound(outward(1 / math.sqrt(freedom)), "1/√(n − 1)")


@join("var")
def variance(operation: Operation, bounds: tuple[float, ...]) -> Bound | None:
    """2·sup‖x − mean‖/(n − c)."""
    freedom = _freedom(operation)
    if freedom is None or len(bounds) != 1:
        return None
    if not operation.ranges:
        return Bound(math.inf, "square", note="a variance has no bound on an unbounded domain; "
                     "give one: domain=Box(0, 1)")  # fmt: skip
    spread = 2 * operation.ranges[0].length / freedom
    return Bound(outward(times(spread, bounds[0])), "2·sup‖x‖/(n − 1) on the domain")


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
