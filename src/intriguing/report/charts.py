"""Charts of what the tables say: heat maps, distortion curves, and ours against the paper's."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from intriguing.report.figure_style import (
    GRID,
    INK,
    MARKERS,
    MUTED,
    SERIES,
    Drawing,
    axes,
    label,
    logarithmic,
    style,
)
from intriguing.report.lengths import Lengths
from intriguing.report.section import IMAGES
from intriguing.report.views import Cell, Table

HEAT = LinearSegmentedColormap.from_list(
    "heat", ["#f3f1ea", "#f6d9a8", "#ec9f5d", "#cf5330", "#7d1d2d", "#3d0f26"]
)


DARK = 45
"""Percent from which the map is so dark that numbers on it are white."""


def heatmaps(table: Table) -> Figure:
    """The error cells of a table as colour, the paper's beside ours when it has any."""
    columns = [c for c in table.columns if any(_is_error(table.at(r, c)) for r in table.rows)]
    ours = np.array([[_value(table.at(r, c), "value") for c in columns] for r in table.rows])
    paper = np.array([[_value(table.at(r, c), "paper") for c in columns] for r in table.rows])
    pictures = [("Paper", paper), ("Ours", ours)] if np.isfinite(paper).any() else [("", ours)]
    width = 1.9 + 0.72 * len(columns) * len(pictures)
    width += max(0.0, 0.07 * (max(len(label(row)) for row in table.rows.values()) - 36))
    with style():
        figure, grid = axes(
            width + 1.0, 1.0 + 0.42 * len(table.rows), len(pictures), sharey=True, squeeze=False
        )
        for axis, (title, values) in zip(grid[0], pictures, strict=True):
            _heatmap(axis, values, [table.columns[c] for c in columns], [*table.rows.values()])
            axis.set_title(title, pad=6)
    return figure


def _heatmap(axis: Axes, values: np.ndarray, columns: Sequence[str], rows: Sequence[str]) -> None:
    axis.imshow(values, cmap=HEAT, vmin=0, vmax=100, aspect="auto")
    axis.grid(False)
    axis.set_xticks(
        range(len(columns)),
        [label(c) for c in columns],
        rotation=35,
        ha="right",
        rotation_mode="anchor",
    )
    axis.set_yticks(range(len(rows)), [label(row) for row in rows])
    axis.tick_params(length=0, labelcolor=INK, labelsize=8)
    for spine in axis.spines.values():
        spine.set_visible(False)
    for (row, column), value in np.ndenumerate(values):
        if np.isfinite(value):
            light = value > DARK
            shown = f"{value:.0f}" if value >= 99.95 or value == 0 else f"{value:.1f}"
            axis.text(
                column, row, shown, ha="center", va="center", fontsize=8,
                color="#ffffff" if light else "#2a1c1c",
            )  # fmt: skip


def distortion_curves(distortions: Mapping[str, Lengths]) -> Figure:
    """For each network the share of attacked images fooled within a distortion."""
    with style():
        figure, axis = axes(7.6, 4.0)
        top = 0.0
        for index, (network, values) in enumerate(distortions.items()):
            found, share = values.steps()
            colour = SERIES[index % len(SERIES)]
            dashes = "-" if index < len(SERIES) else "--"
            axis.step(
                found, 100 * share, dashes, where="post", color=colour, label=label(network)
            )  # fmt: skip
            if len(found):
                half = 50.0 * len(values) / values.total
                place = values.quantile(0.5), half
                axis.plot(*place, MARKERS[index % len(MARKERS)], color=colour, ms=5.5)
                top = max(top, values.quantile(0.998))
        axis.set_xlim(0, top * 1.05 or 1)
        axis.set_ylim(0, 101)
        axis.set_xlabel("distortion  sqrt(Σ(x′ᵢ − xᵢ)² / n),  the mark is the median")
        axis.set_ylabel("images fooled, %")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.4)
    return figure


def fooled_within(
    distortions: Mapping[str, Lengths], one: str, remark: str = ""
) -> Sequence[Drawing]:
    """That figure for every `one`; none where nothing was found."""
    if not any(map(len, distortions.values())):
        return ()
    drawing = Drawing(
        "distortion-curves",
        "How many images a distortion fools",
        f"For each {one}, the share of images whose adversarial example lies within a distortion."
        + remark,
        f"Cumulative share of images fooled against distortion, one curve a {one}",
        (IMAGES,),
        lambda: distortion_curves(distortions),
    )
    return (drawing,)


def distortion_bars(rows: Sequence[Cell]) -> Figure:
    """Average minimum distortion of each network with its interval, and the paper's."""
    with style():
        figure, axis = axes(7.6, 0.9 + 0.36 * len(rows))
        for place, cell in enumerate(rows):
            if cell.paper is not None:
                axis.plot([cell.paper, cell.value], [place, place], color=GRID, lw=4, zorder=1)
                axis.plot(
                    cell.paper, place, "o", ms=8, mfc="none", mec=INK, mew=1.4, zorder=3,
                    label="paper" if place == 0 else None,
                )  # fmt: skip
            axis.errorbar(
                cell.value, place, fmt="o", ms=6, color=SERIES[1], lw=1.2, capsize=0, zorder=4,
                xerr=np.transpose([_reach(cell)]),
                label="ours, 95 % interval" if place == 0 else None,
            )  # fmt: skip
        axis.set_yticks(range(len(rows)), [label(cell.row) for cell in rows])
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.set_ylim(len(rows) - 0.4, -0.6)
        axis.set_xlim(left=0)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel("average minimum distortion")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), numpoints=1)
    return figure


def scatter(tables: Sequence[Table]) -> Figure:
    """Every error cell the paper printed: its value across, ours up, intervals as lines."""
    with style():
        figure, axis = axes(6.4, 4.8)
        axis.plot([0, 100], [0, 100], color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1)
        axis.annotate(
            "equal", (57, 57), (0, 4), textcoords="offset points", rotation=45, color=MUTED,
            fontsize=8, ha="center", rotation_mode="anchor", transform_rotates_text=True,
        )  # fmt: skip
        for index, table in enumerate(tables):
            cells = [c for c in table.cells.values() if _is_error(c) and c.paper is not None]
            axis.errorbar(
                [c.paper or 0.0 for c in cells],
                [c.value for c in cells],
                yerr=np.transpose([_reach(cell) for cell in cells]),
                fmt=MARKERS[index], ms=5.5, color=SERIES[index], alpha=0.85, lw=1.0, mec="none",
                label=label(table.heading),
            )  # fmt: skip
        ticks = [0, 1, 2, 5, 10, 20, 50, 100]
        for scale in (axis.set_xscale, axis.set_yscale):
            scale("symlog", linthresh=2.0, linscale=0.6)
        axis.set_xticks(ticks, [str(t) for t in ticks])
        axis.set_yticks(ticks, [str(t) for t in ticks])
        axis.minorticks_off()
        axis.set_xlim(-0.3, 115)
        axis.set_ylim(-0.3, 115)
        axis.set_xlabel("paper, error %")
        axis.set_ylabel("ours, error %")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def objectives(histories: Mapping[str, Sequence[float]]) -> Figure:
    """The training objective above its last value, against the share of training done."""
    with style():
        figure, axis = axes(7.6, 3.4)
        for index, (network, history) in enumerate(histories.items()):
            axis.plot(range(len(history)), history, color=SERIES[index % 8], label=label(network))
        logarithmic(axis, "y")
        axis.set_xlabel("chunk of iterations, or epoch")
        axis.set_ylabel("objective")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.4)
    return figure


def _reach(cell: Cell) -> tuple[float, float]:
    """How far the interval reaches below and above the value."""
    low, high = (cell.value if end is None else end for end in (cell.low, cell.high))
    return max(cell.value - low, 0.0), max(high - cell.value, 0.0)


def _is_error(cell: Cell | None) -> bool:
    return cell is not None and cell.unit == "%"


def _value(cell: Cell | None, field: str) -> float:
    value = getattr(cell, field) if _is_error(cell) else None
    return float("nan") if value is None else float(value)
