"""Numbers on pages of documentation are those of committed rows."""

import re
from pathlib import Path

import pytest

from intriguing.report.contents import read_contents
from intriguing.results.measured import where
from intriguing.results.parquet import read_rows
from intriguing.results.rows import LayerRow

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


@pytest.mark.parametrize("source", ["reproduction.md", "../README.md"])
def test_the_papers_tables_have_the_numbers_of_the_full_run(source: str) -> None:
    drawn = {table.heading: table for table in read_contents(DOCS / "results" / "mnist").tables}
    text = page(source)
    if source.endswith("README.md"):  # there Table 1 stands without its name
        text = re.sub(r"\n\n(\| \| Training error)", r"\n\n**Table 1**\n\n\1", text)
    printed = tables(text)
    assert printed.keys() == ({"Table 1"} if "README" in source else set(drawn) & set(printed))
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
