"""Numbers on pages come from committed rows: what a page says is computed and compared, or written.

    python docs/site/macros.py            # write them; `make docs` and the tests only compare

Pages are read on code hosts as well, so a macro is a comment beside what it makes. Behind a number:

    0.056<!--= table("mnist", "Table 1", "FC100-100-10", "Av. min. distortion"):.3f -->

Before a table that has its head, one template for all rows, in their order; `*` keeps what stands
there, and where none does, there are as many lines as rows:

    <!--| figures("playground") | * | {mean_ratio:.4f} | {median_ms:.0f} ms -->

Around a whole table:

    <!--{ claims("claims") -->

    <!--} -->

What they ask for is in `committed.py`, by tables of runs in `tabled.py` and of benchmarks in
`compared.py`.
"""

import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
import committed
import compared
import tabled

ROOT = Path(__file__).parents[2]
PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
NUMBER = re.compile(r"(?P<told>[^\s|(\[]+)<!--= (?P<made>.+?):(?P<how>[^:\"')]*) -->", re.DOTALL)
TABLE = re.compile(
    r"(?P<before><!--\| (?P<rows>[^|]+) \| (?P<cells>.+?) -->\n\n(?:\|.*\n){2})"
    r"(?P<body>(?:\|.*\n)*)"
)
ASKED = {**vars(committed), **vars(tabled), **vars(compared)}
"""What a macro may call."""
BLOCK = re.compile(r"(?P<before><!--\{ (?P<made>.+?) -->\n\n)(?:\|.*\n)*\n?(?P<after><!--\} -->)")


def filled(text: str) -> str:
    """A page with every number that has a macro made anew from the rows.

    Raises:
        LookupError: If there is no such row.
        ValueError: If a macro stands at the beginning of a line, which would end a paragraph.
    """
    if wrong := re.search(r"^<!--=.*", text, re.MULTILINE):
        raise ValueError(f"a line begins with {wrong[0]}; wrap the lines otherwise")
    return BLOCK.sub(_block, TABLE.sub(_table, NUMBER.sub(_number, text)))


def _number(macro: re.Match[str]) -> str:
    value = _evaluated(macro["made"])
    return macro[0].replace(macro["told"], _in_words(format(value, macro["how"])), 1)


def _table(macro: re.Match[str]) -> str:
    rows: list[Mapping[str, Any]] = _evaluated(macro["rows"])
    templates = macro["cells"].split(" | ")
    lines = macro["body"].splitlines() if "*" in templates else [""] * len(rows)
    if len(lines) != len(rows):
        raise LookupError(f"{len(rows)} rows for {len(lines)} lines of {macro['rows']}")
    made = [_line(row, line, templates) for row, line in zip(rows, lines, strict=True)]
    return macro["before"] + "".join(f"{line}\n" for line in made)


def _line(row: Mapping[str, Any], there: str, templates: list[str]) -> str:
    kept = [cell.strip() for cell in there.split("|")[1:-1]] or templates
    cells = [
        old if template == "*" else _in_words(template.format(**row))
        for template, old in zip(templates, kept, strict=True)
    ]
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _block(macro: re.Match[str]) -> str:
    return f"{macro['before']}{_evaluated(macro['made']).strip()}\n\n{macro['after']}"


def _evaluated(asked: str) -> Any:
    return eval(asked, ASKED)  # of a page of this repository


def _in_words(told: str) -> str:
    """As pages write numbers."""
    signed = re.sub(r"(?<![\w.)-])-(?=[\d.])", "−", told)
    whole = re.sub(r"\b100\.0+%", "100%", signed)
    return re.sub(r"[+−]?\bnan\b ?[%×]?", "–", re.sub(r"(?<=\w)%", " %", whole))


def main() -> int:
    """Write every page whose numbers are not those of the rows."""
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        if (made := filled(text)) != text:
            page.write_text(made, encoding="utf-8")
            print(f"{page.relative_to(ROOT)}: numbers written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
