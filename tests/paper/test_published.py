import math
import os
import re
from pathlib import Path

import pytest

from intriguing.errors import InputError
from intriguing.paper.networks import MNIST_NETWORKS, SPLIT_NETWORKS
from intriguing.paper.published import published_figure7, published_table

TABLES = ("table1", "table2", "table3", "table4", "table5")


@pytest.mark.parametrize("name", TABLES)
def test_every_cell_has_a_row_a_column_and_a_unit(name: str) -> None:
    table = published_table(name)
    assert len(table.values) == len(table.rows) == len(set(table.rows))
    assert len(table.units) == len(table.columns) == len(set(table.columns))
    assert all(len(row) == len(table.columns) for row in table.values)


def test_what_the_paper_says_twice_agrees() -> None:
    one, two, three, four = (published_table(f"table{i}") for i in range(1, 5))
    for row in one.rows:
        assert one.at(row, "Av. min. distortion") == two.at(row, "Av. distortion")
        assert two.at(row, row) == 100
    for row in three.rows:
        assert three.at(row, "Min Av. Distortion") == four.at(
            f"Distorted for {row}", "Av. distortion"
        )
        assert four.at(f"Distorted for {row}", row) == 100


def test_rows_are_the_networks_that_are_trained() -> None:
    assert published_table("table1").rows == tuple(recipe.name for recipe in MNIST_NETWORKS)
    assert published_table("table3").rows == tuple(recipe.name for recipe, _ in SPLIT_NETWORKS)
    assert {panel.row for panel in published_figure7()[:2]} <= set(published_table("table1").rows)


def test_what_is_not_printed_is_none() -> None:
    assert published_table("table1").at("FC10(1)", "Colour") is None
    assert published_table("table2").at("ResNet", "FC10(1)") is None
    with pytest.raises(InputError, match=r"no 'table9'; one of table1"):
        published_table("table9")


@pytest.mark.skipif(
    "INTRIGUING_PAPER" not in os.environ, reason="INTRIGUING_PAPER names no text of the paper"
)
def test_numbers_are_those_of_the_text() -> None:
    """Against a text of the paper whose tables have one tab-separated line a row."""
    lines = Path(os.environ["INTRIGUING_PAPER"]).read_text(encoding="utf-8").splitlines()
    printed = [
        [float(number) for number in re.findall(r"(?<=\t)(\d+\.?\d*)%?(?=\t|$)", line)]
        for line in lines
        if "\t" in line
    ]
    for name in TABLES[:3]:
        for row in published_table(name).values:
            assert [value for value in row if not math.isnan(value)] in printed
    for row in published_table("table4").values:
        assert list(row[:3]) in printed
