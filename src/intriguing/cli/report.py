"""Draw the report of a results folder again: one page, LaTeX, CSV, PNG and SVG.

Reads only the folder, so it works on any machine that has a copy or the address of one in an object
store, without torch or data.

examples:
  intriguing report results/reproduce-quick
  intriguing report s3://bucket/audit       credentials as in the environment
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from intriguing.addresses import as_folder
from intriguing.cli.console import Console

if TYPE_CHECKING:
    from intriguing.report.contents import Contents
    from intriguing.report.takeaway import Findings


def report(
    folder: Annotated[
        Positional[Path],
        arg(metavar="DIR", help="The --out folder of any verb that computes."),
    ],
) -> None:
    """Draw DIR/report/ from DIR alone."""
    finish(as_folder(folder))


def finish(folder: Path, console: Console | None = None, *, all_layers: bool = False) -> "Findings":
    """Draw the report, print its tables, say where everything is; returns what there is to say."""
    from intriguing.report.contents import read_contents
    from intriguing.report.html import draw_report
    from intriguing.results.damage import blame

    console = console or Console()
    page = draw_report(folder)
    contents = read_contents(folder)
    with blame(folder):
        said = _print(contents, console, all_layers)
    browse = page.with_name("units.html")
    if len(contents.tops["rank"]) and browse.exists():
        console.print(f"\nbrowse   {browse}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"\nreport   {page}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"results  {folder}", highlight=False, markup=False, soft_wrap=True)
    return said


def _print(contents: "Contents", console: Console, all_layers: bool) -> "Findings":
    """The tables and the findings."""
    from intriguing.report import claims, layers, units
    from intriguing.report.findings import findings
    from intriguing.report.tables import to_terminal

    for table in contents.tables:
        for part in to_terminal(table, console.width):
            console.print(part)
    for remarks in contents.run.remarks.values():
        for remark in remarks:
            console.print(f"– {remark}", highlight=False, markup=False)
    if contents.layers:
        console.print(layers.to_terminal(contents.layers, console.width, all_layers))
    if contents.claims:
        console.print(units.to_terminal(contents.claims))
    if contents.verdicts:
        console.print(claims.to_terminal(contents.verdicts))
    said = findings(contents)
    for alarm in said.alarms:
        console.print(f"! {alarm}", style="bold red", highlight=False, markup=False)
    for sentence in said.sentences:
        console.print(f"• {sentence}", highlight=False, markup=False)
    return said
