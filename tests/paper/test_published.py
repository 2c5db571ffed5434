import tomllib
from importlib.resources import files
from pathlib import Path

import pytest

from intriguing.errors import InputError
from intriguing.paper.hardening.claims import CLAIMS
from intriguing.paper.hardening.families import FAMILIES
from intriguing.paper.networks import MNIST_NETWORKS, SPLIT_NETWORKS
from intriguing.results.published import published_figure7, published_numbers, published_table
from intriguing.results.store import read_cells
from tests.oracles import published

RESULTS = Path(__file__).parents[2] / "docs" / "results"

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


@pytest.mark.parametrize("name", TABLES)
def test_every_number_is_the_printed_one(name: str) -> None:
    text, columns = published.TABLES[name]
    printed, table = published.read(text), published_table(name)
    assert table.columns == columns
    assert dict(zip(table.rows, table.values, strict=True)) == printed
    assert tuple(table.rows) == tuple(printed)
    (percent,) = published.units(text)
    assert tuple(unit == "%" for unit in table.units) == percent


def test_figures_and_text_are_the_printed_ones() -> None:
    panels = [(p.letter, p.row, p.stddev, p.accuracy) for p in published_figure7()]
    assert tuple(panels) == published.FIGURE7
    assert published_numbers("figure5") == published.FIGURE5
    assert published_numbers("hardening") == published.HARDENING
    assert {recipe.name: recipe.decay for recipe in MNIST_NETWORKS} == published.DECAY


def test_no_number_of_the_file_is_left_unread() -> None:
    """What the tests above compare is all that there is."""
    text = files("intriguing.results").joinpath("published.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    assert set(content) == {*published.TABLES, "figure5", "figure7", "hardening"}
    cells = sum(len(row) for name in published.TABLES for row in content[name]["values"])
    assert cells == 6 * 3 + 8 * 7 + 3 * 4 + 8 * 4 + 8


def test_what_is_printed_beside_ours_is_what_the_paper_prints() -> None:
    """Where numbers are used: tables of the committed run, Figure 5, the study of hardening."""
    cells = read_cells(RESULTS / "mnist")
    for name in TABLES[:4]:
        text, columns = published.TABLES[name]
        for row, values in published.read(text).items():
            for column, value in zip(columns, values, strict=True):
                (cell,) = [c for c in cells if (c.table, c.row, c.column) == (name, row, column)]
                assert cell.paper == value
    ostriches = [c for c in read_cells(RESULTS / "squeezenet") if c.table == "target"]
    assert {c.paper for c in ostriches} == {None, published.FIGURE5["average_distortion"]}
    printed = {family.slug: family.paper for family in FAMILIES if family.paper is not None}
    told = published.HARDENING
    assert printed == {
        "weight-decay": told["weight_decay"], "dropout": told["dropout"],
        "pools-joint": told["adversarial_pool"], "pools-alternating": told["adversarial_pool"],
    }  # fmt: skip
    least = {(c.better, c.worse) for c in CLAIMS if isinstance(c.worse, float)}
    assert least == {
        ("weight-decay", 1.7), ("dropout", 1.4), ("pools-alternating", 1.2), ("pools-joint", 1.2)
    }  # fmt: skip
