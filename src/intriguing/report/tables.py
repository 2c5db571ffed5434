"""A table in the terminal, as LaTeX and as CSV, beside the paper's."""

from collections.abc import Mapping

from rich import box
from rich.table import Table as TerminalTable
from rich.text import Text

from intriguing.names import file_name, visible
from intriguing.report.csv_text import csv_text
from intriguing.report.numbers import interval, number, paper_number
from intriguing.report.views import Cell, Key, Table


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
            part.add_column(Text(table.columns[column]), justify="right", no_wrap=True)
        for row, label in table.rows.items():
            dash = Text("–", style="dim")
            part.add_row(Text(label), *(texts.get((row, column), dash) for column in columns))
        if index == len(groups) - 1:
            part.caption = Text(_key(table), "table.caption")
        drawn.append(part)
    return drawn


ROW_WIDTH = 30
"""Characters of a row's name on one line, so that on a terminal of 80 some columns fit beside."""


def _column_groups(
    table: Table, texts: Mapping[tuple[Key, Key], Text], width: int
) -> list[list[Key]]:
    """Columns side by side as long as they fit beside the names of the rows."""
    names = min(max(map(len, (table.corner, *table.rows.values()))), ROW_WIDTH) + 4
    groups: list[list[Key]] = [[]]
    used = names
    for column, label in table.columns.items():
        cells = [texts[row, column] for row in table.rows if (row, column) in texts]
        lines = [label, *(line for text in cells for line in text.plain.splitlines())]
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
    text = Text(number(cell.value, cell.unit), style="bold")
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
    "row", "column", "unit", "value", "low", "high", "paper", "count", "total", "seeds", "seed_low",
    "seed_high",
)  # fmt: skip


def to_csv(table: Table) -> str:
    """One line a cell, numbers with every digit they have; an empty field is a missing value."""
    head = ("table", *("ours" if name == "value" else name for name in CSV_FIELDS))
    rows = ([table.name, *(getattr(cell, f) for f in CSV_FIELDS)] for cell in table.where())
    return csv_text(head, rows)


def to_latex(table: Table) -> str:
    """A booktabs table (needs \\usepackage{booktabs}); ours above, the paper's value under it."""
    head = " & ".join(latex_escape(name) for name in (table.corner, *table.columns.values()))
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        f"\\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        "\\toprule",
        f"{head} \\\\",
        "\\midrule",
    ]
    for row, label in table.rows.items():
        cells = [table.at(row, column) for column in table.columns]
        lines.append(f"{latex_escape(label)} & {' & '.join(_latex_ours(c) for c in cells)} \\\\")
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
    shown = latex_escape(number(cell.value, cell.unit))
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
