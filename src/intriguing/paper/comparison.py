"""How far our tables agree with the paper's as a whole."""

from collections.abc import Sequence

from intriguing.measures import spearman
from intriguing.results.published import paper_value
from intriguing.results.rows import Measurement, where


def rank_agreement(rows: Sequence[Measurement], table: str) -> float:
    """Spearman's rank correlation of our off-diagonal errors of a table with the paper's.

    Off the diagonal are the errors of one network on the examples made for another: neither a
    network's own examples nor noise.

    Args:
        rows: Of any analyses; of several seeds the first counts.
        table: "table2" or "table4".

    Returns:
        The correlation; NaN when there are fewer than two such errors or all are equal.
    """
    compared = [
        (row.value, paper)
        for row in where(rows, analysis=table, transferred=True)
        if row.seed in (None, 0) and (paper := paper_value(row)) is not None
    ]
    if len(compared) < 2:
        return float("nan")
    ours, theirs = zip(*compared, strict=True)
    return spearman(ours, theirs)
