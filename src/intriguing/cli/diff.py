"""What changed between two results folders, such as two audits, with paired intervals.

Reads only the folders, so it works on any machine that has copies, without torch or data. Images
that both runs attacked are compared one by one; other values by their intervals.

examples:
  intriguing diff results/audit-before results/audit-after
  intriguing diff results/attack-old results/attack-new --out what-changed
"""

from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

from intriguing.cli.console import Console


def diff(
    before: Annotated[Positional[Path], arg(metavar="BEFORE", help="The --out of a verb.")],
    after: Annotated[Positional[Path], arg(metavar="AFTER", help="The same of another network.")],
    out: Path = Path("results/diff"),
) -> None:
    """Print what changed, and write OUT/index.html and OUT/diff.md, for a pull request.

    Args:
        out: Folder of the page and the Markdown.
    """
    from intriguing.report.diff import difference, sentences
    from intriguing.report.diff_page import write_difference

    made = difference(before, after)
    page = write_difference(made, out)
    console = Console()
    for sentence in sentences(made):
        console.print(f"• {sentence}", highlight=False, markup=False)
    console.print(f"\nreport   {page}", highlight=False, markup=False, soft_wrap=True)
    console.print(f"markdown {out / 'diff.md'}", highlight=False, markup=False, soft_wrap=True)
