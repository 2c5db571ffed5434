"""The bounds of a network's layers as a table like the paper's Table 5: terminal, CSV, LaTeX."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import astuple, fields

from rich import box
from rich.table import Table as TerminalTable

from intriguing.report.numbers import number
from intriguing.report.tables import latex_escape
from intriguing.results.schema import LayerRow

TITLE = "How far each layer can carry a small change"
HEAD = ("Layer", "Size", "Stride", "Upper bound", "Lower bound", "Formula", "Guaranteed")
WHOLE = {"network": "the whole network", "product": "product of the layers"}
"""Rows about the network rather than a layer, and how they are called."""


def single(layers: Sequence[LayerRow]) -> list[LayerRow]:
    """The rows that are about one layer."""
    return [layer for layer in layers if layer.kind not in WHOLE]


def whole(layers: Sequence[LayerRow], kind: str = "network") -> LayerRow | None:
    """The row of the whole network; None where there is none."""
    return next((layer for layer in layers if layer.kind == kind), None)


def passes_on(layer: LayerRow) -> bool:
    """Whether a change leaves the layer no longer than it came, by its nature: ReLU, reshapes."""
    plain = layer.kind in ("activation", "scale", "other")
    return plain and layer.guaranteed and abs(layer.upper - 1.0) < 1e-6 and not layer.note


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


def to_terminal(layers: Sequence[LayerRow], everything: bool = False) -> TerminalTable:
    """The table for a terminal, the whole network under its layers.

    Args:
        layers: Of one network.
        everything: Show the layers that only pass on, too.
    """
    shown = single(layers) if everything else telling(layers)
    folded = len(single(layers)) - len(shown)
    hidden = f"not shown: {folded} that only pass changes on (bound 1); --all-layers shows them"
    table = TerminalTable(
        title=TITLE, title_justify="left", box=box.SIMPLE_HEAD, caption_justify="left",
        caption=hidden if folded else None,
    )  # fmt: skip
    for name in HEAD:
        bound = name.endswith("bound")
        table.add_column(name, justify="right" if bound else "left", no_wrap=name != "Formula")
    for layer in shown:
        table.add_row(*words(layer), style="yellow" if math.isinf(layer.upper) else None)
    table.add_section()
    for layer in layers:
        if layer.kind in WHOLE:
            table.add_row(*words(layer), style="bold" if layer.kind == "network" else None)
    return table


def to_csv(layers: Sequence[LayerRow]) -> str:
    """Every row with every digit."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(LayerRow)])
    writer.writerows(map(astuple, layers))
    return text.getvalue()


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
