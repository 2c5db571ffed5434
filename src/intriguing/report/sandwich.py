"""Charts of a certification: each image's certified radius under the distance that was found."""

import math

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intriguing.report.figure_style import MUTED, SERIES, axes, style
from intriguing.report.lengths import Lengths

SHOWN = 600
"""Images that the sandwich has room for."""


def sandwich(certified: np.ndarray, found: np.ndarray, pixels: int) -> Figure:
    """Images from the least to the greatest certified radius, and what was found for each.

    Args:
        certified: L2 of each image.
        found: L2 of each image, infinite where none was found, NaN where none was looked for.
        pixels: Numbers in an image, for the scale of the paper's distortion.
    """
    order = np.lexsort((found, certified))
    rows = order[np.unique(np.linspace(0, len(order) - 1, min(len(order), SHOWN)).astype(int))]
    across = np.linspace(0, 100, len(rows)) if len(rows) > 1 else np.array([50.0])
    below, above = certified[rows], np.where(np.isfinite(found[rows]), found[rows], np.nan)
    with style():
        figure, axis = axes(7.6, 4.2)
        axis.fill_between(across, 0, below, step="mid", color=SERIES[2], alpha=0.22, lw=0)
        axis.step(across, below, where="mid", color=SERIES[2], label="certified: none is closer")
        if np.isfinite(above).any():
            axis.vlines(across, below, above, color=MUTED, lw=0.5, alpha=0.35, zorder=1)
            axis.plot(across, above, "o", ms=2.6, color=SERIES[1], mec="none", label="found")
        tops = [v.max() for v in (below, above[np.isfinite(above)]) if len(v) and v.max() < np.inf]
        axis.set_ylim(0, 1.05 * max([0.0, *tops]) or 1)
        axis.set_xlim(-1, 101)
        axis.set_xlabel("correctly classified images by certified radius, %")
        axis.set_ylabel("L2 distance ‖r‖₂")
        _distortion_axis(axis, pixels, vertical=True)
        axis.legend(loc="upper left")
    return figure


def accuracies(certified: Lengths, found: Lengths | None, pixels: int) -> Figure:
    """Share of all images certified beyond ε, and share for which nothing was found within ε.

    Both lengths are 0 of an image that is misclassified as it is; None where nothing was looked
    for.
    """
    both = [values for values in (certified, found) if values]
    top = max([values.quantile(0.995) for values in both], default=1.0)
    across = np.linspace(0, top * 1.04 or 1.0, 600)
    sure = 100 * certified.beyond(across)
    with style():
        figure, axis = axes(7.6, 4.0)
        if found is not None:
            attacked = 100 * found.beyond(across)
            axis.fill_between(across, sure, attacked, color=MUTED, alpha=0.14, lw=0)
            axis.plot(across, attacked, color=SERIES[1], label="withstands the attack")
        axis.plot(across, sure, color=SERIES[2], label="certified")
        axis.set_ylim(0, 101)
        axis.set_xlim(0, across[-1])
        axis.set_xlabel("ε, L2")
        axis.set_ylabel("images classified correctly, %")
        _distortion_axis(axis, pixels)
        axis.legend(loc="upper right")
    return figure


def _distortion_axis(axis: Axes, pixels: int, vertical: bool = False) -> None:
    """A second scale, opposite: the paper's distortion ‖r‖₂ / √n."""
    root = math.sqrt(pixels)
    scale = (lambda value: value / root, lambda value: value * root)
    if vertical:
        other = axis.secondary_yaxis("right", functions=scale)
        other.set_ylabel("distortion")
    else:
        other = axis.secondary_xaxis("top", functions=scale)
        other.set_xlabel("distortion")
    other.spines[:].set_visible(False)
    other.tick_params(colors=MUTED, length=2)
