"""Figure 6: cars, the same cars distorted, and the magnified difference; filters in colour."""

import numpy as np
from matplotlib.figure import Figure

from intriguing.report.contents import Contents, TensorFile, panel
from intriguing.report.figure_style import Drawing, axes, bare, style
from intriguing.report.figures import Panel, mosaic
from intriguing.report.numbers import interval
from intriguing.report.section import Section
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.measured import Metric

METRICS = (
    Metric.ACCURACY, Metric.ACCURACY_DIFFERENCE, Metric.FOOLED, Metric.MEAN_DISTORTION,
)  # fmt: skip


def section(contents: Contents) -> Section:
    """Tables and pictures of Figure 6, where they were made."""
    drawings = [_cars(file) for file in contents.of_kind("figure6")]
    drawings += [_filters(file) for file in contents.of_kind("colour filters")]
    return Section(
        "figure6",
        "An unsupervised network's blind spots",
        "A network learned without labels, from images of anything; a linear classifier on its "
        "last layer learned to tell automobiles. Cars that it knows are moved by as little as the "
        "search can find until it knows them no longer.",
        (*contents.tables_of("figure6", "figure6-transfer"), *drawings),
    )


def blind_spots(contents: Contents) -> Findings:
    """How well the cars are known, and how little hides them."""
    table = contents.table("figure6")
    if table is None:
        return NOTHING
    tiles, said = [], []
    for cells in table.lines():
        known, above, fooled, change = map(cells.get, METRICS)
        if known is None or above is None or fooled is None:
            continue
        tiles.append(
            Tile(f"{known.value:.1f} %", f"right: car or not, {known.network}",
                 f"95 %: {interval(known.low, known.high, known.unit)}")
        )  # fmt: skip
        by = f"{above.value:+.1f} points [{above.low:+.1f}, {above.high:+.1f}]"
        every = "every one" if fooled.count == fooled.total else f"{fooled.count:,}"
        small = f" by a change of {change.value:.4f} a pixel on average" if change else ""
        said.append(
            f"{known.network} tells cars from the rest for {known.value:.1f} % of {known.total:,} "
            f"images, {by} beside the same classifier on raw pixels; {every} of the "
            f"{fooled.total:,} cars that it knows is lost{small}, out of a range of 1."
        )
    return Findings(tuple(tiles), tuple(said))


def cars(pairs: Panel, magnified: float) -> Figure:
    """Three rows: original, distorted, magnified absolute difference."""
    difference = (magnified * np.abs(pairs.distorted - pairs.original)).clip(0.0, 1.0)
    rows = {
        "known": pairs.original,
        "not known": pairs.distorted,
        f"difference\n× {magnified:,.0f}": difference,
    }
    count = len(pairs.original)
    picture = mosaic(np.concatenate(list(rows.values())), count)
    with style():
        figure, axis = axes(1.3 + 0.95 * count, 0.95 * 3 + 0.1)
        bare(axis)
        axis.imshow(picture, interpolation="none")
        height = picture.shape[0] / 3
        axis.set_yticks([height * (i + 0.5) for i in range(3)], list(rows))
        axis.tick_params(length=0)
    return figure


def colour_filters(weights: np.ndarray, across: int = 24) -> Figure:
    """Filters (filter height width 3) in rows, each on its own scale; grey is zero."""
    peaks = np.abs(weights).reshape(len(weights), -1).max(1).clip(1e-12)
    picture = mosaic(0.5 + 0.5 * weights / peaks[:, None, None, None], across, gap=1)
    with style():
        figure, axis = axes(9.2, 9.2 * picture.shape[0] / picture.shape[1] + 0.1)
        bare(axis)
        axis.imshow(picture, interpolation="none")
    return figure


def _cars(file: TensorFile) -> Drawing:
    magnified = float(file.metadata.get("magnified", "10"))
    return Drawing(
        file.name,
        f"Figure 6. {file.metadata['title']}: cars that are known, and the nearest that are not",
        f"Chosen at random among cars that are known; differences × {magnified:,.0f}.",
        "Rows of photographs of cars, their distorted versions, and the magnified difference",
        (f"tensors/{file.name}.safetensors",),
        lambda: cars(panel(file), magnified),
    )


def _filters(file: TensorFile) -> Drawing:
    weights = file.tensors["filters"]
    return Drawing(
        file.name,
        file.metadata["title"],
        "Drawn at random among those whose norm is at least a tenth of the largest; the others "
        "have died, for what they reconstruct others reconstruct already. Every place has filters "
        "of its own. Grey is zero, each filter on its own scale.",
        "Grid of small colour filters",
        (f"tensors/{file.name}.safetensors",),
        lambda: colour_filters(weights),
    )
