import csv
import io

import pytest
from rich.console import Console

from intriguing.report.numbers import interval, number, paper_number
from intriguing.report.tables import gather, latex_escape, to_csv, to_latex, to_terminal
from intriguing.results.schema import Cell
from tests.report.sample import NETWORKS, TABLE2, write_sample


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    from intriguing.results.store import read_cells

    folder = write_sample(tmp_path_factory.mktemp("sample"))
    return {table.name: table for table in gather(read_cells(folder))}


def test_rows_and_columns_stand_in_the_papers_order_whatever_the_order_of_the_cells(tables):
    shuffled = gather(reversed(list(tables["table2"].cells.values())))[0]
    assert shuffled.columns == (*NETWORKS, "Av. distortion")
    assert shuffled.rows[:6] == NETWORKS
    assert shuffled.rows[7] == "Gaussian noise, stddev=0.3"


def test_every_paper_value_is_in_the_cell_the_paper_prints_it_in(tables):
    table = tables["table2"]
    for i, row in enumerate(table.rows):
        for j, column in enumerate(NETWORKS):
            assert table.at(row, column).paper == TABLE2[i][j]


def test_csv_gives_back_every_number_exactly(tables):
    for table in tables.values():
        rows = list(csv.DictReader(io.StringIO(to_csv(table))))
        assert len(rows) == len(table.cells)
        for row in rows:
            cell = table.at(row["row"], row["column"])
            for field in ("ours", "low", "high", "paper", "seed_low", "seed_high"):
                value = getattr(cell, field)
                assert (None if row[field] == "" else float(row[field])) == value
            assert int(row["count"]) == cell.count


def test_csv_quotes_names_with_commas_and_quotes():
    cell = Cell("t", 'a, "b"\nc', "d,e", 0, 0, "%", 1.0, 0.5, 2.0, 1, 100)
    (row,) = csv.DictReader(io.StringIO(to_csv(gather([cell])[0])))
    assert (row["row"], row["column"]) == ('a, "b"\nc', "d,e")


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        ("50 % & more", r"50 \% \& more"),
        ("a_b^c~d", r"a\_b\textasciicircum{}c\textasciitilde{}d"),
        (r"\begin{x} $y$ #1", r"\textbackslash{}begin\{x\} \$y\$ \#1"),
        ("λ ± 1 − 2", r"$\lambda$ $\pm$ 1 $-$ 2"),
    ],
)
def test_latex_escape(text, escaped):
    assert latex_escape(text) == escaped


def test_latex_has_every_row_with_as_many_columns_as_its_head(tables):
    for table in tables.values():
        latex = to_latex(table)
        body = latex.split("\\toprule")[1].split("\\bottomrule")[0]
        rows = [line for line in body.splitlines() if line.endswith("\\\\")]
        ampersands = {line.replace("\\&", "").count("&") for line in rows}
        assert ampersands == {len(table.columns)}
        assert latex.isascii()
        assert "\\label{tab:" + table.name + "}" in latex


def printed(table, width):
    console = Console(width=width, record=True, file=io.StringIO())
    for part in to_terminal(table, width):
        console.print(part)
    return console.export_text()


@pytest.mark.parametrize("width", [60, 80, 120, 250])
def test_a_narrow_terminal_cuts_no_number(tables, width):
    shown = printed(tables["table2"], width)
    assert "…" not in shown
    assert max(map(len, shown.splitlines())) <= width
    for cell in tables["table2"].cells.values():
        assert number(cell.ours, cell.unit) in shown
        assert f"[{interval(cell.low, cell.high, cell.unit)}]" in shown
    for column in tables["table2"].columns:
        assert column in shown


def test_no_width_cuts_a_name():
    cells = [
        Cell("compare", row, f"Column {j}", i, j, "l2", 1.5, 1.25, 1.75, 1, 2)
        for i, row in enumerate(("deepfool", "closest"))
        for j in range(7)
    ]
    for width in range(40, 150):
        shown = printed(gather(cells)[0], width)
        assert "…" not in shown
        assert "deepfool" in shown


def test_terminal_shows_ours_its_interval_and_the_papers_value(tables):
    shown = printed(tables["table1"], 200)
    for network in NETWORKS:
        assert network in shown
    cell = tables["table1"].at("AE400-10", "Av. min. distortion")
    assert number(cell.ours, cell.unit) in shown
    assert f"[{interval(cell.low, cell.high, cell.unit)}]" in shown
    assert "paper 0.086" in shown
    assert f"seeds {interval(cell.seed_low, cell.seed_high, cell.unit)}" in shown


def test_a_hole_in_a_table_is_a_dash_everywhere():
    cells = [
        Cell("t", "a", "x", 0, 0, "%", 1.0, 0.5, 2.0, 1, 100),
        Cell("t", "b", "y", 1, 1, "%", 1.0, 0.5, 2.0, 1, 100),
    ]
    (table,) = gather(cells)
    assert table.at("a", "y") is None
    assert " & -- \\\\" in to_latex(table)
    assert "–" in printed(table, 100)


def test_numbers_keep_the_papers_digits_and_never_round_to_certainty():
    assert paper_number(6.25, "%") == "6.25 %"
    assert paper_number(10.0, "%") == "10 %"
    assert number(99.97, "%") == "99.97 %"
    assert number(0.03, "%") == "0.03 %"
