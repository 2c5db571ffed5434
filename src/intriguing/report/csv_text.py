"""CSV that a spreadsheet opens as text and numbers, never as formulas."""

import csv
import io
import re
from collections.abc import Iterable, Sequence

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?(e[+-]?\d+)?", re.IGNORECASE)


def csv_text(head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A line a row, numbers with every digit they have; an empty field is a missing value.

    A text that a spreadsheet would compute stands behind an apostrophe, which makes it one.

    >>> print(csv_text(("image", "change"), [("=1+1", -0.5), ("-x", None), ("-2", 3)]), end="")
    image,change
    '=1+1,-0.5
    '-x,
    -2,3
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(_cell, head))
    writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if not isinstance(value, str) or not value.lstrip(" ").startswith(_FORMULA):
        return "" if value is None else value
    return value if _NUMBER.fullmatch(value) else f"'{value}"
