"""The page of images that mean nothing: how many reach each class, and what they look like."""

import json
import math

from matplotlib.figure import Figure

from intriguing.report.contents import Contents, TensorFile
from intriguing.report.figure_style import MUTED, Drawing, axes, bare, label, style
from intriguing.report.figures import as_pictures
from intriguing.report.numbers import number
from intriguing.report.section import MEASURED, Part, Section
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.measured import Metric, where


def outcome(contents: Contents) -> Findings:
    """How many are read with confidence, and by how many others."""
    own = where(contents.measured, analysis="fool", metric=Metric.BECAME)
    if not own:
        return NOTHING
    confidence = 100 * contents.run.config["confidence"]
    said, tiles = [], []
    for row in own:
        words = f"of images that begin as {_begun(row.setting)} are read with {confidence:g} %"
        tiles.append(Tile(number(row.value, "%"), words, f"{row.total:,} images"))
        said.append(
            f"{row.network} reads {row.count:,} of {row.total:,} images that begin as "
            f"{_begun(row.setting)} as the class asked for, with {confidence:g} % confidence."
        )
    for row in where(contents.measured, analysis="fool", metric=Metric.AGREEMENT):
        said.append(
            f"{row.network} reads {row.count:,} of {row.total:,} of those that began as "
            f"{_begun(row.setting)} as the same class, with whatever confidence."
        )
    return Findings(tuple(tiles), tuple(said))


def _begun(start: str) -> str:
    return "flat gray" if start == "flat" else start


def _pictures(contents: Contents) -> Section:
    drawings = tuple(_drawing(file) for file in contents.of_kind("nonsense"))
    return Section(
        "pictures", "What it reads", "Under each, the class that it is read as, and what it was.",
        (*contents.tables_of("fool"), *drawings),
    )  # fmt: skip


def _drawing(file: TensorFile) -> Drawing:
    return Drawing(
        file.name, file.metadata["title"], "Pixels run from 0, black, to 1.",
        "Images that mean nothing, each with its class",
        (f"tensors/{file.name}.safetensors", MEASURED), lambda: pictures(file),
    )  # fmt: skip


def pictures(file: TensorFile) -> Figure:
    """A picture a class, in rows by where they began."""
    images, words = as_pictures(file.tensors["images"]), json.loads(file.metadata["words"])
    across = int(file.metadata["across"])
    down = math.ceil(len(images) / across)
    with style():
        figure, grid = axes(0.95 * max(across, 4), 1.25 * down, across, down, squeeze=False)
        for axis, image, said in zip(grid.flat, images, words, strict=False):
            bare(axis)
            axis.imshow(image, cmap="gray", vmin=0, vmax=1, interpolation="none")
            axis.set_xlabel("\n".join(map(label, said.split(", "))), fontsize=7.5, color=MUTED)
        for axis in grid.flat[len(images) :]:
            axis.set_visible(False)
    return figure


PARTS: tuple[Part, ...] = (_pictures,)
