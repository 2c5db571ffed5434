"""Cells of folders before version 4, which said what they measure in their names only."""

import re
from collections.abc import Sequence
from dataclasses import replace

from intriguing.results.schema import Cell

_SIZE = r"stddev=([0-9.e+-]+)"


def said_by_names(cells: Sequence[Cell]) -> list[Cell]:
    """The same cells with what their rows and columns say in fields of their own.

    A row is compared whole with the forms that were written, for every network that is a column
    of its table, so that no part of a network's name is taken for another's, or for noise.
    """
    columns: dict[str, set[str]] = {}
    for cell in cells:
        columns.setdefault(cell.table, set()).add(cell.column)
    return [_read(cell, columns[cell.table]) for cell in cells]


def _read(cell: Cell, columns: set[str]) -> Cell:
    if cell.table in ("table2", "table4", "transfer"):
        return _shown(cell, columns)
    if cell.table == "paired":
        method, _, best = cell.row.rpartition(" beside ")
        return replace(cell, network=method, reference=best)
    if cell.table == "path":
        return replace(cell, size=float(cell.column.rpartition("= ")[2]))
    if cell.table == "settings":
        return replace(cell, network=cell.row.partition(":")[0])
    if cell.table == "robust" or cell.table.startswith("robust-"):
        return replace(cell, size=float(cell.row.partition(" ")[0]))
    return cell


def _shown(cell: Cell, columns: set[str]) -> Cell:
    """A network (the column) shown examples of another, or noise."""
    judged = cell.column if cell.unit == "%" else ""
    if noise := re.fullmatch(f"Gaussian noise(?:,| with) {_SIZE}", cell.row):
        return replace(cell, network=judged, condition="noise", size=float(noise[1]))
    for name in columns:
        made_for = re.escape(name)
        if re.fullmatch(rf"(Distorted for )?{made_for}( \(av\. {_SIZE}\))?", cell.row):
            return replace(cell, network=judged, made_for=name, condition="examples")
        longer = re.fullmatch(rf"Distorted for {made_for} amplified to {_SIZE}", cell.row)
        if longer:
            return replace(cell, network=judged, made_for=name, condition="amplified",
                           size=float(longer[1]))  # fmt: skip
    return cell
