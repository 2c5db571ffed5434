"""The page of verdicts: a table to filter, then every claim with what decides it."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.table import Table as RichTable
from rich.text import Text

from intriguing.report.contents import Contents, TensorFile
from intriguing.report.csv_text import csv_text
from intriguing.report.figure_style import (
    INK,
    MARKERS,
    SERIES,
    Drawing,
    axes,
    label,
    logarithmic,
    style,
)
from intriguing.report.figures import as_pictures, mosaic
from intriguing.report.layouts import NAMES
from intriguing.report.numbers import number, sentence, short
from intriguing.report.section import MEASURED, VERDICTS, Section, VerdictTable
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.measured import Measurement, Metric, where
from intriguing.results.verdicts import Basis, Source, Verdict, VerdictRow

EFFECT, CURVE = "effect", "curve"
"""Analyses of the quantity of every seed, and of the points of a claim's curve."""
_WORDS = {
    Verdict.HOLDS: "hold", Verdict.DOES_NOT_HOLD: "do not hold", Verdict.OPEN: "stay open",
}  # fmt: skip
_LOGARITHMIC = 8.0
"""An axis whose largest value is so many times its smallest is logarithmic."""


def outcome(contents: Contents) -> Findings:
    """How many hold."""
    rows = contents.verdicts
    if not rows:
        return NOTHING
    counts = {one: sum(row.verdict is one for row in rows) for one in Verdict}
    tiles = tuple(
        Tile(str(count), f"claims {_WORDS[one]}", f"of {len(rows)}")
        for one, count in counts.items()
    )
    said = []
    for source, words in (
        (Source.PAPER, "the paper"), (Source.READERS, "its readers"),
        (Source.SUCCESSORS, "later work"),
    ):  # fmt: skip
        some = [row for row in rows if row.source is source]
        if some:
            parts = [f"{sum(row.verdict is one for row in some)} {_WORDS[one]}" for one in Verdict]
            said.append(f"Of {len(some)} claims of {words} {', '.join(parts[:2])} and {parts[2]}.")
    return Findings(tiles, tuple(said))


def sections_of(contents: Contents) -> list[Section]:
    """The table, and a section for every claim."""
    if not contents.verdicts:
        return []
    return [_table(contents), *(_claim(contents, row) for row in contents.verdicts)]


def decides(row: VerdictRow) -> str:
    """The number that a verdict rests on.

    >>> from intriguing.results.verdicts import Source
    >>> about = ("a", Source.PAPER, "", "", "", "", "t", "%", 10.0, math.inf)
    >>> seen = (Basis.SEEDS, Verdict.HOLDS, "", "", "")
    >>> decides(VerdictRow(*about, 20.0, 15.0, 25.0, 5, 20, 100, *seen))
    '20.0 % [15.0 %, 25.0 %], above 10 % needed; 5 seeds, 20 of 100'
    """
    value = _number(row, row.value)
    if row.basis is not Basis.SEEDS:
        return f"{value}, by {'a proof' if row.basis is Basis.PROOF else 'a counter-example'}"
    counted = f", {row.count:,} of {row.total:,}" if row.total else ""
    seeds = f"{row.seeds} seed{'' if row.seeds == 1 else 's'}"
    if math.isnan(row.value):
        return f"not to be had in every seed, {needed(row)} needed; {seeds}"
    return (
        f"{value} [{_number(row, row.low)}, {_number(row, row.high)}], {needed(row)} needed; "
        f"{seeds}{counted}"
    )


def needed(row: VerdictRow) -> str:
    """Where the quantity has to be for the reading to be right."""
    low, high = row.right_low, row.right_high
    ends = [_edge(row, low), _edge(row, high)]
    if math.isinf(low):
        return f"below {ends[1]}"
    return f"above {ends[0]}" if math.isinf(high) else f"between {ends[0]} and {ends[1]}"


def _edge(row: VerdictRow, value: float) -> str:
    unit = " %" if row.unit == "%" else " points" if row.unit == "% more" else ""
    return f"{value:g}".replace("-", "−") + unit


def _number(row: VerdictRow, value: float) -> str:
    if row.unit == "% more":
        shown = "∞" if math.isinf(value) else f"{abs(value):.2f}"
        return f"{'−' if value < 0 else '+'}{shown} points"
    if row.unit == "numbers":
        return ("−" if value < 0 else "") + ("∞" if math.isinf(value) else short(abs(value)))
    return number(value, row.unit)


def _table(contents: Contents) -> Section:
    rows = contents.verdicts
    names = (
        "claim", "source", "section", "sentence", "reading", "quantity", "unit", "right_low",
        "right_high", "value", "low", "high", "seeds", "count", "total", "basis", "verdict",
        "change", "sceptic",
    )  # fmt: skip
    text = csv_text(names, ([_plain(getattr(row, name)) for name in names] for row in rows))
    return Section(
        "verdicts",
        "Verdicts",
        "Each claim in one reading, with the 95 % interval over training seeds of the quantity "
        "that decides it. It holds where the whole interval lies in the region that was fixed "
        "beforehand, it does not hold where it lies outside, and stays open where it crosses the "
        "edge. What mathematics settles needs no seeds.",
        (VerdictTable(rows, tuple(map(decides, rows)), text),),
    )


def _claim(contents: Contents, row: VerdictRow) -> Section:
    drawings: list[Drawing] = []
    effects = where(contents.measured, analysis=EFFECT, setting=row.claim)
    points = where(contents.measured, analysis=CURVE, setting=row.claim)
    if row.basis is Basis.SEEDS:
        drawings.append(
            Drawing(
                f"claim-{row.claim}", row.quantity[:1].upper() + row.quantity[1:],
                f"Dots are seeds, the bar is their 95 % interval, shaded is where the reading is "
                f"right ({needed(row)}).",
                f"{row.quantity}: {decides(row)}", (VERDICTS, MEASURED),
                lambda: strip(row, effects),
            )
        )  # fmt: skip
    if points:
        drawings.append(
            Drawing(
                f"curve-{row.claim}", f"Over {row.across}",
                "Means over the seeds; shaded from the least to the greatest seed.",
                f"Curve over {row.across}", (MEASURED,), lambda: curve(row, points),
            )
        )  # fmt: skip
    for file in contents.of_kind("claim"):
        if file.metadata.get("claim") == row.claim:
            drawings.append(_pictures(file))
    names = f"intriguing reproduce claims {row.claim} --scale {contents.run.config['scale']}"
    notes = (
        f"What would change it: {row.change}.",
        f"For a sceptic: {sentence(row.sceptic)}",
        f"By itself: {names} --seeds {len(contents.run.seeds)}",
    )
    words = f"“{row.sentence}” ({row.section}) Read as: {row.reading} "
    words += f"{sentence(row.verdict)} {sentence(decides(row))}"
    title = f"{row.claim}: {row.verdict}"
    return Section(f"claim-{row.claim}", title, words, tuple(drawings), notes, listed=False)


def strip(row: VerdictRow, effects: Sequence[Measurement]) -> Figure:
    """The quantity of every seed in a line, with its interval and where it has to be."""
    values = [one.value for one in effects if math.isfinite(one.value)]
    with style():
        figure, axis = axes(7.4, 1.15)
        ends = [
            v for v in (*values, row.low, row.high, row.right_low, row.right_high)
            if math.isfinite(v)
        ]  # fmt: skip
        positive = row.unit == "ratio" and min(ends, default=0.0) > 0
        if positive and max(ends) > _LOGARITHMIC * min(ends):
            logarithmic(axis, "x")
            room = [min(ends) / 1.3, max(ends) * 1.3]
        else:
            more = 0.08 * (max(ends, default=1.0) - min(ends, default=0.0)) or 1.0
            room = [min(ends, default=0.0) - more, max(ends, default=1.0) + more]
        axis.set_xlim(*room)
        low, high = max(row.right_low, room[0]), min(row.right_high, room[1])
        if low < high:
            axis.axvspan(low, high, color=SERIES[2], alpha=0.16, lw=0)
        if math.isfinite(row.low) and math.isfinite(row.high):
            axis.plot([row.low, row.high], [0, 0], color=INK, lw=2.4, solid_capstyle="butt")
        axis.plot(values, [0] * len(values), "o", ms=6, color=SERIES[0], alpha=0.8)
        axis.plot([row.value], [0], "|", ms=16, mew=2.2, color=INK)
        axis.set_yticks([])
        axis.spines["left"].set_visible(False)
        axis.set_xlabel(_UNITS.get(row.unit, row.unit))
    return figure


_UNITS = {"% more": "points", "numbers": "", "%": "%"}


def curve(row: VerdictRow, points: Sequence[Measurement]) -> Figure:
    """What was measured over an axis: a line a series, means over seeds, a panel a metric."""
    metrics = list(dict.fromkeys(point.metric for point in points))
    with style():
        figure, grid = axes(7.4, 0.6 + 2.0 * len(metrics), rows=len(metrics), squeeze=False,
                            sharex=True)  # fmt: skip
        for (axis,), metric in zip(grid, metrics, strict=True):
            _lines(axis, metric, [point for point in points if point.metric is metric])
        sizes = sorted({point.size or 0.0 for point in points})
        if sizes[0] > 0 and sizes[-1] > _LOGARITHMIC * sizes[0]:
            logarithmic(grid[-1][0], "x")
        grid[-1][0].set_xlabel(row.across)
    return figure


def _lines(axis: Axes, metric: Metric, points: Sequence[Measurement]) -> None:
    told = [(point.method, point.network, point.condition) for point in points]
    series = list(dict.fromkeys(told))
    for index, one in enumerate(series):
        by_size: dict[float, list[float]] = {}
        for point, whose in zip(points, told, strict=True):
            if whose == one:
                by_size.setdefault(point.size or 0.0, []).append(point.value)
        sizes = sorted(by_size)
        colour = SERIES[index % len(SERIES)]
        means = [float(np.mean(by_size[size])) for size in sizes]
        axis.plot(sizes, means, marker=MARKERS[index % len(MARKERS)], ms=4.5, color=colour,
                  label=label(", ".join(word for word in map(str, one) if word)))  # fmt: skip
        axis.fill_between(
            sizes, [min(by_size[s]) for s in sizes], [max(by_size[s]) for s in sizes],
            color=colour, alpha=0.15, lw=0,
        )  # fmt: skip
    axis.set_ylabel(_NAMES.get(metric, NAMES.get(metric, str(metric))))
    if len(series) > 1:
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    values = [point.value for point in points]
    if min(values) > 0 and max(values) > _LOGARITHMIC * min(values):
        logarithmic(axis, "y")


_NAMES = {
    Metric.PROBABILITY: "log₁₀ probability", Metric.ERROR: "error, %", Metric.FOOLED: "fooled, %",
    Metric.ERROR_DIFFERENCE: "net transfer, points", Metric.MEDIAN_L2: "median distance",
    Metric.DISTORTION_RATIO: "distance, ratio", Metric.DIMENSION: "directions",
    Metric.LOWER_BOUND: "reached", Metric.UPPER_BOUND: "bound",
    Metric.RELATIVE_DIFFERENCE: "moved by, %",
}  # fmt: skip


def _pictures(file: TensorFile) -> Drawing:
    images = as_pictures(file.tensors["images"])
    across = 10 if len(images) % 10 == 0 else 8

    def draw() -> Figure:
        down = math.ceil(len(images) / across)
        with style():
            figure, axis = axes(6.4, 6.4 * down / across + 0.1)
            axis.imshow(mosaic(images, across, gap=1), cmap="gray", vmin=0, vmax=1,
                        interpolation="none")  # fmt: skip
            axis.set_axis_off()
        return figure

    return Drawing(
        file.name, file.metadata.get("title", file.name), file.metadata.get("words", ""),
        file.metadata.get("title", "Pictures"), (f"tensors/{file.name}.safetensors",), draw,
    )  # fmt: skip


def _plain(value: object) -> object:
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else ("inf" if value > 0 else "-inf")
    return str(value) if isinstance(value, Verdict | Source | Basis) else value


def to_terminal(rows: Sequence[VerdictRow]) -> RichTable:
    """A line a claim, for a terminal of any width."""
    table = RichTable("Claim", "Verdict", "What decides it", box=None)
    for row in rows:
        table.add_row(row.claim, Text(str(row.verdict), style="bold"), decides(row))
    return table


def to_markdown(rows: Sequence[VerdictRow]) -> str:
    """The table of a page of documentation, a line a claim."""
    lines = ["| claim | read as | verdict | what decides it |", "| --- | --- | --- | --- |"]
    for row in rows:
        bold = f"**{row.verdict}**" if row.verdict is not Verdict.OPEN else str(row.verdict)
        reading = row.reading.removesuffix(".")
        lines.append(f"| `{row.claim}` | {reading} ({row.section}) | {bold} | {decides(row)} |")
    return "\n".join(lines)
