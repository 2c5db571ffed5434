"""The sections of a study of hardening: errors, claims, distances, the penalty, masking."""

import math
from typing import Literal

import numpy as np
from matplotlib.figure import Figure

from intriguing.report import charts
from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.ink import INK, MARKERS, MUTED, SERIES, Drawing, axes, label, style
from intriguing.report.numbers import interval, number
from intriguing.report.section import CELLS, IMAGES, Listing, Part, Section, present
from intriguing.report.tables import Table
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.schema import Cell

ERROR, DISTANCE, RADIUS = "Test error", "Median distortion", "Certified radius"


def outcome(contents: Contents) -> Findings:
    """The headline of the study."""
    table = contents.tables.get("hardening")
    if table is None:
        return _searched(contents.tables.get("settings"))
    errors = [cell for row in table.rows if (cell := table.at(row, ERROR))]
    best = min(errors, key=lambda cell: cell.ours)
    tiles = [_tile(best, "the least test error, of")]
    distances = [cell for row in table.rows if (cell := table.at(row, DISTANCE))]
    farthest = max(distances, key=lambda cell: cell.ours)
    tiles.append(_tile(farthest, "the longest median distortion, of"))
    sentences = [*_ahead(table), *_judged(contents)]
    alarms = [
        f"{cell.row}: an example on the way to another network's was shorter than the attack's "
        f"own for {number(cell.ours, '%')} of the images; its distortions are too long."
        for cell in _column(contents.tables.get("masking"), "Transfer shorter")
        if cell.ours > 1
    ]
    return Findings(tuple(tiles), tuple(sentences), tuple(alarms))


def _ahead(table: Table) -> list[str]:
    """Each training with its error, distance and radius beside plain training's."""
    said = []
    for row in table.rows:
        error = table.at(row, ERROR)
        farther = table.at(row, "Distortion over plain")
        safer = table.at(row, "Radius over plain")
        if error is not None and farther is not None and row != table.rows[0]:
            words = f"{row}: {number(error.ours, '%')} test error"
            words += f", the nearest example {number(farther.ours, 'ratio')} times as far"
            if safer is not None:
                words += f" and the certified radius {number(safer.ours, 'ratio')} times as long"
            said.append(f"{words} as with {table.rows[0].lower()} alone.")
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
    difference = number(cell.ours, "% more").removesuffix(" %")
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
        best[cell.network] = min(best.get(cell.network, cell), cell, key=lambda one: one.ours)
    return Findings(
        (), tuple(f"Best by validation, {number(c.ours, '%')}: {c.row}." for c in best.values())
    )


def _tile(cell: Cell, label: str) -> Tile:
    span = interval(cell.low, cell.high, cell.unit)
    return Tile(
        number(cell.ours, cell.unit), f"{label} {cell.row}", f"95 %: {span}" if span else ""
    )


def _claims(contents: Contents) -> list[Cell]:
    return _column(contents.tables.get("claims"), "Difference of test errors")


def _column(table: Table | None, column: str) -> list[Cell]:
    rows = table.rows if table else ()
    return [cell for row in rows if table and (cell := table.at(row, column))]


def _errors(contents: Contents) -> Section:
    table = contents.tables.get("hardening")
    if table is None:
        return Section("errors", "", "", ())
    drawing = Drawing(
        "trade-off",
        "What each training buys",
        "To the left fewer errors, upward farther from the nearest adversarial example. Lines are "
        "95 % intervals.",
        "Scatter of test error against median distortion, one point a family of trainings",
        (CELLS,),
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
        for index, row in enumerate(table.rows):
            error, distance = table.at(row, ERROR), table.at(row, DISTANCE)
            if error is None or distance is None or not math.isfinite(distance.ours):
                continue
            axis.errorbar(
                error.ours, distance.ours, xerr=_arms(error), yerr=_arms(distance),
                fmt=MARKERS[index % len(MARKERS)], ms=7, lw=0.9, color=SERIES[index % len(SERIES)],
                mfc="none" if index >= len(SERIES) else None, label=label(row),
            )  # fmt: skip
        axis.set_xlabel("test error, %")
        axis.set_ylabel("median minimum distortion")
        axis.set_ylim(bottom=0)
        axis.set_xlim(*_around([cell.ours for cell in _column(table, ERROR)]))
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _around(values: list[float]) -> tuple[float, float]:
    """The values with some room on both sides, whatever their intervals."""
    room = 0.3 * (max(values) - min(values)) or 1.0
    return max(min(values) - room, 0.0), max(values) + room


def _arms(cell: Cell) -> np.ndarray:
    """How far the interval reaches on either side, as a column; not far where it means nothing."""
    low, high = (cell.ours if end is None else end for end in (cell.low, cell.high))
    return np.array([[max(cell.ours - low, 0.0)], [max(high - cell.ours, 0.0)]])


def _sentences(contents: Contents) -> Section:
    cells = _claims(contents)
    if not cells:
        return Section("claims", "", "", ())
    rows = tuple((cell.row, verdict(cell)) for cell in cells)
    text = csv_text(
        ("claim", "difference", "low", "high", "seeds"),
        ((c.row, c.ours, c.low, c.high, c.total) for c in cells),
    )
    listing = Listing(
        "claims", "What the paper says, and what was measured", ("Claim", "Verdict"), rows,
        text, (CELLS,), opened=True, prose=("Claim", "Verdict"),
    )  # fmt: skip
    return Section(
        "claims",
        "The paper's sentences",
        "Each is a difference of test errors in percentage points, its two families paired by "
        "their seeds, with Student's 95 % interval; below 0 the paper is right. What an interval "
        "does not exclude is open.",
        (listing,),
    )


def _distances(contents: Contents) -> Section:
    found = contents.distortions()
    if not any(np.isfinite(values).any() for values in found.values()):
        return Section("distances", "", "", ())
    drawing = Drawing(
        "distortion-curves",
        "How many images a distortion fools",
        "For each training, the share of test images whose nearest adversarial example lies "
        "within a distortion; first seed. The curves begin at the test error.",
        "Cumulative share of images fooled against distortion, one curve a family",
        (IMAGES,),
        lambda: charts.distortion_curves(found),
    )
    return Section("distances", "How far the nearest example is", "", (drawing,))


def _penalty(contents: Contents) -> Section:
    table = contents.tables.get("penalty")
    if table is None:
        return Section("penalty", "", "", ())
    drawing = Drawing(
        "penalty-curve",
        "Error and proof over the penalty's weight",
        "The certified radius of the median test image, and the test error. The first point is "
        "weight decay alone.",
        "Two lines over the weight of the spectral penalty: certified radius and test error",
        (CELLS,),
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
        for axis, column, said in (
            (above, RADIUS, "certified radius, L2"), (below, ERROR, "test error, %"),
        ):  # fmt: skip
            cells = _column(table, column)
            places = [table.rows.index(cell.row) for cell in cells]
            arms = np.hstack([_arms(cell) for cell in cells])
            axis.plot(places, [cell.ours for cell in cells], color=MUTED, lw=0.9)
            axis.errorbar(
                places, [cell.ours for cell in cells], yerr=arms, fmt="o", ms=6, lw=1.0,
                color=SERIES[0],
            )  # fmt: skip
            axis.set_ylim(bottom=0)
            axis.set_ylabel(said)
        below.set_xticks(range(len(table.rows)), [label(row) for row in table.rows], color=INK)
        below.set_xlabel("weight of the penalty")
    return figure


def _masking(contents: Contents) -> Section:
    return Section(
        "masking",
        "Do the gradients hide anything?",
        "A network can look robust because gradients mislead the attack. Then attacks without "
        "them would do better: examples on the way to those made for weight decay alone, as short "
        "or shorter than the network's own (Transfer shorter, of all attacked images), or Gaussian "
        "noise as long as the median example (Fooled by noise, of the correctly classified). Flaws "
        "are those that the checks before an audit find.",
        tuple(present(contents.tables.get("masking"))),
    )


def _settings(contents: Contents) -> Section:
    return Section(
        "settings",
        "Settings tried on held-out training images",
        "Each family's settings with the error on training images that it did not train on, the "
        "best first.",
        tuple(present(contents.tables.get("settings"))),
    )


PARTS: tuple[Part, ...] = (_errors, _sentences, _distances, _penalty, _masking, _settings)
