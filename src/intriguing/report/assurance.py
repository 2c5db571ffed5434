"""What a certification comes to: how far images are safe, how far that is from what was found."""

import math

from intriguing.report.certified import Certified
from intriguing.report.contents import Contents
from intriguing.report.numbers import number
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.report.views import Cell, Table
from intriguing.results.measured import Metric

_CLOSED = 0.01
"""Share of the distance found that may be left where a minimum distortion counts as known."""


def grounds(contents: Contents) -> tuple[str, bool]:
    """What the certificates rest on, and whether it is proved."""
    words = next((file.metadata for file in contents.of_kind("certificate")), {})
    formula, table = words.get("formula", ""), contents.table("certify")
    if formula and table is not None and any(Metric.PROVED in cells for cells in table.lines()):
        formula += ", and of branch and bound over what enters its activations, in the box"
    return formula, words.get("guaranteed") == "yes"


def assurance(contents: Contents) -> Findings:
    """The headline of a certification; empty before there is one."""
    table = contents.table("certify")
    images = next(iter(contents.certified.values()), None)
    if table is None or images is None:
        return NOTHING
    cells, searched = table.lines()[0], images.searched
    root = math.sqrt(images.pixels)
    return Findings(
        tuple(_tiles(cells, root, searched, images.bad)),
        (
            _certified(contents, cells, root, refuted=bool(images.bad)),
            *(how_close(cells, root) if searched else ["No adversarial examples were looked for."]),
            *_between(contents.table("robust"), searched),
            *(_sound(images) if searched else []),
        ),
        _alarms(images),
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


def how_close(cells: dict[Metric, Cell], root: float) -> list[str]:
    """How far the examples are, and what of that is certified."""
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
    left = "whether an example lies in what is left is not known"
    if ratio.value >= 1 - _CLOSED:
        left = (
            "so that the minimum distortion of half of them is known to within "
            f"{number(100 * (1 - ratio.value), '%')}"
        )
    return [
        f"{said}; of the distance found, {number(100 * ratio.value, '%')} is certified (median "
        f"over the images); {left}."
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


def _sound(images: Certified) -> list[str]:
    if images.bad:
        return []
    said = f"on any of the {images.reached:,} images that have one"
    return [f"No example is closer than certified, {said}."]


def _alarms(images: Certified) -> tuple[str, ...]:
    if images.worst is None:
        return ()
    name, certified, found = images.worst
    return (
        f"{images.bad:,} image{'s have' if images.bad > 1 else ' has'} an adversarial example "
        f"closer than certified, for instance {name}: certified {certified:.6g}, found "
        f"{found:.6g}. A bound is wrong; please report it with this folder, and do not rely on "
        "these certificates.",
    )
