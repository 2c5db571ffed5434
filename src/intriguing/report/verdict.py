"""What a comparison of methods comes to: which is shortest, by how much, and at what cost."""

from intriguing.report.contents import Contents
from intriguing.report.numbers import interval, number
from intriguing.report.tables import Table
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.schema import Cell


def best_method(contents: Contents) -> str | None:
    """The method that is most often shortest: the one that the pairs are beside."""
    pairs = contents.tables.get("paired")
    return next((cell.reference for cell in pairs.cells.values()), None) if pairs else None


def verdict(contents: Contents) -> Findings:
    """The headline of a comparison; empty before there is one."""
    best = best_method(contents)
    if best is None:
        return NOTHING
    methods, pairs = contents.tables["compare"], contents.tables["paired"]
    others = [method for method in methods.rows if method != best]
    return Findings(
        tuple(_tiles(methods, pairs, best)),
        (
            _shortest(methods, best, others),
            *_longer(pairs, best),
            _not_found(methods),
            _losses(contents, best),
        ),
    )


def _tiles(methods: Table, pairs: Table, best: str) -> list[Tile]:
    tiles = []
    if shortest := methods.at(best, "Shortest"):
        tiles.append(
            Tile(
                number(shortest.ours, "%"),
                f"of images on which {best} is shortest",
                _span(shortest),
            )
        )
    behind = [cell for row in pairs.rows if (cell := pairs.at(row, "Mean relative difference"))]
    if behind:
        second = max(behind, key=lambda cell: (cell.count, -cell.ours))
        words = f"length of {second.row}, the next, on average"
        tiles.append(Tile(number(second.ours, "% more"), words, _span(second)))
    if cost := methods.at(best, "Passes"):
        tiles.append(Tile(number(cost.ours, "passes"), f"passes an image for {best}", _span(cost)))
    if proved := methods.at(best, "Proved optimal"):
        tiles.append(Tile(number(proved.ours, "%"), "of images proved optimal", _span(proved)))
    return tiles


def _span(cell: Cell) -> str:
    span = interval(cell.low, cell.high, cell.unit)
    return f"95 %: {span}" if span else ""


def _shortest(methods: Table, best: str, others: list[str]) -> str:
    cells = {method: methods.at(method, "Shortest") for method in (best, *others)}
    parts = [f"{m} on {cell.count:,}" for m, cell in cells.items() if cell and m != best]
    first = cells[best]
    count = f"{first.count:,} of {first.total:,}" if first else "the most"
    return f"{best} is shortest, up to 0.1 %, on {count} images; {', '.join(parts)}."


def _longer(pairs: Table, best: str) -> list[str]:
    said = []
    for row in pairs.rows:
        cell = pairs.at(row, "Mean relative difference")
        if cell is not None:
            some = "" if cell.count == cell.total else f" over {_images(cell.count)}"
            span = interval(cell.low, cell.high, cell.unit)
            said.append(
                f"{cell.network} {number(cell.ours, cell.unit)}{f' ({span})' if span else ''}{some}"
            )
    if not said:
        return []
    return [
        f"Length beside {best}’s, on average over the images that both found, with its 95 % "
        f"interval: {'; '.join(said)}."
    ]


def _not_found(methods: Table) -> str:
    cells = [cell for method in methods.rows if (cell := methods.at(method, "Found"))]
    failed = [
        f"{cell.row} {cell.total - cell.count:,}" for cell in cells if cell.count < cell.total
    ]
    if not failed:
        return "Every method found an adversarial example for every image."
    return f"Images without an adversarial example: {', '.join(failed)}; others none."


def _losses(contents: Contents, best: str) -> str:
    lost = sum(loss.method == best for loss in contents.losses)
    if not lost:
        return f"{best} loses no image to another method."
    return f"{best} loses {_images(lost)} to another method; the report lists them."


def _images(count: int) -> str:
    return f"{count:,} image{'' if count == 1 else 's'}"
