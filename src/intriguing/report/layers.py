"""The bounds of a network's layers as a table like the paper's Table 5: terminal, CSV, LaTeX."""

import math
from collections.abc import Sequence
from dataclasses import astuple, fields
from string import ascii_lowercase

from rich import box
from rich.table import Table as TerminalTable
from rich.text import Text

from intriguing.report.csv_text import csv_text
from intriguing.report.numbers import number
from intriguing.report.tables import latex_escape
from intriguing.results.rows import LayerRow

TITLE = "How far each layer can carry a small change"
HEAD = ("Layer", "Size", "Stride", "Upper bound", "Lower bound", "Formula", "Guaranteed")
WHOLE = {"network": "the whole network", "product": "product of the layers"}
"""Rows about the network rather than a layer, and how they are called."""


ROUNDING = 1e-6
"""Of a bound that is 1 but for the last digits of a float32."""


def single(layers: Sequence[LayerRow]) -> list[LayerRow]:
    """The rows that are about one layer."""
    return [layer for layer in layers if layer.kind not in WHOLE]


def whole(layers: Sequence[LayerRow], kind: str = "network") -> LayerRow | None:
    """The row of the whole network; None where there is none."""
    return next((layer for layer in layers if layer.kind == kind), None)


def passes_on(layer: LayerRow) -> bool:
    """Whether a change leaves the layer no longer than it came, by its nature: ReLU, reshapes."""
    plain = layer.kind in ("activation", "scale", "shape", "other")
    return plain and layer.guaranteed and abs(layer.upper - 1.0) < ROUNDING and not layer.note


def telling(layers: Sequence[LayerRow]) -> list[LayerRow]:
    """The single layers without those that only pass on; all where that would leave none."""
    kept = [layer for layer in single(layers) if not passes_on(layer)]
    return kept or single(layers)


def words(layer: LayerRow) -> tuple[str, ...]:
    """The row as it is printed, under `HEAD`."""
    return (
        WHOLE.get(layer.kind, layer.name),
        layer.size,
        layer.stride,
        number(layer.upper, "norm"),
        "–" if math.isnan(layer.lower) else number(layer.lower, "norm"),
        layer.formula,
        "yes" if layer.guaranteed else "no",
    )


def to_terminal(
    layers: Sequence[LayerRow], width: int = 100, everything: bool = False
) -> TerminalTable:
    """The table for a terminal, the whole network under its layers.

    Formulas stand in the table where `width` characters have room, else under it by a letter.

    Args:
        layers: Of one network.
        width: Of the terminal.
        everything: Show the layers that only pass on, too.
    """
    shown = single(layers) if everything else telling(layers)
    under = [layer for layer in layers if layer.kind in WHOLE]
    texts = [words(layer) for layer in (*shown, *under)]
    key = {} if _fits(texts, width) else _letters(texts)
    folded = len(single(layers)) - len(shown)
    said = [f"{letter}  {formula}" for formula, letter in key.items()]
    if folded:
        said.append(
            f"not shown: {folded} that only pass changes on (bound 1); --all-layers shows them"
        )
    table = TerminalTable(
        title=TITLE, title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left",
        caption=Text("\n".join(said), "table.caption") if said else None,
    )  # fmt: skip
    for place, name in enumerate(HEAD):
        least = max([len(line) for line in name.split()] + [len(row[place]) for row in texts])
        fixed = place > 0 and name != "Formula"
        table.add_column(
            name.replace(" ", "\n"), justify="right" if name.endswith("bound") else "left",
            no_wrap=fixed, min_width=least if fixed else None, overflow="fold",
        )  # fmt: skip
    for layer, row in zip((*shown, *under), texts, strict=True):
        if under and layer is under[0]:
            table.add_section()
        table.add_row(*(Text(key.get(text, text)) for text in row), style=_style(layer))
    return table


def _fits(texts: Sequence[tuple[str, ...]], width: int) -> bool:
    """Whether every row, with its formula up to 40 characters a line, has room."""
    columns = zip(*texts, strict=True)
    longest = [max(map(len, column), default=0) for column in columns]
    longest[HEAD.index("Formula")] = min(longest[HEAD.index("Formula")], 40)
    heads = [max(map(len, name.split())) for name in HEAD]
    needed = sum(max(text, head) + 2 for text, head in zip(longest, heads, strict=True)) + 2
    return needed <= width


def _letters(texts: Sequence[tuple[str, ...]]) -> dict[str, str]:
    """A letter for each formula, in the order of the rows."""
    formulas = dict.fromkeys(row[HEAD.index("Formula")] for row in texts)
    names = [*ascii_lowercase, *(a + b for a in ascii_lowercase for b in ascii_lowercase)]
    return dict(zip((text for text in formulas if text), names, strict=False))


def _style(layer: LayerRow) -> str | None:
    if math.isinf(layer.upper):
        return "bold yellow"
    return "bold" if layer.kind == "network" else None


def to_csv(layers: Sequence[LayerRow]) -> str:
    """Every row with every digit."""
    return csv_text([field.name for field in fields(LayerRow)], map(astuple, layers))


def to_latex(layers: Sequence[LayerRow]) -> str:
    """A booktabs table (needs \\usepackage{booktabs}) of the layers that do more than pass on."""
    rows = [*telling(layers), None, *(layer for layer in layers if layer.kind in WHOLE)]
    lines = [
        "% \\usepackage{booktabs}",
        "\\begin{table}",
        "\\centering\\small",
        "\\begin{tabular}{lllrrll}",
        "\\toprule",
        f"{' & '.join(HEAD)} \\\\",
        "\\midrule",
        *(
            "\\midrule" if row is None else f"{' & '.join(map(latex_escape, words(row)))} \\\\"
            for row in rows
        ),
        "\\bottomrule",
        "\\end{tabular}",
        f"\\caption{{{latex_escape(TITLE)}}}",
        "\\label{tab:layers}",
        "\\end{table}",
    ]
    return "\n".join(lines) + "\n"
