"""What a certification comes to: how far images are safe, how far that is from what was found."""

import math

import numpy as np

from intriguing.report.contents import Contents
from intriguing.report.numbers import number
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.report.views import Cell, Table
from intriguing.results.measured import Metric


def violations(contents: Contents) -> np.ndarray:
    """Rows of images with an adversarial example closer than certified: there must be none.

    But for the last digits of a float32, in which both are kept.
    """
    columns = contents.certificates
    allowed = columns["found"] * (1 + 8 * np.finfo(np.float32).eps)
    rows: np.ndarray = (columns["certified"] > allowed).nonzero()[0]
    return rows


def grounds(contents: Contents) -> tuple[str, bool]:
    """What the certificates rest on, and whether it is proved."""
    words = next((file.metadata for file in contents.of_kind("certificate")), {})
    return words.get("formula", ""), words.get("guaranteed") == "yes"


def assurance(contents: Contents) -> Findings:
    """The headline of a certification; empty before there is one."""
    table = contents.table("certify")
    columns = contents.certificates
    if table is None or not len(columns["label"]):
        return NOTHING
    cells = table.lines()[0]
    searched = not np.isnan(columns["found"]).all()
    bad = violations(contents)
    root = math.sqrt(columns["pixels"][0])
    return Findings(
        tuple(_tiles(cells, root, searched, len(bad))),
        (
            _certified(contents, cells, root, refuted=bool(len(bad))),
            *(_found(cells, root) if searched else ["No adversarial examples were looked for."]),
            *_between(contents.table("robust"), searched),
            *(_sound(contents, len(bad)) if searched else []),
        ),
        _alarms(contents, bad),
    )


def _tiles(cells: dict[Metric, Cell], root: float, searched: bool, bad: int) -> list[Tile]:
    tiles = []
    if certified := cells.get(Metric.MEDIAN_CERTIFIED):
        beside = _distortion(certified, root)
        tiles.append(Tile(number(certified.value, "l2"), "certified for the median image", beside))
    if found := cells.get(Metric.MEDIAN_L2):
        beside = _distortion(found, root)
        tiles.append(Tile(number(found.value, "l2"), "found for the median image", beside))
    if ratio := cells.get(Metric.CERTIFIED_RATIO):
        tiles.append(
            Tile(number(ratio.value, "ratio"), "of the distance found is certified, median")
        )
    if searched:
        tiles.append(Tile(f"{bad:,}", "images found closer than certified", "must be 0"))
    if clean := cells.get(Metric.ACCURACY):
        tiles.append(Tile(number(clean.value, "%"), "classified correctly as they are"))
    return tiles


def _distortion(cell: Cell, root: float) -> str:
    """An L2 length in the paper's units; `root` is √n."""
    return f"distortion {number(cell.value / root, 'distortion')}"


def _certified(contents: Contents, cells: dict[Metric, Cell], root: float, refuted: bool) -> str:
    clean, median = cells[Metric.ACCURACY], cells.get(Metric.MEDIAN_CERTIFIED)
    formula, guaranteed = grounds(contents)
    start = f"{clean.count:,} of {clean.total:,} images are classified correctly."
    if median is None:
        return f"{start} So there is nothing to certify."
    if refuted:
        return f"{start} What is certified of them is refuted."
    if median.value == 0:
        return (
            f"{start} Nothing is certified: no finite bound of the network is known; `intriguing "
            "spectrum` names the operation that has none, and what can be done."
        )
    proof = "This is proved" if guaranteed else "This is not proved: a bound it uses is not"
    return (
        f"{start} Half of these are safe from every change shorter than "
        f"{number(median.value, 'l2')} in L2 ({_distortion(median, root)}). {proof} ({formula})."
    )


def _found(cells: dict[Metric, Cell], root: float) -> list[str]:
    found, ratio = cells.get(Metric.MEDIAN_L2), cells.get(Metric.CERTIFIED_RATIO)
    if Metric.MEDIAN_CERTIFIED not in cells:
        return []
    if found is None:
        return ["For half of the images or more no adversarial example was found."]
    said = (
        f"The closest adversarial example found lies at {number(found.value, 'l2')} "
        f"({_distortion(found, root)}) for the median image"
    )
    if ratio is None or not 0 < ratio.value <= 1:
        return [f"{said}."]
    return [
        f"{said}; of the distance found, {number(100 * ratio.value, '%')} is certified (median "
        "over the images); whether an example lies in what is left is not known."
    ]


def _between(table: Table | None, searched: bool) -> list[str]:
    """Both accuracies at an ε in the middle, where something is certified."""
    if table is None:
        return []
    certified = [cell for cell in table.where(metric=Metric.CERTIFIED) if cell.value > 0]
    if len(certified) < 2:
        return []
    cell = certified[-1] if not searched else certified[len(certified) // 2]
    attacked = table.first(metric=Metric.WITHSTOOD, size=cell.size)
    epsilon = f"{cell.size:g}"
    sure = number(cell.value, "%")
    if attacked is None:
        return [
            f"Against every change of at most ε = {epsilon}, {sure} of the images are certified."
        ]
    return [
        f"Against every change of at most ε = {epsilon}, accuracy is at least {sure} (certified) "
        f"and at most {number(attacked.value, '%')} (what the attack leaves)."
    ]


def _sound(contents: Contents, bad: int) -> list[str]:
    if bad:
        return []
    total = int(np.isfinite(contents.certificates["found"]).sum())
    return [f"No example is closer than certified, on any of the {total:,} images that have one."]


def _alarms(contents: Contents, bad: np.ndarray) -> tuple[str, ...]:
    if not len(bad):
        return ()
    columns = contents.certificates
    worst = bad[np.argmax(columns["certified"][bad] - columns["found"][bad])]
    return (
        f"{len(bad):,} image{'s have' if len(bad) > 1 else ' has'} an adversarial example closer "
        f"than certified, for instance {columns['image_id'][worst]}: certified "
        f"{columns['certified'][worst]:.6g}, found {columns['found'][worst]:.6g}. A bound is "
        "wrong; please report it with this folder, and do not rely on these certificates.",
    )


def share_of_found(certified: np.ndarray, found: np.ndarray) -> np.ndarray:
    """certified / found of each image; NaN where it says nothing (nothing found, or at 0)."""
    with np.errstate(invalid="ignore", divide="ignore"):
        known = np.isfinite(found) & (found > 0)
        return np.where(known, certified / found, math.nan)
