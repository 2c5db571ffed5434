"""From a quantity of every seed to a verdict: an interval, and where it lies.

A reading of a claim says in which region a quantity has to be, fixed before anything is measured:
above a margin, or within ± a margin where the claim is that two things are equal. It *holds* where
the whole interval lies in the region, it *does not hold* where the interval lies outside of it, and
otherwise it is *open*. With 95 % intervals a quantity that lies exactly at the edge gets a verdict
in 5 % of studies, and one on the wrong side gets a wrong one in 2.5 % at most.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from scipy import stats

from intriguing.measures import mean_interval
from intriguing.results.verdicts import Verdict

FEWEST = 2
"""Seeds from which an interval can be had at all."""


@dataclass(frozen=True)
class Region:
    """Where a quantity has to be; open ends are infinite."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds with its 95 % interval; infinite ends where one seed says nothing.

    count, total: Of a share, over all seeds.
    """

    value: float
    low: float
    high: float
    seeds: int
    count: int = 0
    total: int = 0


def of_means(values: Sequence[float]) -> Estimate:
    """Student's interval of a quantity, one value a seed; of pairs, their differences.

    Values that are all the same say nothing of their spread, and neither does one alone.

    >>> found = of_means([1.0, 2.0, 3.0])
    >>> f"{found.value} [{found.low:.6f}, {found.high:.6f}] over {found.seeds} seeds"
    '2.0 [-0.484138, 4.484138] over 3 seeds'
    """
    mean = sum(values) / len(values)
    if len(set(values)) < FEWEST or not all(map(math.isfinite, values)):
        return Estimate(mean, -math.inf, math.inf, len(values))
    return Estimate(mean, *mean_interval(values), len(values))


def of_ratios(values: Sequence[float]) -> Estimate:
    """The geometric mean of positive ratios, its interval Student's of their logarithms."""
    if not all(0 < value < math.inf for value in values):
        return Estimate(math.nan, -math.inf, math.inf, len(values))
    found = of_means([math.log(value) for value in values])
    return Estimate(math.exp(found.value), _exp(found.low), _exp(found.high), found.seeds)


def of_shares(counts: Sequence[int], totals: Sequence[int]) -> Estimate:
    """A share in percent that varies over the seeds, and is counted on finitely many images.

    The interval covers Student's over the seeds and Clopper and Pearson's of all that was counted:
    near 0 and 100 % every seed may give the same share, which is no certainty.

    >>> found = of_shares([0, 0], [50, 50])
    >>> f"{found.value} [{found.low}, {found.high:.6f}] of {found.total}"
    '0.0 [0.0, 3.621669] of 100'
    """
    if not all(totals):
        return Estimate(math.nan, -math.inf, math.inf, len(totals))
    count, total = sum(counts), sum(totals)
    ends = list(_exact(count, total))
    shares = [100 * one / of for one, of in zip(counts, totals, strict=True)]
    if len(shares) < FEWEST:
        ends += [-math.inf, math.inf]
    elif len(set(shares)) > 1:
        ends += mean_interval(shares)
    return Estimate(
        100 * count / total, max(min(ends), 0.0), min(max(ends), 100.0), len(shares), count, total
    )


def decide(estimate: Estimate, right: Region) -> Verdict:
    """Whether the interval lies in the region, outside of it, or across its edge.

    >>> [decide(Estimate(v, v - 1, v + 1, 5), Region(low=0.0)).value for v in (2, -2, 0.5)]
    ['holds', 'does not hold', 'open']
    """
    if math.isnan(estimate.value) or estimate.seeds < FEWEST:
        return Verdict.OPEN
    if right.low < estimate.low and estimate.high < right.high:
        return Verdict.HOLDS
    if estimate.high < right.low or estimate.low > right.high:
        return Verdict.DOES_NOT_HOLD
    return Verdict.OPEN


@cache
def _exact(count: int, total: int) -> tuple[float, float]:
    """Clopper and Pearson's interval of a share, in percent."""
    ends = stats.binomtest(count, total).proportion_ci(method="exact")
    return 100 * float(ends.low), 100 * float(ends.high)


def _exp(logarithm: float) -> float:
    return math.exp(logarithm) if logarithm < math.inf else math.inf
