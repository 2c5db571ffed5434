"""What the study measured, as rows: of every seed, and over all seeds where there are several."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Unpack

from jaxtyping import Float
from torch import Tensor

from intriguing.estimates import About, Interval, Rows
from intriguing.measures import mean_interval, median, median_interval, wilson_interval
from intriguing.paper.hardening.config import Trial
from intriguing.paper.hardening.regimes import PLAIN, Regime
from intriguing.results.measured import Condition, Measurement, Metric, Unit, where


@dataclass(frozen=True)
class Erring:
    """A trained network with its errors on the images that judge it."""

    trial: Trial
    wrong: int
    total: int

    @property
    def error(self) -> float:
        """In percent."""
        return 100 * self.wrong / self.total


@dataclass(frozen=True)
class Measured(Erring):
    """The same with what was measured of it besides.

    Attributes:
        distortion: Of the nearest example found; infinite where none was, 0 where misclassified.
        radius: Certified, of all test images.
        masking: What was tried without gradients; nothing of points of the curve.
    """

    distortion: Float[Tensor, " image"]
    radius: Float[Tensor, " image"]
    masking: tuple[Measurement, ...] = ()


def measurements(judged: Sequence[Measured], times: Mapping[str, float]) -> list[Measurement]:
    """Everything that the study measured.

    Args:
        judged: Every network.
        times: By the slug of a regime, its training's time over plain training's.
    """
    of_regime = _by_regime(judged)
    baseline = next((members for regime, members in of_regime.items() if regime.slug == PLAIN), [])
    compared = {f: m for f, m in of_regime.items() if not f.curve}
    rows = []
    for regime, members in compared.items():
        made = Rows("hardening", method=regime.name, images="test")
        _of_regime(made, members, baseline)
        if regime.slug in times:
            made.add(Metric.TIME_RATIO, "ratio", times[regime.slug], 1, 1)
        rows += made.made
    penalised = {f: m for f, m in of_regime.items() if f.penalty and not f.places}
    curve = {f: m for f, m in of_regime.items() if f.slug == PLAIN} | dict(
        sorted(penalised.items(), key=lambda pair: pair[0].penalty)
    )
    for regime, members in curve.items():
        made = Rows("penalty", setting=f"{regime.penalty:g}", images="test")
        _of_regime(made, members, baseline)
        rows += made.made
    for regime, members in compared.items():
        rows += _masking(regime, members)
    return rows


def searched(networks: Sequence[Erring]) -> list[Measurement]:
    """Validation errors of all settings, each regime's best first."""
    regimes = list(dict.fromkeys(one.trial.of for one in networks))
    ordered = sorted(networks, key=lambda one: (regimes.index(one.trial.of), one.error))
    settings: dict[tuple[str, Regime], list[Erring]] = {}
    for one in ordered:
        settings.setdefault((one.trial.of, one.trial.regime), []).append(one)
    rows = []
    for (_, tried), members in settings.items():
        made = Rows("settings", method=tried.name, setting=tried.in_words, images="validation")
        _errors(made, members)
        rows += made.made
    return rows


def _by_regime(judged: Sequence[Measured]) -> dict[Regime, list[Measured]]:
    found: dict[Regime, list[Measured]] = {}
    for one in judged:
        found.setdefault(one.trial.regime, []).append(one)
    return found


def _of_regime(rows: Rows, members: Sequence[Measured], baseline: Sequence[Measured]) -> None:
    _errors(rows, members)
    for metric, ratio, unit, values in _MEDIANS:
        seeds = [one.trial.seed for one in members]
        measured = [values(one) for one in members]
        _medians(rows, metric, unit, dict(zip(seeds, measured, strict=True)))
        ratios = {
            seed: median(ours) / median(values(plain))
            for seed, ours, plain in zip(seeds, measured, baseline, strict=False)
            if median(values(plain)) > 0
        }
        if ratios and math.isfinite(sum(ratios.values())):
            plain_name = baseline[0].trial.regime.name
            _mean(rows, ratio, "ratio", ratios, reference=plain_name)


_MEDIANS: tuple[tuple[Metric, Metric, Unit, Callable[[Measured], Tensor]], ...] = (
    (Metric.MEDIAN_DISTORTION, Metric.DISTORTION_RATIO, "distortion", lambda one: one.distortion),
    (Metric.MEDIAN_CERTIFIED, Metric.RADIUS_RATIO, "l2", lambda one: one.radius),
)


def _errors(rows: Rows, networks: Sequence[Erring]) -> None:
    """The mean error over the seeds with Student's interval; of one seed Wilson's."""
    if len(networks) > 1:
        _mean(rows, Metric.ERROR, "%", {one.trial.seed: one.error for one in networks})
        return
    (one,) = networks
    low, high = wilson_interval(one.wrong, one.total)
    rows.add(Metric.ERROR, "%", one.error, one.wrong, one.total, (100 * low, 100 * high),
             seed=one.trial.seed)  # fmt: skip


def _medians(rows: Rows, metric: Metric, unit: Unit, values: Mapping[int, Tensor]) -> None:
    """The mean over the seeds of the median over the images; of one seed its own interval."""
    medians = {seed: median(column) for seed, column in values.items()}
    if len(medians) > 1:
        _mean(rows, metric, unit, medians)
        return
    ((seed, only),) = values.items()
    rows.add(metric, unit, medians[seed], int(only.isfinite().sum()), len(only),
             median_interval(only), seed=seed)  # fmt: skip


def _mean(
    rows: Rows, metric: Metric, unit: Unit, values: Mapping[int, float], **about: Unpack[About]
) -> None:
    """The mean over the seeds, and the value of each."""
    several, many = list(values.values()), len(values)
    span = _interval(several, 100.0 if unit == "%" else math.inf)
    rows.add(metric, unit, sum(several) / many, many, many, span, **about)
    for seed, value in values.items() if many > 1 else ():
        one: About = {**about, "seed": seed}
        rows.add(metric, unit, value, **one)


def _interval(values: Sequence[float], most: float) -> Interval:
    """Student's, of things from 0 to `most`; none of values that are all the same."""
    if len(set(values)) < 2:
        return None, None
    low, high = mean_interval(values)
    return max(low, 0.0), min(high, most)


def _masking(regime: Regime, members: Sequence[Measured]) -> list[Measurement]:
    """Shares in percent, as means over the seeds, and how many flaws `preflight` found."""
    tried = [row for one in members for row in one.masking]
    rows = Rows("masking", method=regime.name, images="test")
    for metric, condition in _MASKING if tried else ():
        some = where(tried, metric=metric, condition=condition)
        if some:
            _mean(rows, metric, "%", {int(row.seed or 0): row.value for row in some},
                  condition=condition)  # fmt: skip
    flaws = where(tried, metric=Metric.FLAWS)
    count = sum(row.count for row in flaws)
    rows.add(Metric.FLAWS, "images", count, count, len(flaws))
    return rows.made


_MASKING = (
    (Metric.FOOLED, Condition.ADVERSARIAL), (Metric.SHORTER, Condition.ADVERSARIAL),
    (Metric.FOOLED, Condition.NOISE),
)  # fmt: skip
