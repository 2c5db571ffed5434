"""Tables of figures that are measured row by row: a new row takes the place of an earlier one."""

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from intriguing.files import write_whole


def keep(
    table: Path, row: Mapping[str, object], same: Sequence[str],
    order: Callable[[dict[str, str]], Any],
) -> None:  # fmt: skip
    """Put a row into a CSV file, in place of the one that is equal in the columns `same`."""
    new = {name: str(value) for name, value in row.items()}
    rows = [new]
    if table.exists():
        with table.open(encoding="utf-8", newline="") as file:
            rows += [r for r in csv.DictReader(file) if any(r[name] != new[name] for name in same)]
    text = io.StringIO()
    writer = csv.DictWriter(text, list(new), lineterminator="\n")
    writer.writeheader()
    writer.writerows(sorted(rows, key=order))
    write_whole(table, text.getvalue())
