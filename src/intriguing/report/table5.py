"""Table 5 in a report: the paper's bounds, ours by its formulas and by right ones, its slips."""

from intriguing.report.contents import Contents
from intriguing.report.numbers import number, paper_number
from intriguing.report.section import Section
from intriguing.report.tables import Table
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.results.schema import Cell

WHOLE = ("Product", "Whole network")


def section(contents: Contents) -> Section:
    """The table beside the paper's, and one for every other network."""
    return Section(
        "layers",
        "How far each layer can carry a change",
        "However small a change r of its input, a layer’s output changes by at most its bound "
        "times ‖r‖. “As printed” follows §4.3 of the paper to the letter, “corrected” without its "
        "slips; “at least” was reached, so that the truth lies between.",
        tuple(_tables(contents)),
        tuple(note for note in contents.run.notes if note.startswith("Table 5")),
    )


def slips(contents: Contents) -> Findings:
    """What becomes of the paper's product, and of ours."""
    table = contents.tables.get("table5")
    whole = None if table is None else table.at("Product", "Paper, mended")
    if table is None or whole is None or whole.paper is None:
        return NOTHING
    printed, right = paper_number(whole.paper, "norm"), number(whole.ours, "norm")
    raised = [
        f"{row.split(':')[0]} × {cell.ours / (cell.paper or 1.0):.3g}"
        for row in table.rows[:-1]
        if (cell := table.at(row, "Paper, mended")) and cell.ours != cell.paper
    ]
    tile = Tile(right, "is what the paper’s layer bounds multiply to", f"printed {printed}")
    sentence = (
        f"Table 5: the paper’s bounds multiply to {printed}; without the slips of §4.3 "
        f"({', '.join(raised)}) to {right}."
    )
    return Findings((tile,), (sentence, *(_between(one) for one in _tables(contents))))


def _tables(contents: Contents) -> list[Table]:
    return [table for name, table in contents.tables.items() if name.startswith("table5")]


def _between(table: Table) -> str:
    """How far the bound of the whole network is from what was reached."""
    name = table.title.partition(": ")[2] or "our AlexNet"
    upper, lower = (_whole(table, column) for column in ("Corrected", "At least"))
    reached = "" if lower is None else f", and {number(lower.ours, 'norm')} was reached"
    bound = "none" if upper is None else number(upper.ours, "norm")
    return f"Table 5: the bound of {name} as a whole is {bound}{reached}."


def _whole(table: Table, column: str) -> Cell | None:
    return next((cell for row in WHOLE if (cell := table.at(row, column))), None)
