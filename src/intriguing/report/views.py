"""Tables as views of measurements: which is a row, which a column, and what people call them.

Labels come into being here and are only shown: whoever looks for a value asks for what it is about.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from intriguing.results.measured import Measurement, Metric, first, where
from intriguing.results.published import paper_value

Key: TypeAlias = tuple[object, ...]
"""What a row, or a column, is about: values of fields of its measurements."""
Labels: TypeAlias = Mapping[Key, str]
"""By the beginning of a key, a label with {fields} of the measurement."""


@dataclass(frozen=True)
class Cell(Measurement):
    """A measurement in its place in a table, beside the paper's.

    Attributes:
        row, column: What people call its place.
        paper: The paper's value, None where it gives none.
        seeds: How many seeds were run.
        seed_low, seed_high: Least and greatest value over the seeds; None for one seed.
    """

    row: str = ""
    column: str = ""
    paper: float | None = None
    seeds: int = 1
    seed_low: float | None = None
    seed_high: float | None = None


@dataclass(frozen=True)
class Table:
    """Cells of one analysis by what their row and column are about, in the order of the view.

    Attributes:
        name: Of its files.
        heading: "Table 2", or a word; the title without the rest.
        rows, columns: Labels by key.
    """

    analysis: str
    network: str
    name: str
    heading: str
    title: str
    corner: str
    rows: Mapping[Key, str]
    columns: Mapping[Key, str]
    cells: Mapping[tuple[Key, Key], Cell]

    def at(self, row: Key, column: Key) -> Cell | None:
        """The cell, or None where the table has a hole."""
        return self.cells.get((row, column))

    def where(self, **about: object) -> list[Cell]:
        """The cells whose fields are these, row by row."""
        cells = (self.at(row, column) for row in self.rows for column in self.columns)
        return where((cell for cell in cells if cell is not None), **about)

    def first(self, **about: object) -> Cell | None:
        """The first of them; None where there is none."""
        return first(self.where(**about))

    def lines(self) -> list[dict[Metric, Cell]]:
        """The cells of each row by what they measure, of several the first."""
        backward = list(self.columns)[::-1]
        return [
            {cell.metric: cell for column in backward if (cell := self.at(row, column))}
            for row in self.rows
        ]

    @property
    def has_paper(self) -> bool:
        """Whether any cell has a published value to compare with."""
        return any(cell.paper is not None for cell in self.cells.values())

    @property
    def has_intervals(self) -> bool:
        """Whether any cell is an estimate."""
        return any(cell.low is not None for cell in self.cells.values())


More: TypeAlias = Callable[[Measurement, Sequence[Measurement]], dict[str, Any]]


@dataclass(frozen=True)
class View:
    """How the measurements of one analysis are laid out.

    Attributes:
        title: Of the table; after `heading`, where it has one.
        corner: What its rows are.
        columns: What is shown, in this order, and how it is called.
        row, column: Fields that tell rows, and columns, apart.
        labels: Of rows.
        each: Whether every network has a table of its own, named after it where there are several.
        file: Name of the files; the analysis where it is empty.
        more: What labels say besides fields, from a measurement and all of its analysis.
    """

    title: str
    corner: str
    columns: Labels
    heading: str = ""
    row: tuple[str, ...] = ("network",)
    column: tuple[str, ...] = ("metric",)
    labels: Labels = field(default_factory=lambda: {(): "{network}"})
    each: bool = False
    file: str = ""
    more: More = lambda row, rows: {}

    def tables(self, analysis: str, rows: Sequence[Measurement]) -> list[Table]:
        """The analysis as a table, or as one for each network."""
        if not self.each:
            return [self._table(analysis, "", rows)]
        networks = dict.fromkeys(row.network for row in rows)
        alone = len(networks) == 1 and not self.file
        return [
            self._table(analysis, "" if alone else name, where(rows, network=name))
            for name in networks
        ]

    def _table(self, analysis: str, network: str, rows: Sequence[Measurement]) -> Table:
        lines: dict[Key, str] = {}
        heads: dict[Key, tuple[int, str]] = {}
        members: dict[tuple[Key, Key], list[Measurement]] = {}
        order = list(self.columns)
        for one in rows:
            line, head = _key(one, self.row), _key(one, self.column)
            begun = _beginning(head, self.columns)
            if begun is None:
                continue
            said = {**vars(one), **self.more(one, rows)}
            if line not in lines:
                lines[line] = self.labels[_beginning(line, self.labels) or ()].format(**said)
            if head not in heads:
                heads[head] = order.index(begun), self.columns[begun].format(**said)
            members.setdefault((line, head), []).append(one)
        columns = {head: label for head, (_, label) in sorted(heads.items(), key=_place)}
        cells = {
            (line, head): _cell(some, lines[line], columns[head])
            for (line, head), some in members.items()
        }
        name = self.file or analysis
        title = f"{self.heading}. {self.title}" if self.heading else self.title
        return Table(
            analysis, network, f"{name}-{network}" if network else name,
            self.heading or self.title, f"{title}: {network}" if network else title, self.corner,
            lines, columns, cells,
        )  # fmt: skip


def _key(row: Measurement, names: Sequence[str]) -> Key:
    return tuple(getattr(row, name) for name in names)


def _beginning(key: Key, labels: Labels) -> Key | None:
    """The longest beginning of a key that has a label."""
    return next((key[:n] for n in range(len(key), -1, -1) if key[:n] in labels), None)


def _place(item: tuple[Key, tuple[int, str]]) -> int:
    return item[1][0]


def _cell(members: Sequence[Measurement], row: str, column: str) -> Cell:
    """What stands for several seeds: the value over all, or the first seed's, and the range."""
    shown = first(members, seed=None) or members[0]
    seeds = {one.seed: one.value for one in members if one.seed is not None}
    several = list(seeds.values()) if len(seeds) > 1 else []
    return Cell(
        **vars(shown), row=row, column=column, paper=paper_value(shown), seeds=len(several) or 1,
        seed_low=min(several, default=None), seed_high=max(several, default=None),
    )  # fmt: skip
