"""The paper's numbers, read from published.toml."""

import math
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from intriguing.errors import InputError


@dataclass(frozen=True)
class PublishedTable:
    """A table as the paper prints it; `values[row][column]` in the unit of the column."""

    name: str
    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    units: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]

    def at(self, row: str, column: str) -> float | None:
        """The printed value; None where there is none."""
        if row not in self.rows or column not in self.columns:
            return None
        value = self.values[self.rows.index(row)][self.columns.index(column)]
        return None if math.isnan(value) else value


@dataclass(frozen=True)
class PublishedPanel:
    """One panel of Figure 7: what its even columns show, and the accuracy on it in percent."""

    letter: str
    row: str
    stddev: float
    accuracy: float


def published_table(name: str) -> PublishedTable:
    """Table "table1" … "table5" of the paper.

    >>> published_table("table1").at("FC100-100-10", "Test error")
    1.64
    """
    if not name.startswith("table") or name not in _published():
        known = ", ".join(key for key in _published() if key.startswith("table"))
        raise InputError(f"the paper has no {name!r}; one of {known}")
    content = _published()[name]
    return PublishedTable(
        name=name,
        title=content["title"],
        rows=tuple(content["rows"]),
        columns=tuple(content["columns"]),
        units=tuple(content["units"]),
        values=tuple(tuple(float(v) for v in row) for row in content["values"]),
    )


def published_figure7() -> tuple[PublishedPanel, ...]:
    """The panels of Figure 7."""
    return tuple(PublishedPanel(**panel) for panel in _published()["figure7"]["panels"])


def published_numbers(name: str) -> dict[str, float]:
    """The numbers of a caption or of the text: "figure5" or "hardening".

    >>> published_numbers("figure5")["images"]
    64
    """
    content = _published()[name]
    return {key: value for key, value in content.items() if not isinstance(value, str)}


@cache
def _published() -> dict[str, Any]:
    text = files("intriguing.results").joinpath("published.toml").read_text(encoding="utf-8")
    return tomllib.loads(text)
