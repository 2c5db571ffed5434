"""Charts of a comparison: what passes buy, and how far each method stays behind the shortest."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from intriguing.report.figure_style import MARKERS, MUTED, SERIES, axes, label, logarithmic, style
from intriguing.results.rows import CurvePoint

Curves = Mapping[str, Sequence[CurvePoint]]
FLOOR = 0.01
"""Percent; what is closer to the shortest is drawn here."""


def lengths_by_passes(curves: Curves) -> Figure:
    """Median ‖r‖₂, and its median excess over the shortest of any method, against passes."""
    with style():
        figure, (left, right) = axes(9.6, 3.9, 2)
        least = min(min(p.median for p in points) for points in curves.values())
        for index, (method, points) in enumerate(curves.items()):
            _line(left, index, method, points, [p.median for p in points])
            excess = [max(100 * p.excess, FLOOR) for p in points]
            _line(right, index, method, points, excess)
        _passes_axis(left)
        left.set_ylabel("median L2 distance ‖r‖₂, pixel units")
        if np.isfinite(least):
            left.set_ylim(0.96 * least, 1.3 * least)
        _passes_axis(right)
        right.set_ylabel("median excess over the shortest, %")
        logarithmic(right, "y")
        right.set_ylim(0.8 * FLOOR, 150)
        right.yaxis.set_major_formatter(FuncFormatter(_excess_label))
        right.yaxis.set_minor_formatter(FuncFormatter(lambda value, place: ""))
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.8)
    return figure


def shares_by_passes(curves: Curves) -> Figure:
    """Share of the images found, and found as short as the shortest, against passes."""
    with style():
        figure, (left, right) = axes(9.6, 3.6, 2, sharey=True)
        for index, (method, points) in enumerate(curves.items()):
            _line(left, index, method, points, [100 * p.found / p.images for p in points])
            _line(right, index, method, points, [100 * p.within / p.images for p in points])
        _passes_axis(left)
        left.set_ylim(-2, 102)
        left.set_ylabel("images found, %")
        _passes_axis(right)
        right.set_ylabel("images within 0.1 % of the shortest, %")
        right.tick_params(labelleft=True)
        right.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.8)
    return figure


def excess_profile(lengths: Mapping[str, np.ndarray]) -> Figure:
    """For each method the share of images on which it ends within an excess over the shortest.

    `lengths` has ‖r‖₂ of the same images for every method, NaN or infinity where none was found.
    """
    found = {name: np.where(np.isfinite(v), v, np.inf) for name, v in lengths.items()}
    shortest = np.min(list(found.values()), axis=0)
    across = np.geomspace(FLOOR, 100, 241)
    with style():
        figure, axis = axes(7.6, 4.0)
        axis.axvline(0.1, color=MUTED, lw=0.9, ls=(0, (4, 3)), zorder=1)
        for index, (method, values) in enumerate(found.items()):
            with np.errstate(invalid="ignore", divide="ignore"):
                excess = 100 * np.where(values == shortest, 0.0, values / shortest - 1)
            ends = np.sort(np.where(np.isfinite(values), excess, np.inf))
            share = 100 * np.searchsorted(ends, across, side="right") / len(ends)
            axis.step(
                across, share, where="post", clip_on=False, color=SERIES[index % len(SERIES)],
                marker=MARKERS[index % len(MARKERS)], markevery=30, ms=5, mec="none",
                label=label(method),
            )  # fmt: skip
        logarithmic(axis, "x")
        axis.set_xlim(FLOOR, 100)
        axis.xaxis.set_major_formatter(FuncFormatter(_excess_label))
        axis.set_ylim(-2, 102)
        axis.set_xlabel("excess over the shortest of any method, %")
        axis.set_ylabel("images within that excess, %")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), handlelength=1.8)
    return figure


def _line(
    axis: Axes, index: int, method: str, points: Sequence[CurvePoint], values: Sequence[float]
) -> None:
    shown = [(p.passes, v) for p, v in zip(points, values, strict=True) if np.isfinite(v)]
    name = method if shown else f"{method}: under half found"
    axis.plot(
        [passes for passes, _ in shown], [value for _, value in shown],
        color=SERIES[index % len(SERIES)], marker=MARKERS[index % len(MARKERS)], ms=3.6, lw=1.5,
        mec="none", alpha=0.9, label=label(name),
    )  # fmt: skip


def _passes_axis(axis: Axes) -> None:
    logarithmic(axis, "x")
    axis.set_xlabel("passes an image")
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, place: f"{value:,.0f}"))


def _excess_label(value: float, place: int | None) -> str:
    return f"≤ {FLOOR:g}" if np.isclose(value, FLOOR) else f"{value:g}"
