"""Draw the report of a results folder again: one page, LaTeX, CSV, PNG and SVG.

Reads only the folder, so it works on any machine that has a copy, without torch or data.

examples:
  intriguing report results/reproduce-quick
"""

from pathlib import Path
from typing import Annotated

from rich.console import Console
from tyro.conf import Positional, arg


def report(
    folder: Annotated[
        Positional[Path],
        arg(metavar="DIR", help="The --out folder of a reproduce, attack, transfer or train."),
    ],
) -> None:
    """Draw DIR/report/ from DIR alone."""
    finish(folder)


def finish(folder: Path, console: Console | None = None) -> None:
    """Draw the report, print its tables, and say where everything is."""
    from intriguing.report.contents import read_contents
    from intriguing.report.findings import findings
    from intriguing.report.html import draw_report
    from intriguing.report.tables import to_terminal

    console = console or Console()
    page = draw_report(folder)
    contents = read_contents(folder)
    for table in contents.tables.values():
        for part in to_terminal(table, console.width):
            console.print(part)
    for sentence in findings(contents).sentences:
        console.print(f"• {sentence}", highlight=False, markup=False)
    console.print(f"\nreport   {page}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"results  {folder}", highlight=False, markup=False, soft_wrap=True)
