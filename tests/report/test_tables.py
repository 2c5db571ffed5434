import csv
import io
from dataclasses import replace

import pytest
from rich.console import Console

from intriguing.report.layouts import gather
from intriguing.report.numbers import interval, number, paper_number
from intriguing.report.tables import latex_escape, to_csv, to_latex, to_terminal
from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.results.parquet import read_rows
from tests.report.sample import NETWORKS, TABLE2, write_sample


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return read_rows(write_sample(tmp_path_factory.mktemp("sample")), Measurement)


@pytest.fixture(scope="module")
def tables(sample):
    return {table.name: table for table in gather(sample)}


def measurement(**about):
    return Measurement("attack", Metric.FOOLED, "%", 1.0, 0.5, 2.0, 1, 100, **about)


def labelled(table, row, column):
    """The cell that people find there."""
    (cell,) = [c for c in table.where() if (c.row, c.column) == (row, column)]
    return cell


def test_rows_stand_as_in_the_file_and_columns_in_the_papers_order(sample, tables):
    table = tables["table2"]
    assert [*table.columns.values()] == [*NETWORKS, "Av. distortion"]
    assert [*table.rows.values()] == [
        *NETWORKS, "Gaussian noise, stddev=0.1", "Gaussian noise, stddev=0.3"
    ]  # fmt: skip
    rows = [row for row in sample if row.analysis == "table2"]
    (again,) = gather(reversed(rows))
    assert list(again.rows) == list(reversed(table.rows))
    assert [*again.columns.values()][-1] == "Av. distortion"


def test_every_paper_value_is_in_the_cell_the_paper_prints_it_in(tables):
    table = tables["table2"]
    for i, row in enumerate(table.rows.values()):
        for j, column in enumerate(NETWORKS):
            assert labelled(table, row, column).paper == TABLE2[i][j]


def test_a_cell_is_found_by_what_it_is_about(tables):
    (noise,) = tables["table2"].where(
        condition=Condition.NOISE, size=0.3, network="FC10(1)", metric=Metric.ERROR
    )
    assert (noise.row, noise.column) == ("Gaussian noise, stddev=0.3", "FC10(1)")
    own = tables["table2"].where(own=True)
    assert [(cell.row, cell.value) for cell in own] == [(name, 100) for name in NETWORKS]


def test_csv_gives_back_every_number_exactly(tables):
    for table in tables.values():
        rows = list(csv.DictReader(io.StringIO(to_csv(table))))
        assert len(rows) == len(table.cells)
        for row in rows:
            cell = labelled(table, row["row"], row["column"])
            for field in ("ours", "low", "high", "paper", "seed_low", "seed_high"):
                value = getattr(cell, "value" if field == "ours" else field)
                assert (None if row[field] == "" else float(row[field])) == value
            assert int(row["count"]) == cell.count


def test_csv_quotes_names_with_commas_and_quotes():
    (table,) = gather([measurement(network='a, "b"\nc')])
    (row,) = csv.DictReader(io.StringIO(to_csv(table)))
    assert (row["row"], row["column"]) == ('a, "b"\nc', "Fooled")


def test_several_seeds_show_the_first_or_what_is_over_all_and_their_range():
    each = [replace(measurement(network="a", seed=seed), value=3.0 - seed) for seed in range(3)]
    for rows, shown in ((each, 3.0), ([*each, measurement(network="a")], 1.0)):
        (cell,) = gather(rows)[0].where()
        assert (cell.value, cell.seeds, cell.seed_low, cell.seed_high) == (shown, 3, 1.0, 3.0)
    (cell,) = gather(each[:1])[0].where()
    assert (cell.seeds, cell.seed_low, cell.seed_high) == (1, None, None)


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
        assert number(cell.value, cell.unit) in shown
        assert f"[{interval(cell.low, cell.high, cell.unit)}]" in shown
    for column in tables["table2"].columns.values():
        assert column in shown


def test_no_width_cuts_a_name():
    rows = [
        Measurement("compare", metric, "l2", 1.5, 1.25, 1.75, 1, 2, method=method)
        for method in ("deepfool", "closest")
        for metric in Metric
    ]
    for width in range(40, 150):
        shown = printed(gather(rows)[0], width)
        assert "…" not in shown
        assert "deepfool" in shown


def test_terminal_shows_ours_its_interval_and_the_papers_value(tables):
    shown = printed(tables["table1"], 200)
    for network in NETWORKS:
        assert network in shown
    cell = tables["table1"].first(network="AE400-10", metric=Metric.MEAN_DISTORTION)
    assert number(cell.value, cell.unit) in shown
    assert f"[{interval(cell.low, cell.high, cell.unit)}]" in shown
    assert "paper 0.086" in shown
    assert f"seeds {interval(cell.seed_low, cell.seed_high, cell.unit)}" in shown


def test_a_hole_in_a_table_is_a_dash_everywhere():
    first = measurement(network="a")
    (table,) = gather([first, replace(measurement(network="b"), metric=Metric.PROVED)])
    assert table.at(("a",), (Metric.PROVED,)) is None
    assert table.at(("a",), (Metric.FOOLED,)) is not None
    assert " & -- \\\\" in to_latex(table)
    assert "–" in printed(table, 100)


def test_numbers_keep_the_papers_digits_and_never_round_to_certainty():
    assert paper_number(6.25, "%") == "6.25 %"
    assert paper_number(10.0, "%") == "10 %"
    assert number(99.97, "%") == "99.97 %"
    assert number(0.03, "%") == "0.03 %"
