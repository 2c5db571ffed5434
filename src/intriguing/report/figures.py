"""Figures made of images: Figure 7, the autoencoder's filters, and an attack's first few images.

What is drawn from a tensors file is said by its metadata's `kind`:

* "panel"    tensors `original`, `distorted` (images); metadata `title`, optionally `letter`
* "filters"  tensor `filters` (filters height width); metadata `title`
* "gallery"  tensors `original`, `distorted` (images); metadata `title`, optionally `labels`
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from intriguing.report.figure_style import (
    LINE,
    MUTED,
    axes,
    bare,
    characters,
    folded,
    label,
    style,
)

_ACROSS = 7.6
"""Inches that a page has for pictures beside each other."""


@dataclass(frozen=True)
class Panel:
    """Pairs of images, pixels in [0, 1]; `words` may hold one line of text a pair."""

    title: str
    original: np.ndarray
    distorted: np.ndarray
    words: tuple[str, ...] = ()


def figure7(panels: Sequence[Panel]) -> Figure:
    """Panels side by side, odd columns the originals and even columns the distorted (Figure 7)."""
    pairs = min(len(panel.original) for panel in panels)
    across = max(1, round(math.sqrt(pairs / 2)))
    down = max(1, pairs // across)
    with style():
        figure, grid = axes(
            3.1 * len(panels), 3.1 * down / (2 * across) + 0.6, len(panels), squeeze=False
        )
        for axis, panel in zip(grid[0], panels, strict=True):
            columns = [
                images[column * down : (column + 1) * down]
                for column in range(across)
                for images in (panel.original, panel.distorted)
            ]
            tiles = np.stack([images[: across * down] for images in columns], axis=1)
            _picture(axis, mosaic(tiles.reshape(-1, *tiles.shape[2:]), 2 * across), 0.0, 1.0)
            axis.set_title(label(panel.title, 90).replace(", ", "\n", 1), fontsize=8.5)
    return figure


def filters(weights: np.ndarray, count: int = 100) -> Figure:
    """First-layer filters, each on its own symmetric grey scale: grey is 0, white is positive.

    The filters with the largest norm are shown, so that dead ones do not fill the picture.
    """
    norms = np.sqrt((weights.reshape(len(weights), -1) ** 2).sum(1))
    shown = weights[np.sort(np.argsort(-norms)[:count])]
    peaks = np.abs(shown).reshape(len(shown), -1).max(1).clip(1e-12)
    scaled = shown / peaks[:, None, None]
    across = math.ceil(math.sqrt(len(shown) * 2))
    with style():
        figure, axis = axes(9.2, 9.2 * math.ceil(len(shown) / across) / across + 0.1)
        _picture(axis, mosaic(scaled, across), -1.0, 1.0)
    return figure


def gallery(panel: Panel) -> Figure:
    """Columns of original, difference × 10 (grey is 0, as in Figure 5), and adversarial image."""
    difference = 0.5 + 10.0 * (panel.distorted - panel.original)
    rows = (
        ("original", panel.original),
        ("difference × 10", difference.clip(0.0, 1.0)),
        ("adversarial", panel.distorted),
    )
    count = len(panel.original)
    unit = min(max(_ACROSS / count, 0.85), 1.9)  # where there are few, larger ones
    said = [_under(words, unit) for words in panel.words[:count]]
    lines = max((words.count("\n") + 1 for words in said), default=0)
    tall = unit * min(max(panel.original.shape[1] / panel.original.shape[2], 0.5), 2.0)
    with style():
        figure, axis = axes(1.6 + unit * count, 3 * tall + 0.25 + LINE * lines)
        stacked = np.concatenate([images for _, images in rows])
        picture = mosaic(stacked, count)
        _picture(axis, picture, 0.0, 1.0)
        height, width = picture.shape[0] / 3, picture.shape[1] / count
        axis.set_yticks([height * (i + 0.5) for i in range(3)], [name for name, _ in rows])
        axis.tick_params(length=0)
        for index, words in enumerate(said):
            axis.annotate(
                words, ((index + 0.5) * width, picture.shape[0]), (0, -3),
                textcoords="offset points", annotation_clip=False, ha="center", va="top",
                fontsize=8, color=MUTED,
            )  # fmt: skip
    return figure


def _under(words: str, inches: float) -> str:
    """ "3 → 8" in a line; long names of classes in lines of their own."""
    if len(words) <= characters(inches):
        return label(words)
    parts = label(words, 160).replace(" → ", "\n→ ").split("\n")
    return "\n".join(folded(part, inches) for part in parts)


def mosaic(
    tiles: np.ndarray, across: int, gap: int = 2, gap_value: float | None = None
) -> np.ndarray:
    """Images (tile height width) or (tile height width 3) in rows, nothing between."""
    down = math.ceil(len(tiles) / across)
    height, width = tiles.shape[1:3]
    picture = np.full(
        (down * (height + gap) - gap, across * (width + gap) - gap, *tiles.shape[3:]),
        (np.nan if tiles.ndim == 3 else 1.0) if gap_value is None else gap_value,
    )
    for index, tile in enumerate(tiles):
        top, left = index // across * (height + gap), index % across * (width + gap)
        picture[top : top + height, left : left + width] = tile
    return picture


def as_pictures(images: np.ndarray) -> np.ndarray:
    """(image channel height width), (image height width) or (image pixels) as matplotlib's."""
    if images.ndim == 2:
        side = math.isqrt(images.shape[1])
        return (
            images.reshape(len(images), side, side)
            if side**2 == images.shape[1]
            else (images[:, None, :])
        )
    if images.ndim == 4:
        return images[:, 0] if images.shape[1] == 1 else np.moveaxis(images[:, :3], 1, -1)
    return images


def _picture(axis: Axes, picture: np.ndarray, low: float, high: float) -> None:
    bare(axis)
    axis.imshow(picture, cmap="gray", vmin=low, vmax=high, interpolation="none")
