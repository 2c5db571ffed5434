"""How far our tables agree with the paper's as a whole."""

from collections.abc import Sequence

from intriguing.measures import spearman
from intriguing.results.schema import Cell


def rank_agreement(cells: Sequence[Cell], table: str) -> float:
    """Spearman's rank correlation of our off-diagonal cells of a table with the paper's.

    Off the diagonal are the errors of one network on the examples made for another: neither a
    network's own examples nor noise.

    Args:
        cells: Of any tables.
        table: "table2" or "table4".

    Returns:
        The correlation; NaN when there are fewer than two such cells or all are equal.
    """
    compared = [
        (cell.ours, cell.paper)
        for cell in cells
        if cell.table == table and cell.paper is not None and cell.transferred
    ]
    if len(compared) < 2:
        return float("nan")
    ours, theirs = zip(*compared, strict=True)
    return spearman(ours, theirs)
