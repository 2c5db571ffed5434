"""The sections of a study of hardening: errors, claims, distances, the penalty, masking."""

import math
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from intriguing.report import charts
from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.figure_style import INK, MARKERS, MUTED, SERIES, Drawing, axes, label, style
from intriguing.report.numbers import interval, number
from intriguing.report.section import MEASURED, Listing, Part, Section
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.report.views import Cell, Table
from intriguing.results.measured import Metric

HIDING = 1.0
"""Percent of the images by which an attack without gradients must do better to be told of."""


def outcome(contents: Contents) -> Findings:
    """The headline of the study."""
    table = contents.table("hardening")
    if table is None:
        return _searched(contents.table("settings"))
    best = min(table.where(metric=Metric.ERROR), key=lambda cell: cell.value)
    farthest = max(table.where(metric=Metric.MEDIAN_DISTORTION), key=lambda cell: cell.value)
    tiles = _tile(best, "the least test error, of"), _tile(farthest, "the longest median "
                                                           "distortion, of")  # fmt: skip
    masking = contents.table("masking")
    alarms = [
        f"{cell.method}: an example on the way to another network's was shorter than the attack's "
        f"own for {number(cell.value, '%')} of the images; its distortions are too long."
        for cell in (masking.where(metric=Metric.SHORTER) if masking else [])
        if cell.value > HIDING
    ]
    return Findings(tiles, (*_ahead(table), *_judged(contents)), tuple(alarms))


def _ahead(table: Table) -> list[str]:
    """Each training with its error, distance and radius beside plain training's."""
    said = []
    for cells in table.lines():
        error, farther = cells.get(Metric.ERROR), cells.get(Metric.DISTORTION_RATIO)
        safer = cells.get(Metric.RADIUS_RATIO)
        if error is not None and farther is not None and error.method != farther.reference:
            words = f"{error.method}: {number(error.value, '%')} test error"
            words += f", the nearest example {number(farther.value, 'ratio')} times as far"
            if safer is not None:
                words += f" and the certified radius {number(safer.value, 'ratio')} times as long"
            said.append(f"{words} as with {farther.reference.lower()} alone.")
    return said


def _judged(contents: Contents) -> list[str]:
    """How many of the paper's sentences hold."""
    cells = _claims(contents)
    if not cells:
        return []
    if not any(cell.low is not None for cell in cells):
        return ["One seed decides none of the paper's sentences; run it with --seeds 5."]
    verdicts = [_decided(cell) for cell in cells]
    counts = (verdicts.count(word) for word in ("holds", "does not hold", "open"))
    return ["Of {} sentences {} hold, {} do not, {} stay open.".format(len(cells), *counts)]


def verdict(cell: Cell) -> str:
    """What the interval of a difference says; a negative difference is the paper's side."""
    difference = number(cell.value, "% more").removesuffix(" %")
    if cell.low is None or cell.high is None:
        return f"{difference} points of test error with one seed, which decides nothing."
    span = f"{difference} points [{interval(cell.low, cell.high, '% more')}], {cell.total} seeds"
    return f"{_decided(cell)}: {span}."


def _decided(cell: Cell) -> Literal["holds", "does not hold", "open", "undecided"]:
    if cell.low is None or cell.high is None:
        return "undecided"
    if cell.high < 0:
        return "holds"
    return "does not hold" if cell.low > 0 else "open"


def _searched(table: Table | None) -> Findings:
    if table is None:
        return NOTHING
    best: dict[str, Cell] = {}
    for cell in table.cells.values():
        best[cell.method] = min(best.get(cell.method, cell), cell, key=lambda one: one.value)
    return Findings(
        (), tuple(f"Best by validation, {number(c.value, '%')}: {c.row}." for c in best.values())
    )


def _tile(cell: Cell, label: str) -> Tile:
    span = interval(cell.low, cell.high, cell.unit)
    return Tile(
        number(cell.value, cell.unit), f"{label} {cell.row}", f"95 %: {span}" if span else ""
    )


def _claims(contents: Contents) -> list[Cell]:
    table = contents.table("claims")
    return table.where() if table else []


def _errors(contents: Contents) -> Section:
    table = contents.table("hardening")
    if table is None:
        return Section("errors", "", "", ())
    drawing = Drawing(
        "trade-off",
        "What each training buys",
        "To the left fewer errors, upward farther from the nearest adversarial example. Lines are "
        "95 % intervals.",
        "Scatter of test error against median distortion, one point a training",
        (MEASURED,),
        lambda: trade_off(table),
    )
    return Section(
        "errors",
        "Error, distance, proof and cost",
        "One 100-100-10 network, trained in each way. Means over the seeds; medians are over "
        "images, misclassified ones counting as 0. The distortion is that of the nearest "
        "adversarial example found, of any wrong class; within the certified radius, in L2, there "
        "is none.",
        (table, drawing),
    )


def trade_off(table: Table) -> Figure:
    """Test error across, median distortion up, one point a row with its intervals."""
    with style():
        figure, axis = axes(7.6, 4.2)
        for index, cells in enumerate(table.lines()):
            error, distance = cells.get(Metric.ERROR), cells.get(Metric.MEDIAN_DISTORTION)
            if error is None or distance is None or not math.isfinite(distance.value):
                continue
            axis.errorbar(
                error.value, distance.value, xerr=_arms(error), yerr=_arms(distance),
                fmt=MARKERS[index % len(MARKERS)], ms=7, lw=0.9, color=SERIES[index % len(SERIES)],
                mfc="none" if index >= len(SERIES) else None, label=label(error.row),
            )  # fmt: skip
        axis.set_xlabel("test error, %")
        axis.set_ylabel("median minimum distortion")
        axis.set_ylim(bottom=0)
        axis.set_xlim(*_around([cell.value for cell in table.where(metric=Metric.ERROR)]))
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _around(values: list[float]) -> tuple[float, float]:
    """The values with some room on both sides, whatever their intervals."""
    room = 0.3 * (max(values) - min(values)) or 1.0
    return max(min(values) - room, 0.0), max(values) + room


def _arms(cell: Cell) -> np.ndarray:
    """How far the interval reaches on either side, as a column; not far where it means nothing."""
    low, high = (cell.value if end is None else end for end in (cell.low, cell.high))
    return np.array([[max(cell.value - low, 0.0)], [max(high - cell.value, 0.0)]])


def _sentences(contents: Contents) -> Section:
    cells = _claims(contents)
    if not cells:
        return Section("claims", "", "", ())
    rows = tuple((cell.row, verdict(cell)) for cell in cells)
    text = csv_text(
        ("claim", "difference", "low", "high", "seeds"),
        ((c.row, c.value, c.low, c.high, c.total) for c in cells),
    )
    listing = Listing(
        "claims", "What the paper says, and what was measured", ("Claim", "Verdict"), rows,
        text, (MEASURED,), opened=True, prose=("Claim", "Verdict"),
    )  # fmt: skip
    return Section(
        "claims",
        "The paper's sentences",
        "Each is a difference of test errors in percentage points, its two trainings paired by "
        "their seeds, with Student's 95 % interval; below 0 the paper is right. What an interval "
        "does not exclude is open.",
        (listing,),
    )


def _distances(contents: Contents) -> Section:
    remark = " Of the first seed; the curves begin at the test error."
    drawings = charts.fooled_within(contents.attacked.distortions, "training", remark)
    return Section("distances", "How far the nearest example is", "", tuple(drawings))


def _penalty(contents: Contents) -> Section:
    table = contents.table("penalty")
    if table is None:
        return Section("penalty", "", "", ())
    drawing = Drawing(
        "penalty-curve",
        "Error and proof over the penalty's weight",
        "The certified radius of the median test image, and the test error. The first point is "
        "weight decay alone.",
        "Two lines over the weight of the spectral penalty: certified radius and test error",
        (MEASURED,),
        lambda: penalty_curve(table),
    )
    return Section(
        "penalty",
        "The spectral penalty",
        "Training with a weight times the sum of the layers' upper Lipschitz bounds (§4.3).",
        (table, drawing),
    )


def penalty_curve(table: Table) -> Figure:
    """Certified radius and test error, one point a weight, evenly spaced."""
    with style():
        figure, (above, below) = axes(7.0, 4.4, rows=2, sharex=True)
        for axis, metric, said in (
            (above, Metric.MEDIAN_CERTIFIED, "certified radius, L2"),
            (below, Metric.ERROR, "test error, %"),
        ):
            lines = enumerate(cells.get(metric) for cells in table.lines())
            places, cells = zip(
                *((at, cell) for at, cell in lines if cell is not None), strict=True
            )
            arms = np.hstack([_arms(cell) for cell in cells])
            axis.plot(places, [cell.value for cell in cells], color=MUTED, lw=0.9)
            axis.errorbar(
                places, [cell.value for cell in cells], yerr=arms, fmt="o", ms=6, lw=1.0,
                color=SERIES[0],
            )  # fmt: skip
            axis.set_ylim(bottom=0)
            axis.set_ylabel(said)
        names = [label(row) for row in table.rows.values()]
        below.set_xticks(range(len(names)), names, color=INK)
        below.set_xlabel("weight of the penalty")
    return figure


def _masking(contents: Contents) -> Section:
    return Section(
        "masking",
        "Do the gradients hide anything?",
        "A network can look robust because gradients mislead the attack. Then attacks without "
        "them would do better: examples on the way to those made for weight decay alone, as short "
        "or shorter than the network's own (Transfer shorter, of all attacked images; not asked of "
        "weight decay itself), or Gaussian noise as long as the median example (Fooled by noise, "
        "of the correctly classified). Flaws are those that the checks before an audit find.",
        tuple(contents.tables_of("masking")),
    )


def _settings(contents: Contents) -> Section:
    return Section(
        "settings",
        "Settings tried on held-out training images",
        "Each training's settings with the error on training images that it did not train on, the "
        "best first.",
        tuple(contents.tables_of("settings")),
    )


PARTS: tuple[Part, ...] = (_errors, _sentences, _distances, _penalty, _masking, _settings)
