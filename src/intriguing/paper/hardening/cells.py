"""What the study measured, as the tables of its report."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from jaxtyping import Float
from torch import Tensor

from intriguing.measures import mean_interval, median, median_interval, wilson_interval
from intriguing.paper.hardening import claims
from intriguing.paper.hardening.families import PLAIN, Family
from intriguing.paper.hardening.network import Masking, Trained
from intriguing.results.schema import Cell, Unit

ERRORS, CURVE, MASKING, SEARCH = "hardening", "penalty", "masking", "settings"
Interval = tuple[float | None, float | None]


@dataclass(frozen=True)
class Judged:
    """A trained network with what was measured of it on test images.

    Attributes:
        distortion: Of the nearest example found; infinite where none was, 0 where misclassified.
        radius: Certified, of all test images.
        masking: What was tried without gradients; None of points of the curve.
    """

    trained: Trained
    distortion: Float[Tensor, " image"]
    radius: Float[Tensor, " image"]
    masking: Masking | None


def to_cells(judged: Sequence[Judged], times: Mapping[str, float]) -> list[Cell]:
    """All tables of the study."""
    of_family: dict[Family, list[Judged]] = {}
    for one in judged:
        of_family.setdefault(one.trained.trial.family, []).append(one)
    baseline = next((members for family, members in of_family.items() if family.slug == PLAIN), [])
    compared = {f: m for f, m in of_family.items() if not f.curve}
    cells = _rows(ERRORS, compared, baseline, times)
    penalised = {f: m for f, m in of_family.items() if f.penalty and not f.places}
    curve = {f: m for f, m in of_family.items() if f.slug == PLAIN} | dict(
        sorted(penalised.items(), key=lambda pair: pair[0].penalty)
    )
    names = {f: f"{f.penalty:g}" for f in curve}
    cells += _rows(CURVE, curve, baseline, {}, names)
    for order, (family, members) in enumerate(compared.items()):
        cells += _masking(family, members, order)
    errors = {f.slug: [one.trained.error for one in m] for f, m in compared.items()}
    return cells + claims.to_cells(errors)


def search_cells(networks: Sequence[Trained]) -> list[Cell]:
    """Validation errors of all settings, each family's best first."""
    families = list(dict.fromkeys(one.trial.of for one in networks))
    ordered = sorted(networks, key=lambda one: (families.index(one.trial.of), one.error))
    cells: list[Cell] = []
    settings: dict[tuple[str, Family], list[Trained]] = {}
    for one in ordered:
        settings.setdefault((one.trial.of, one.trial.family), []).append(one)
    for order, ((of, tried), members) in enumerate(settings.items()):
        row = f"{tried.name}: {tried.in_words}"
        cell = _error(SEARCH, row, "Validation error", order, members, None)
        cells.append(replace(cell, network=of))
    return cells


def _rows(
    table: str,
    families: Mapping[Family, Sequence[Judged]],
    baseline: Sequence[Judged],
    times: Mapping[str, float],
    names: Mapping[Family, str] | None = None,
) -> list[Cell]:
    cells = []
    for order, (family, members) in enumerate(families.items()):
        row = names[family] if names else family.name
        trained = [one.trained for one in members]
        paper = family.paper if table == ERRORS else None
        cells.append(_error(table, row, "Test error", order, trained, paper))
        for place, (column, values, unit) in enumerate(_COLUMNS, 1):
            measured = [values(one) for one in members]
            cells.append(_medians(table, row, column, order, 2 * place - 1, unit, measured))
            ratios = [
                median(ours) / median(values(plain))
                for ours, plain in zip(measured, baseline, strict=False)
                if median(values(plain)) > 0
            ]
            if ratios and math.isfinite(sum(ratios)):
                cells.append(
                    _mean(table, row, _RATIOS[place - 1], order, 2 * place, "ratio", ratios)
                )
        if family.slug in times:
            value = times[family.slug]
            cells.append(
                Cell(table, row, "Time over plain", order, 9, "ratio", value, None, None, 1, 1)
            )
    return cells


_COLUMNS: tuple[tuple[str, Callable[[Judged], Tensor], Unit], ...] = (
    ("Median distortion", lambda one: one.distortion, "distortion"),
    ("Certified radius", lambda one: one.radius, "l2"),
)


_RATIOS = ("Distortion over plain", "Radius over plain")


def _error(
    table: str, row: str, column: str, order: int, networks: Sequence[Trained], paper: float | None
) -> Cell:
    """The mean error over the seeds with Student's interval; of one seed Wilson's."""
    errors = [one.error for one in networks]
    if len(errors) > 1:
        return _mean(table, row, column, order, 0, "%", errors, paper=paper)
    (one,) = networks
    low, high = (100 * end for end in wilson_interval(one.wrong, one.total))
    return Cell(
        table, row, column, order, 0, "%", one.error, low, high, one.wrong, one.total, paper
    )


def _medians(
    table: str, row: str, column: str, order: int, place: int, unit: Unit, values: Sequence[Tensor]
) -> Cell:
    """The mean over the seeds of the median over the images; of one seed its own interval."""
    medians = [median(column) for column in values]
    if len(medians) > 1:
        return _mean(table, row, column, order, place, unit, medians)
    low, high = median_interval(values[0])
    count = int(values[0].isfinite().sum())
    return Cell(
        table, row, column, order, place, unit, medians[0], low, high, count, len(values[0])
    )


def _mean(
    table: str, row: str, column: str, order: int, place: int, unit: Unit, values: Sequence[float],
    paper: float | None = None,
) -> Cell:  # fmt: skip
    low, high = _interval(values, 100.0 if unit == "%" else math.inf)
    many = len(values)
    return Cell(
        table, row, column, order, place, unit, sum(values) / many, low, high, many, many, paper,
        many, min(values) if many > 1 else None, max(values) if many > 1 else None,
    )  # fmt: skip


def _interval(values: Sequence[float], most: float) -> Interval:
    """Student's, of things from 0 to `most`; none of values that are all the same."""
    if len(set(values)) < 2:
        return None, None
    low, high = mean_interval(values)
    return max(low, 0.0), min(high, most)


def _masking(family: Family, members: Sequence[Judged], order: int) -> list[Cell]:
    """Shares in percent, as means over the seeds, and how many flaws `preflight` found."""
    tried = [one.masking for one in members if one.masking is not None]
    columns = {
        "Attack finds": [100 * one.found for one in tried],
        "Transfer shorter": [100 * one.transferred for one in tried],
        "Fooled by noise": [100 * one.noise for one in tried],
    }
    shares = [
        _mean(MASKING, family.name, column, order, place, "%", values)
        for place, (column, values) in enumerate(columns.items())
        if values
    ]
    flaws = sum(len(one.findings) for one in tried)
    many = len(tried)
    return [
        *shares,
        Cell(MASKING, family.name, "Flaws found", order, 3, "images", flaws, None, None, flaws,
             many),
    ]  # fmt: skip
