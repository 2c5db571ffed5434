"""Tables of figures that are measured row by row: a new row takes the place of an earlier one."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intriguing.files import write_whole


def keep(
    table: Path, row: Mapping[str, object], same: Sequence[str],
    order: Callable[[dict[str, str]], Any] | None = None,
) -> None:  # fmt: skip
    """Put a row into a CSV file, in place of the one that is equal in the columns `same`.

    It stands there, or where there is none at the end, unless rows have an order.
    """
    new = {name: str(value) for name, value in row.items()}
    rows: dict[tuple[str, ...], dict[str, str]] = {}
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            rows = {tuple(old[name] for name in same): old for old in csv.DictReader(file)}
    rows[tuple(new[name] for name in same)] = new
    text = io.StringIO()
    writer = csv.DictWriter(text, list(new), lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows.values(), key=order) if order else rows.values())
    write_whole(table, text.getvalue())
