"""A table of the paper from its cells: in the terminal, as LaTeX and as CSV, beside the paper."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich import box
from rich.table import Table as TerminalTable
from rich.text import Text

from intriguing.names import file_name, visible
from intriguing.report.csv_text import csv_text
from intriguing.report.numbers import interval, number, paper_number
from intriguing.results.schema import Cell


@dataclass(frozen=True)
class Table:
    """Cells of one table under their row and column names, both in the paper's order."""

    name: str
    title: str
    corner: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]

    def at(self, row: str, column: str) -> Cell | None:
        """The cell, or None where the table has a hole."""
        return self.cells.get((row, column))

    @property
    def has_paper(self) -> bool:
        """Whether any cell has a published value to compare with."""
        return any(cell.paper is not None for cell in self.cells.values())

    @property
    def has_intervals(self) -> bool:
        """Whether any cell is an estimate."""
        return any(cell.low is not None for cell in self.cells.values())


TITLES = {
    "table1": ("Table 1. Error, and how little it takes to fool every image", "Network"),
    "table2": ("Table 2. Cross-model generalization of adversarial examples", "Distorted for"),
    "table3": ("Table 3. Networks trained on two disjoint halves, before distortion", "Network"),
    "table4": ("Table 4. Cross-training-set generalization of adversarial examples", ""),
    "table5": (
        "Table 5. How many times longer each layer can make a change",
        "Layer: size /stride",
    ),
    "figure6": ("Figure 6. Automobile or not, by unsupervised features", "Network"),
    "attack": ("Minimum distortion", "Network"),
    "accuracy": ("Accuracy on the images as they are", "Network"),
    "noise": ("How many images are fooled", "Network"),
    "target": ("Made one class, as 8-bit images", "Network"),
    "compare": ("Every method on the same images", "Method"),
    "paired": ("Image by image beside the method that is most often shortest", ""),
    "transfer": ("Transfer. Error each network makes on examples made for another", ""),
    "train": ("Error of the trained network", "Network"),
    "path": ("Coherence on the way from the units (α = 0) to a random rotation (α = 1)", "Layer"),
    "certify": ("What is certified, and what is found", "Network"),
    "hardening": ("One network, trained in each way", "Training"),
    "penalty": ("The spectral penalty by its weight", "Weight"),
    "masking": ("What fools the networks without their gradients", "Training"),
    "claims": ("The paper's sentences as differences of test errors", "Claim"),
    "settings": ("Settings by validation error", "Training: settings"),
    "robust": ("Accuracy against every change of at most ε, in L2", "ε (as distortion)"),
}


def gather(cells: Iterable[Cell]) -> list[Table]:
    """The tables these cells belong to, sorted by name, rows and columns in the paper's order."""
    of_table: dict[str, list[Cell]] = {}
    for cell in cells:
        of_table.setdefault(cell.table, []).append(cell)
    return [_table(name, members) for name, members in sorted(of_table.items())]


def _table(name: str, cells: Sequence[Cell]) -> Table:
    rows = dict.fromkeys(c.row for c in sorted(cells, key=lambda c: c.row_order))
    columns = dict.fromkeys(c.column for c in sorted(cells, key=lambda c: c.column_order))
    family, _, network = name.partition("-")
    title, corner = TITLES.get(family, (name, ""))
    title = f"{title}: {network}" if network else title
    by_place = {(cell.row, cell.column): cell for cell in cells}
    return Table(name, title, corner, tuple(rows), tuple(columns), by_place)


def to_terminal(table: Table, width: int = 100) -> list[TerminalTable]:
    """Each cell: ours, its 95 % interval, the paper's value, and the spread over seeds if any.

    A table wider than `width` characters is cut between columns into several, none of it lost.
    """
    texts = {place: _terminal_cell(cell) for place, cell in table.cells.items()}
    groups = _column_groups(table, texts, width)
    drawn = []
    for index, columns in enumerate(groups):
        title = table.title + (" (continued)" if index else "")
        part = TerminalTable(
            title=Text(title, "table.title"),
            title_justify="left",
            box=box.SIMPLE_HEAD,
            caption_justify="left",
        )
        part.add_column(Text(table.corner), max_width=ROW_WIDTH)
        for column in columns:
            part.add_column(Text(column), justify="right", no_wrap=True)
        for row in table.rows:
            dash = Text("–", style="dim")
            part.add_row(Text(row), *(texts.get((row, column), dash) for column in columns))
        if index == len(groups) - 1:
            part.caption = Text(_key(table), "table.caption")
        drawn.append(part)
    return drawn


ROW_WIDTH = 30


def _column_groups(table: Table, texts: dict[tuple[str, str], Text], width: int) -> list[list[str]]:
    """Columns side by side as long as they fit beside the names of the rows."""
    names = min(max(map(len, (table.corner, *table.rows))), ROW_WIDTH) + 4
    groups: list[list[str]] = [[]]
    used = names
    for column in table.columns:
        cells = [texts[row, column] for row in table.rows if (row, column) in texts]
        lines = [column, *(line for text in cells for line in text.plain.splitlines())]
        wide = max(map(len, lines)) + 3
        if used + wide > width and groups[-1]:
            groups.append([])
            used = names
        groups[-1].append(column)
        used += wide
    return groups


def _key(table: Table) -> str:
    words = ["ours" if table.has_paper else "value"]
    if table.has_intervals:
        words[0] += ", [95 % interval]"
    elif not table.has_paper:
        return ""
    if table.has_paper:
        words.append("the paper's value in cyan")
    if any(cell.seeds > 1 for cell in table.cells.values()):
        words.append("the range over seeds")
    return "; ".join(words)


def _terminal_cell(cell: Cell) -> Text:
    text = Text(number(cell.ours, cell.unit), style="bold")
    if span := interval(cell.low, cell.high, cell.unit):
        text.append(f"\n[{span}]", style="not bold dim")
    if cell.paper is not None:
        text.append(f"\npaper {paper_number(cell.paper, cell.unit)}", style="not bold cyan")
    if spread := seed_spread(cell):
        text.append(f"\nseeds {spread}", style="not bold dim")
    return text


def seed_spread(cell: Cell) -> str:
    """Smallest and largest value over the seeds; empty with a single seed."""
    return interval(cell.seed_low, cell.seed_high, cell.unit) if cell.seeds > 1 else ""


CSV_FIELDS = (
    "table", "row", "column", "unit", "ours", "low", "high", "paper", "count", "total",
    "seeds", "seed_low", "seed_high",
)  # fmt: skip


def to_csv(table: Table) -> str:
    """One line a cell, numbers with every digit they have; an empty field is a missing value."""
    rows = ([getattr(cell, field) for field in CSV_FIELDS] for cell in _in_order(table))
    return csv_text(CSV_FIELDS, rows)


def _in_order(table: Table) -> list[Cell]:
    return [
        cell
        for row in table.rows
        for column in table.columns
        if (cell := table.at(row, column)) is not None
    ]


def to_latex(table: Table) -> str:
    """A booktabs table (needs \\usepackage{booktabs}); ours above, the paper's value under it."""
    head = " & ".join(latex_escape(name) for name in (table.corner, *table.columns))
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        "\\toprule",
        f"{head} \\\\",
        "\\midrule",
    ]
    for row in table.rows:
        cells = [table.at(row, column) for column in table.columns]
        lines.append(f"{latex_escape(row)} & {' & '.join(_latex_ours(c) for c in cells)} \\\\")
        if any(cell is not None and cell.paper is not None for cell in cells):
            paper = " & ".join(_latex_paper(cell) for cell in cells)
            lines.append(f"\\quad\\textit{{paper}} & {paper} \\\\")
    lines += [
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{latex_escape(table.title)}}}",
        f"\\label{{tab:{''.join(c for c in file_name(table.name) if c.isalnum() or c == '-')}}}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_ours(cell: Cell | None) -> str:
    if cell is None:
        return "--"
    span = interval(cell.low, cell.high, cell.unit)
    shown = latex_escape(number(cell.ours, cell.unit))
    return f"{shown} {{\\scriptsize[{latex_escape(span)}]}}" if span else shown


def _latex_paper(cell: Cell | None) -> str:
    if cell is None or cell.paper is None:
        return ""
    return f"\\textit{{{latex_escape(paper_number(cell.paper, cell.unit))}}}"


LATEX = {
    "\\": "\\textbackslash{}",
    "&": "\\&",
    "%": "\\%",
    "$": "\\$",
    "#": "\\#",
    "_": "\\_",
    "{": "\\{",
    "}": "\\}",
    "[": "{[}",  # at the start of a row it would be an option of the line before, and * its star
    "*": "{*}",
    "|": "\\textbar{}",
    "`": "\\`{}",
    "~": "\\textasciitilde{}",
    "^": "\\textasciicircum{}",
    "<": "\\textless{}",
    ">": "\\textgreater{}",
    "–": "--",
    "−": "$-$",
    "×": "$\\times$",
    "λ": "$\\lambda$",
    "σ": "$\\sigma$",
    "±": "$\\pm$",
    "∞": "$\\infty$",
    "′": "$'$",
    "√": "$\\surd$",
    "≤": "$\\le$",
    "≥": "$\\ge$",
    "ε": "$\\varepsilon$",
    "α": "$\\alpha$",
    "δ": "$\\delta$",
    "Δ": "$\\Delta$",
    "ξ": "$\\xi$",
    "γ": "$\\gamma$",
    "β": "$\\beta$",
    "·": "$\\cdot$",
    "²": "$^2$",
    "⁻": "$^{-}$",
    "¹": "$^1$",
    "‖": "$\\|$",
    "₁": "$_1$",
    "₂": "$_2$",
}


def latex_escape(text: str) -> str:
    """Text that LaTeX prints as it stands.

    >>> print(latex_escape("FC10_a 5 % & {x}"))
    FC10\\_a 5 \\% \\& \\{x\\}
    """
    shown = visible(" ".join(text.split()))
    return "".join(LATEX.get(character, character) for character in shown)
