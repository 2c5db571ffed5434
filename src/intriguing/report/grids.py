"""Figures 1 to 4: rows of the images that excite a direction most, and the curves beside them."""

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from intriguing.report.figure_style import INK, MARKERS, MUTED, SERIES, axes, bare, label, style
from intriguing.report.figures import mosaic
from intriguing.report.rows import Group, Pictures, words
from intriguing.report.views import Table

ROWS = 8
"""Directions in a picture: what a page has room for."""
_HISTOGRAM = 0.16
"""Of the width of a row: its histogram, beside the images."""
_PIXELS = 144
"""Longest side of a photograph in a picture: about what is printed of it."""


def chosen(group: Group, rows: int = ROWS) -> np.ndarray:
    """Directions that a picture shows: evenly spaced among those that respond."""
    alive = np.flatnonzero(group.responds)
    alive = alive if len(alive) else np.arange(len(group.numbers))
    return np.asarray(alive[np.linspace(0, len(alive) - 1, min(rows, len(alive))).astype(int)])


def grid(group: Group, pictures: Pictures, crop: bool = False, rows: int = ROWS) -> Figure:
    """One row a direction: its top images, its histogram, and under it what the images share."""
    shown = chosen(group, rows)
    k = group.images["positive"].shape[1]
    tiles = _crops(group, pictures, shown) if crop else None
    height, width = pictures.size
    unit = 6.6 / k
    tall = unit if crop else unit * height / width
    with style():
        figure, cells = axes(
            8.2, (tall + 0.24) * len(shown), 2, len(shown), squeeze=False,
            width_ratios=(1 - _HISTOGRAM, _HISTOGRAM),
        )  # fmt: skip
        for row, direction in enumerate(shown):
            picture, bars = cells[row]
            images = (
                pictures.drawn(group.images["positive"][direction]) if tiles is None else tiles[row]
            )
            bare(picture)
            images = _printed(np.asarray(images))
            gap = max(1, images.shape[2] // 14)
            strip = mosaic(images, k, gap=gap, gap_value=1.0)
            picture.imshow(strip, cmap="gray", vmin=0, vmax=1, interpolation="none", aspect="equal")
            letter = f"({'abcdefghijklmnopqrstuvwxyz'[row % 26]}) "
            title = letter + label(words(group, int(direction), pictures), 110)
            picture.set_title(title, fontsize=8,
                              fontweight="normal", pad=2)  # fmt: skip
            _histogram(bars, group, int(direction))
        # Laid out once: a picture of so many axes takes longer to lay out than to draw.
        layout = figure.get_layout_engine()
        if layout is not None:
            layout.execute(figure)
        figure.set_layout_engine("none")
    return figure


def path(table: Table, measure: str) -> Figure:
    """Mean coherence on the way Q^α from the natural basis to rotated ones, a line a layer."""
    with style():
        figure, axis = axes(7.6, 3.6)
        for place, (row, name) in enumerate(table.rows.items()):
            some = [cell for column in table.columns if (cell := table.at(row, column))]
            ours = np.array([c.value for c in some])
            low = np.array([c.value if c.low is None else c.low for c in some])
            high = np.array([c.value if c.high is None else c.high for c in some])
            shift = 0.006 * (place - (len(table.rows) - 1) / 2)
            across = np.array([c.size or 0.0 for c in some]) + shift
            axis.errorbar(
                across, ours, yerr=(ours - low, high - ours), color=SERIES[place % 8], lw=1.6,
                marker=MARKERS[place % 8], ms=5, elinewidth=1.1, capsize=2.5, label=label(name),
            )  # fmt: skip
        axis.set_xticks(sorted({cell.size or 0.0 for cell in table.cells.values()}))
        axis.set_xlabel("α: 0 is the natural basis, 1 a random rotation Q of it")
        axis.set_ylabel(f"mean {measure} of top images")
        axis.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def distributions(groups: Sequence[Group], measure: str) -> Figure:
    """Coherence of every direction that responds, beside chance; a panel a layer."""
    layers = list(dict.fromkeys(group.layer for group in groups))
    with style():
        figure, panels = axes(
            min(3.0 * len(layers) + 1.2, 9.6), 2.9, len(layers), squeeze=False, sharey=True
        )
        for axis, layer in zip(panels[0], layers, strict=True):
            some = [g for g in groups if g.layer == layer]
            for place, group in enumerate(some):
                found = group.measure(measure)
                if found is None:
                    continue
                values = found.values[group.responds.astype(bool)]
                spread = np.random.default_rng(0).uniform(-0.27, 0.27, len(values))
                colour = SERIES[place % 8]
                axis.plot(place + spread, values, ".", ms=4, alpha=0.45, color=colour, mec="none")
                if len(values):
                    axis.plot([place - 0.33, place + 0.33], [values.mean()] * 2, color=colour, lw=2)
                axis.fill_between(
                    [place - 0.42, place + 0.42], found.low, found.high, color=MUTED, alpha=0.16,
                    lw=0,
                )  # fmt: skip
                axis.plot([place - 0.42, place + 0.42], [found.chance.mean()] * 2, color=MUTED,
                          lw=1, ls=(0, (3, 2)))  # fmt: skip
            axis.set_title(label(layer, 40))
            axis.set_xticks(range(len(some)), [label(g.basis, 20) for g in some])
            axis.set_xlim(-0.6, len(some) - 0.4)
            axis.grid(axis="x", visible=False)
        panels[0][0].set_ylabel(f"{measure} of the top images")
    return figure


def _printed(images: np.ndarray) -> np.ndarray:
    """(tile height width ...) at most `_PIXELS` high and wide, each pixel a mean of what it was."""
    height, width = images.shape[1:3]
    scale = _PIXELS / max(height, width)
    if scale >= 1:
        return images
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = [
        np.asarray(
            Image.fromarray((255 * image).round().astype(np.uint8)).resize(
                size, Image.Resampling.BOX
            )
        )
        for image in images
    ]
    return np.stack(small) / 255.0


def _histogram(axis: Axes, group: Group, direction: int) -> None:
    tensors = group.file.tensors
    counts, width = tensors["counts"][direction], tensors["width"][direction]
    edges = (tensors["first"][direction] + np.arange(len(counts) + 1)) * width
    axis.stairs(np.sqrt(counts), edges, fill=True, color=SERIES[0], lw=0)
    tall = -0.07 * math.sqrt(max(counts.max(), 1))
    axis.vlines(group.values["positive"][direction], tall, 0, colors=SERIES[1], lw=0.7)
    axis.set_yticks([])
    axis.grid(False)
    axis.spines["left"].set_visible(False)
    axis.tick_params(labelsize=5.5, length=2, pad=1)
    axis.locator_params(axis="x", nbins=3)
    span = tensors["lowest"][direction], tensors["highest"][direction]
    pad = 0.03 * max(span[1] - span[0], 1e-12)
    axis.set_xlim(span[0] - pad, span[1] + pad)
    axis.xaxis.label.set_color(INK)


def _crops(group: Group, pictures: Pictures, shown: np.ndarray) -> list[np.ndarray]:
    """What each image's most excited position sees, at one size, black outside the image."""
    boxes = group.boxes["positive"][shown]
    side = int(max((boxes[..., 2] - boxes[..., 0]).max(), (boxes[..., 3] - boxes[..., 1]).max()))
    rows = []
    for row, direction in zip(boxes, shown, strict=True):
        images = pictures.drawn(group.images["positive"][direction])
        tiles = np.full((len(images), side, side, *images.shape[3:]), 0.5)
        for tile, image, (top, left, bottom, right) in zip(tiles, images, row, strict=True):
            down = (side - (bottom - top)) // 2
            across = (side - (right - left)) // 2
            part = image[top:bottom, left:right]
            tile[down : down + part.shape[0], across : across + part.shape[1]] = part
        rows.append(tiles)
    return rows
