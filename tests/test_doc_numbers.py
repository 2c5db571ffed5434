"""Numbers on pages of documentation are those of committed rows."""

import csv
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from intriguing.report.claims import to_markdown
from intriguing.report.contents import read_contents
from intriguing.results.measured import where
from intriguing.results.parquet import read_rows
from intriguing.results.rows import LayerRow
from intriguing.results.verdicts import VerdictRow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def plain(text: str) -> str:
    return " ".join(text.split())


def tables(text: str) -> dict[str, list[list[str]]]:
    """The tables of a page that follow a bold **Table N**."""
    found = {}
    for title, body in re.findall(r"\*\*(Table \d)\*\*[^\n]*\n\n((?:\|.*\n)+)", text):
        lines = [[c.strip() for c in line.split("|")[1:-1]] for line in body.splitlines()]
        found[title] = [lines[0], *lines[2:]]
    return found


def load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MACROS = load(DOCS / "site" / "macros.py")


@pytest.mark.parametrize("source", MACROS.PAGES, ids=lambda source: source.stem)
def test_numbers_with_a_macro_are_those_of_the_rows(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert MACROS.filled(text) == text
    found = sum(len(kind.findall(text)) for kind in (MACROS.NUMBER, MACROS.TABLE))
    assert found == text.count("<!--= ") + text.count("<!--| ")  # none that is not understood
    of_rows = ("README", "gate", "playground", "scale", "claims")
    assert source.parent.name == "benchmarks" or source.stem not in of_rows or found


WITH_A_TABLE = """<!--| figures("engines") | * | {workers:.0f} -->

| engine | workers |
| --- | ---: |
| here | 7 |
| two | 7 |
"""


def test_a_macro_writes_what_the_rows_say() -> None:
    share = (
        '<!--= only(figures("gate_calibration", distances="smooth", truth="at"), "wrong"):.1% -->'
    )
    assert MACROS.filled(f"wrong in (7{share}).") == f"wrong in (3.9 %{share})."
    assert MACROS.filled(WITH_A_TABLE).endswith("| here | 1 |\n| two | 2 |\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('7<!--= only(figures("engines"), "workers"):.0f -->', LookupError),
        ('7<!--= table("mnist", "Table 1", "FC11", "Test error"):.2f -->', LookupError),
        ('\n<!--= only(figures("engines", engine="here"), "workers"):.0f -->', ValueError),
        (WITH_A_TABLE.replace("| two | 7 |\n", ""), LookupError),
    ],
)
def test_a_macro_without_its_row_is_no_number(text: str, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        MACROS.filled(text)


def test_the_papers_tables_have_the_numbers_of_the_full_run() -> None:
    drawn = {table.heading: table for table in read_contents(DOCS / "results" / "mnist").tables}
    printed = tables(page("reproduction.md"))
    assert printed.keys() == set(drawn) & set(printed)
    compared = 0
    for title, (head, *lines) in printed.items():
        table = drawn[title]
        for name, *cells in lines:
            row = next(key for key, called in table.rows.items() if called == name)
            for column, cell in zip(head[1:], cells, strict=True):
                at = next(key for key, called in table.columns.items() if called == column)
                value = table.at(row, at)
                assert value is not None
                told = float(cell.split()[0])
                digits = len(cell.split()[0].partition(".")[2])
                # The last digit of an exact half may be rounded either way.
                assert told == pytest.approx(value.value, abs=0.5001 * 10**-digits), (name, column)
                compared += 1
    assert compared >= 18


def test_hardening_has_the_errors_of_its_run() -> None:
    (table,) = read_contents(DOCS / "results" / "hardening").tables_of("hardening")
    text = page("hardening.md")
    shown = [f"| {cell.value:.2f} [" for cell in table.where() if cell.metric == "error"]
    assert len(shown) >= 8
    assert all(one in text for one in shown), [one for one in shown if one not in text]


def test_the_bound_of_squeezenet_is_that_of_its_audit() -> None:
    rows = read_rows(DOCS / "results" / "squeezenet", LayerRow)
    (whole,) = where(rows, kind="network")
    text = plain(page("spectral.md"))
    mantissa, power = f"{whole.upper:.2e}".split("e+")
    raised = power.translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
    assert f"the bound is {mantissa}·10{raised}" in text
    assert f"reach {whole.lower:.1f}" in text


def test_verdicts_are_those_of_the_committed_run() -> None:
    rows = read_rows(DOCS / "results" / "claims", VerdictRow)
    assert to_markdown(rows) in page("claims.md")
    said, text = {row.claim: row for row in rows}, plain(page("claims.md"))
    assert round(said["weights-nearer"].value) == 8
    assert "the weights need an eighth of the relative change" in text
    assert round(10 ** -said["low-probability"].value, -4) == 20_000
    assert "one direction in twenty thousand" in text


def test_calibration_is_that_of_the_committed_figures() -> None:
    file = ROOT / "benchmarks" / "figures" / "claims_calibration.csv"
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    text = page("claims.md")
    for row in rows:
        values = ("holds", "does not hold", "wrong") if row["holds"] else (
            "mean over truth", "median power off", "wrong")  # fmt: skip
        cells = " | ".join(f"{float(row[name]):.3f}" for name in values)
        assert f"| {row['test']} | {row['spread']} | {row['case']} | {cells} |" in text
    at_edge = [float(row["wrong"]) for row in rows if row["spread"] in ("normal", "heavy")]
    assert max(at_edge) <= 0.06


def test_intervals_that_were_tried_have_their_committed_rows() -> None:
    file = ROOT / "benchmarks" / "figures" / "interval_rules.csv"
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    shown = ("wrong, normal", "wrong, a little skewed", "wrong, as an exponential", "power, normal")
    assert len(rows) == 6
    for row in rows:
        assert f"| {row['rule']} | {' | '.join(row[name] for name in shown)} |" in page("claims.md")


def test_another_program_comes_to_the_same_verdicts() -> None:
    script = ROOT / "benchmarks" / "recheck_claims.py"
    assert "intriguing" not in re.findall(r"^(?:import|from) (\w+)", script.read_text(), re.M)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) >= 5


def test_it_notices_a_verdict_that_does_not_follow() -> None:
    module = load(ROOT / "benchmarks" / "recheck_claims.py")
    assert module.verdict((1.0, 0.5, 1.5), 0.0, 9.0) == "holds"
    assert module.verdict((1.0, -0.5, 2.5), 0.0, 9.0) == "open"
    assert module.verdict((1.0, 0.5, 1.5), 2.0, 9.0) == "does not hold"
