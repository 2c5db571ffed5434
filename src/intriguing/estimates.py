"""Shares, means and medians of images as rows of results, each with its 95 % interval."""

from typing import TypeAlias, TypedDict, Unpack

from torch import Tensor

from intriguing.measures import mean_interval, median, median_interval, wilson_interval
from intriguing.results.measured import Condition, Measurement, Metric, Unit

Interval: TypeAlias = tuple[float | None, float | None]


class About(TypedDict, total=False):
    """What a row is about, as in `Measurement`."""

    network: str
    made_for: str
    condition: Condition
    size: float | None
    images: str
    method: str
    layer: str
    setting: str
    reference: str
    seed: int | None


class Rows:
    """Rows of one analysis about one thing, in the order in which they are added."""

    def __init__(self, analysis: str, **about: Unpack[About]) -> None:
        """`about` is what every row is about; a row may say more."""
        self.analysis, self.about = analysis, about
        self.made: list[Measurement] = []

    def add(
        self, metric: Metric, unit: Unit, value: float, count: int = 0, total: int = 0,
        interval: Interval = (None, None), **about: Unpack[About],
    ) -> None:  # fmt: skip
        """A row of a value that is none of those below."""
        low, high = interval
        whole: About = {**self.about, **about}
        self.made.append(
            Measurement(self.analysis, metric, unit, value, low, high, count, total, **whole)
        )

    def share(self, metric: Metric, count: int, total: int, **about: Unpack[About]) -> None:
        """A share in percent with Wilson's interval."""
        low, high = wilson_interval(count, total)
        span = 100 * low, 100 * high
        self.add(metric, "%", 100 * count / total, count, total, span, **about)

    def mean(
        self, metric: Metric, unit: Unit, values: Tensor, total: int, **about: Unpack[About]
    ) -> None:
        """A mean with Student's interval; nothing where there are no values."""
        if len(values):
            exact = values.double()
            mean, span = float(exact.mean()), spread(mean_interval(exact))
            self.add(metric, unit, mean, len(values), total, span, **about)

    def median(
        self, metric: Metric, unit: Unit, values: Tensor, total: int, **about: Unpack[About]
    ) -> None:
        """A median with the interval of order statistics; nothing where it is infinite."""
        if len(values) and (middle := median(values)) < float("inf"):
            span = spread(median_interval(values))
            self.add(metric, unit, middle, len(values), total, span, **about)


def spread(interval: Interval) -> Interval:
    """An interval, unless it is of one point: equal values have no spread to estimate."""
    low, high = interval
    return (None, None) if low == high else interval
