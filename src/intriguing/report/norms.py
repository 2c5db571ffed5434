"""Charts of a spectral analysis: bounds of the layers, and the singular values behind them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from intriguing.report.figure_style import INK, MUTED, SERIES, axes, label, logarithmic, style
from intriguing.report.numbers import number
from intriguing.results.rows import LayerRow

ACROSS = 4
"""Panels side by side, as a page is wide."""
SPAN = 1e4
"""Singular values smaller than the greatest by more than this are cut off."""
CROWDED = 1e4
"""Ratio of the ends of an axis from which it has no room for ticks between powers of ten."""


@dataclass(frozen=True)
class Spectrum:
    """Singular values of one layer, greatest first, and the layer's upper bound."""

    name: str
    values: np.ndarray
    upper: float


def bounds(layers: Sequence[LayerRow]) -> Figure:
    """Upper bound of each layer as a bar from 1, and the lower bound as a mark; log scale."""
    with style():
        figure, axis = axes(7.6, 1.0 + 0.3 * len(layers))
        finite = [v for x in layers for v in (x.upper, x.lower) if math.isfinite(v) and v > 0]
        low, high = min([0.9, *finite]) / 1.2, max([1.0, *finite]) * 1.8
        for place, layer in enumerate(layers):
            known = math.isfinite(layer.upper)
            end = max(layer.upper, low) if known else high
            axis.barh(
                place, end - 1.0, left=1.0, height=0.62, color=SERIES[0] if known else "none",
                edgecolor=SERIES[0], hatch=None if known else "///", alpha=0.85, zorder=2,
                label="upper bound" if place == 0 else None,
            )  # fmt: skip
            axis.annotate(
                number(layer.upper, "norm"), (max(end, 1.0), place), (4, 0), va="center",
                textcoords="offset points", fontsize=8, color=INK, annotation_clip=False,
            )  # fmt: skip
            if layer.lower > 0:
                axis.plot(layer.lower, place, "D", ms=5.5, color=SERIES[1], mec="white", mew=0.7,
                          zorder=4)  # fmt: skip
        if any(layer.lower > 0 for layer in layers):
            axis.plot([], [], "D", ms=5.5, color=SERIES[1], label="reached at an image")
        axis.axvline(1.0, color=MUTED, lw=0.9, zorder=3)
        logarithmic(axis, "x")
        axis.set_xlim(low, high)
        axis.set_yticks(range(len(layers)), [label(layer.name) for layer in layers])
        axis.tick_params(axis="y", length=0, labelcolor=INK)
        axis.set_ylim(len(layers) - 0.4, -0.6)
        axis.grid(axis="y", visible=False)
        axis.spines["left"].set_visible(False)
        axis.set_xlabel("how many times longer a change can leave the layer than it came")
        axis.xaxis.set_major_formatter(FuncFormatter(_plain))
        axis.xaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0)))
        crowded = high / low > CROWDED
        axis.xaxis.set_minor_formatter(NullFormatter() if crowded else FuncFormatter(_plain))
        axis.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2, numpoints=1)
    return figure


def spectra(layers: Sequence[Spectrum]) -> Figure:
    """One panel a layer: singular values by rank on a log scale, the upper bound as a line."""
    across = min(ACROSS, len(layers))
    down = math.ceil(len(layers) / across)
    with style():
        figure, grid = axes(2.45 * across + 0.2, 1.95 * down + 0.2, across, down, squeeze=False)
        panels = grid.ravel()
        for axis, layer in zip(panels, layers, strict=False):
            _spectrum(axis, layer)
        for axis in panels[len(layers) :]:
            axis.set_visible(False)
        for axis in panels[max(len(layers) - across, 0) : len(layers)]:
            axis.set_xlabel("rank, share of all")
        for row in grid:
            row[0].set_ylabel("singular value")
    return figure


def _spectrum(axis: Axes, layer: Spectrum) -> None:
    top = float(layer.values.max())
    shown = np.where(layer.values > top / SPAN, layer.values, np.nan)
    across = np.linspace(0, 100, len(shown)) if len(shown) > 1 else np.array([0.0])
    logarithmic(axis, "y")
    axis.plot(across, shown, color=SERIES[0], lw=1.6, marker="o" if len(shown) < 25 else "", ms=3)
    if math.isfinite(layer.upper) and layer.upper > 0:
        axis.axhline(layer.upper, color=SERIES[1], lw=1.1, ls=(0, (4, 2)))
    ends = [v for v in (*shown[np.isfinite(shown)], layer.upper) if math.isfinite(v) and v > 0]
    if ends:
        axis.set_ylim(min(ends) / 1.3, max(ends) * 1.5)
    axis.set_xlim(-3, 103)
    axis.set_xticks([0, 50, 100], ["0", "50 %", "100 %"])
    axis.yaxis.set_major_locator(LogLocator(numticks=4))
    axis.yaxis.set_major_formatter(FuncFormatter(_plain))
    narrow = len(ends) > 0 and max(ends) / min(ends) < 30
    axis.yaxis.set_minor_locator(LogLocator(subs=(2.0, 5.0), numticks=12))
    axis.yaxis.set_minor_formatter(FuncFormatter(_plain) if narrow else NullFormatter())
    axis.tick_params(labelsize=7.5, which="both")
    axis.set_title(label(layer.name, 30), fontsize=8.5, pad=4)


def _plain(value: float, place: int | None) -> str:
    """A tick of a logarithmic scale as people write it: 0.01, 20, 10⁶ only when it is long."""
    return f"{value:g}" if 1e-3 <= value < 1e6 else f"1e{round(math.log10(value))}"
