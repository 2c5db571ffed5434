"""Table 5 in a report: the paper's bounds, ours by its formulas and by right ones, its slips."""

from intriguing.report.contents import Contents
from intriguing.report.numbers import number, paper_number
from intriguing.report.section import Section
from intriguing.report.takeaway import NOTHING, Findings, Tile
from intriguing.report.views import Table
from intriguing.results.measured import Metric


def section(contents: Contents) -> Section:
    """The table beside the paper's, and one for every other network."""
    return Section(
        "layers",
        "How far each layer can carry a change",
        "However small a change r of its input, a layer’s output changes by at most its bound "
        "times ‖r‖. “As printed” follows §4.3 of the paper to the letter, “corrected” without its "
        "slips; “at least” was reached, so that the truth lies between.",
        tuple(contents.tables_of("table5", "bounds")),
        contents.run.remarks.get("table5", ()),
    )


def errata(contents: Contents) -> Findings:
    """What becomes of the paper's product, and of ours."""
    table = contents.table("table5")
    mended = [] if table is None else table.where(metric=Metric.MENDED_BOUND)
    whole = next((cell for cell in mended if not cell.layer), None)
    if whole is None or whole.paper is None:
        return NOTHING
    printed, right = paper_number(whole.paper, "norm"), number(whole.value, "norm")
    raised = [
        f"{cell.layer} × {cell.value / (cell.paper or 1.0):.3g}"
        for cell in mended
        if cell.layer and cell.value != cell.paper
    ]
    tile = Tile(right, "is what the paper’s layer bounds multiply to", f"printed {printed}")
    sentence = (
        f"Table 5: the paper’s bounds multiply to {printed}; without the slips of §4.3 "
        f"({', '.join(raised)}) to {right}."
    )
    tables = contents.tables_of("table5", "bounds")
    return Findings((tile,), (sentence, *map(_between, tables)))


def _between(table: Table) -> str:
    """How far the bound of the whole network is from what was reached."""
    upper, lower = (
        table.first(metric=metric, layer="") for metric in (Metric.UPPER_BOUND, Metric.LOWER_BOUND)
    )
    reached = "" if lower is None else f", and {number(lower.value, 'norm')} was reached"
    bound = "none" if upper is None else number(upper.value, "norm")
    name = table.network or "our AlexNet"
    return f"Table 5: the bound of {name} as a whole is {bound}{reached}."
