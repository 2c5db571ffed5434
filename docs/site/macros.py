"""Numbers on pages come from committed rows: what a page says is computed and compared, or written.

    python docs/site/macros.py            # write them; `make docs` and the tests only compare

Pages are read on code hosts as well, so a macro is a comment beside what it makes. Behind a number:

    0.056<!--= table("mnist", "Table 1", "FC100-100-10", "Av. min. distortion"):.3f -->

Before a table, one template for all rows, in their order; `*` keeps what stands there:

    <!--| figures("playground") | * | {mean_ratio:.4f} | {median_ms:.0f} ms -->
"""

import csv
import math
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from intriguing.report.contents import read_contents
from intriguing.report.findings import correlation
from intriguing.results.measured import Measurement, Metric, where
from intriguing.results.parquet import read_rows
from intriguing.results.rows import ClaimRow
from intriguing.results.verdicts import VerdictRow

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
METHODS = ("closest", "ddn", "fmn", "alma", "pdgd", "cw", "superdeepfool")
PAGES = (
    ROOT / "README.md",
    ROOT / "benchmarks" / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
)
NUMBER = re.compile(r"(?P<told>[^\s|(\[]+)<!--= (?P<made>.+?):(?P<how>[^:\"')]*) -->", re.DOTALL)
TABLE = re.compile(
    r"(?P<before><!--\| (?P<rows>[^|]+) \| (?P<cells>.+?) -->\n\n(?:\|.*\n){2})"
    r"(?P<body>(?:\|.*\n)+)"
)


def filled(text: str) -> str:
    """A page with every number that has a macro made anew from the rows.

    Raises:
        LookupError: If there is no such row.
        ValueError: If a macro stands at the beginning of a line, which would end a paragraph.
    """
    if wrong := re.search(r"^<!--=.*", text, re.MULTILINE):
        raise ValueError(f"a line begins with {wrong[0]}; wrap the lines otherwise")
    return TABLE.sub(_table, NUMBER.sub(_number, text))


def figures(name: str, **where: str) -> list[dict[str, Any]]:
    """Rows of a file of `benchmarks/figures`, with numbers as numbers; only those that fit."""
    with (ROOT / "benchmarks" / "figures" / f"{name}.csv").open(encoding="utf-8") as lines:
        rows = [{key: _typed(value) for key, value in row.items()} for row in csv.DictReader(lines)]
    return [row for row in rows if all(str(row[key]) == value for key, value in where.items())]


def only(rows: list[dict[str, Any]], column: str) -> Any:
    """A value of the one row that there is."""
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows, where one is meant")
    return rows[0][column]


def table(run: str, heading: str, row: str, column: str) -> float:
    """A cell of a table of `docs/results`, by what people read."""
    for drawn in read_contents(RESULTS / run).tables:
        if drawn.heading == heading:
            keys = {called: key for key, called in drawn.rows.items()}
            columns = {called: key for key, called in drawn.columns.items()}
            if row not in keys or column not in columns:  # another table of this heading
                continue
            cell = drawn.at(keys[row], columns[column])
            if cell is not None and cell.value is not None:
                return cell.value
    raise LookupError(f"{run} has no {heading} with {row}, {column}")


def cells(run: str, heading: str, column: str) -> list[float]:
    """The values of a column."""
    (drawn,) = (one for one in read_contents(RESULTS / run).tables if one.heading == heading)
    (key,) = (key for key, called in drawn.columns.items() if called == column)
    found = [drawn.at(row, key) for row in drawn.rows]
    return [cell.value for cell in found if cell is not None and cell.value is not None]


def agreement(run: str, heading: str) -> float:
    """Spearman's rank correlation of a table's cells off the diagonal with the paper's."""
    (drawn,) = (one for one in read_contents(RESULTS / run).tables if one.heading == heading)
    return correlation([one for one in drawn.where(transferred=True) if one.paper is not None])


def nearer(run: str) -> list[float]:
    """By how many per cent Table 1's distortions are below the paper's."""
    (drawn,) = (one for one in read_contents(RESULTS / run).tables if one.heading == "Table 1")
    cells = drawn.where(metric=Metric.MEAN_DISTORTION)
    return [100 * (1 - cell.value / cell.paper) for cell in cells if cell.paper]


def units(run: str, layer: str = "") -> ClaimRow:
    """What the test of the units of a layer came to; of the only one, where none is named."""
    rows = [r for r in read_rows(RESULTS / run, ClaimRow) if layer in ("", r.layer)]
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows of {run}, where one is meant")
    return rows[0]


def test_errors(run: str) -> list[float]:
    """Of the networks that a run trained, in per cent, a seed each."""
    found = [model.test_error for model in read_contents(RESULTS / run).run.models]
    return [100 * error for error in found if error is not None]


def on_the_way(run: str, layer: str, alpha: float) -> float:
    """Mean purity of a layer's directions on the way from its units to a rotation of them."""
    rows = read_rows(RESULTS / run, Measurement)
    (row,) = where(rows, analysis="path", layer=layer, size=alpha)
    return row.value


def missed() -> dict[str, int]:
    """Of the distances proved to 1 %: how many there are, and how many each method misses by more.

    "least" and "most" are of the methods but `closest`.
    """
    rows = pq.read_table(ROOT / "benchmarks" / "exact" / "rows" / "distances.parquet").to_pylist()
    known = [row for row in rows if row["optimal"]]
    found = {name: sum(row[name] > 1.01 * row["upper"] for row in known) for name in METHODS}
    others = [found[name] for name in METHODS if name != "closest"]
    return {"proved": len(known), "least": min(others), "most": max(others), **found}


def verdict(claim: str) -> VerdictRow:
    """The committed verdict on a claim."""
    return {row.claim: row for row in _verdicts()}[claim]


def decided(word: str) -> int:
    """How many claims have this verdict."""
    return sum(row.verdict == word for row in _verdicts())


def _verdicts() -> list[VerdictRow]:
    return read_rows(RESULTS / "claims", VerdictRow)


def faster(engine: str, images: str) -> float:
    """By the clock, than one process here, where least else was done."""
    alone = [row for row in figures("engines") if row["images"] == float(images)]
    alone.sort(key=lambda row: row["load"], reverse=True)
    seconds = {row["engine"]: row["wall_seconds"] for row in alone}
    return seconds["here"] / seconds[engine]


def erring(spread: str) -> float:
    """The largest share of verdicts that are wrong at the margin, in per cent."""
    rows = figures("claims_calibration", spread=spread, case="at the margin")
    return 100 * max(row["wrong"] for row in rows)


def erring_skewed(*rules: str) -> list[float]:
    """The same by intervals that were tried, of quantities as skewed as an exponential."""
    rows = [
        only(figures("interval_rules", rule=rule), "wrong, as an exponential") for rule in rules
    ]
    return [100 * wrong for wrong in rows]


def called(case: str, reference: str) -> int:
    """In how many planted cases a learned dictionary is called better than this."""
    return len(figures("dictionary_calibration", case=case, **{reference: "better"}))


def penalty(network: str, every: int) -> float:
    """What a step costs whose every so many has a spectral penalty, beside a plain one."""
    rows = figures("penalty_step", network=network, penalty_in_every=str(float(every)))
    return float(only(rows, "ratio"))


SIX = ("fc", "conv", "saturated", "mnist-adversarial", "resnet2b", "resnet20")


def nearer_than_peers(
    network: str = "", goal: str = "", passes: tuple[int, ...] = (10, 20, 40, 100)
) -> list[float]:
    """By how many per cent `closest` is nearer than the best other, in cells that can be compared.

    Of the six networks, where none is named.
    """
    return [
        100 * (1 - row["ratio_to_best"]) for row in figures("budgets", method="closest")
        if row["network"] in ((network,) if network else SIX) and goal in ("", row["goal"])
        and row["budget"] in passes and not math.isnan(row["ratio_to_best"])
    ]  # fmt: skip


def found_of_planted() -> float:
    """The mean share of planted features that a dictionary finds."""
    rows = figures("dictionary_calibration", case="planted")
    return sum(row["recovered"] for row in rows) / len(rows)


def _number(macro: re.Match[str]) -> str:
    value = eval(macro["made"], globals())  # a page of this repository
    return macro[0].replace(macro["told"], _in_words(format(value, macro["how"])), 1)


def _table(macro: re.Match[str]) -> str:
    rows: list[Mapping[str, Any]] = eval(macro["rows"], globals())
    lines = macro["body"].splitlines()
    if len(lines) != len(rows):
        raise LookupError(f"{len(rows)} rows for {len(lines)} lines of {macro['rows']}")
    return macro["before"] + "".join(
        f"{line}\n" for line in _lines(rows, lines, macro["cells"].split(" | "))
    )


def _lines(rows: list[Mapping[str, Any]], lines: list[str], templates: list[str]) -> Iterator[str]:
    for row, line in zip(rows, lines, strict=True):
        there = [cell.strip() for cell in line.split("|")[1:-1]]
        cells = [
            old if template == "*" else _in_words(template.format(**row))
            for template, old in zip(templates, there, strict=True)
        ]
        yield f"| {' | '.join(cells)} |".replace("|  |", "| |")


def _in_words(told: str) -> str:
    """As pages write numbers."""
    signed = re.sub(r"^-(?=[\d.])", "−", told)
    return re.sub(r"\b100\.0+%", "100%", signed).replace("%", " %").replace("nan", "")


def _typed(value: str) -> float | str:
    try:
        return float(value or "nan")
    except ValueError:
        return value


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
