import math
import tomllib
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import pytest

from intriguing.errors import InputError
from intriguing.paper.hardening.regimes import REGIMES
from intriguing.paper.networks import MNIST_NETWORKS, SPLIT_NETWORKS
from intriguing.report.layouts import gather
from intriguing.results.measured import Condition, Metric, where
from intriguing.results.published import (
    paper_value,
    published,
    published_claims,
    published_figure5,
    published_figure7,
)
from tests.oracles import published as published_anew
from tests.shown import shown

RESULTS = Path(__file__).parents[2] / "docs" / "results"

TABLES = ("table1", "table2", "table3", "table4", "table5")


def printed(name: str) -> dict[tuple[str, str], float]:
    """What the paper prints in a table, under the labels that ours has."""
    (table,) = gather(published(name))
    return {(cell.row, cell.column): cell.value for cell in table.where()}


def value(name: str, **about: object) -> float:
    (row,) = where(published(name), **about)
    return row.value


def test_what_the_paper_says_twice_agrees() -> None:
    for network in names("table1"):
        least = value("table1", network=network, metric=Metric.MEAN_DISTORTION)
        shown = {"made_for": network, "condition": Condition.ADVERSARIAL}
        assert least == value("table2", metric=Metric.MEAN_DISTORTION, **shown)
        assert value("table2", network=network, **shown) == 100
    for network in names("table3"):
        least = value("table3", network=network, metric=Metric.MEAN_DISTORTION)
        shown = {"made_for": network, "condition": Condition.ADVERSARIAL}
        assert least == value("table4", metric=Metric.MEAN_DISTORTION, **shown)
        assert value("table4", network=network, **shown) == 100


def names(name: str) -> list[str]:
    return list(dict.fromkeys(row.network for row in published(name)))


def test_networks_are_those_that_are_trained() -> None:
    assert names("table1") == [recipe.name for recipe in MNIST_NETWORKS]
    assert names("table3") == [recipe.name for recipe, _ in SPLIT_NETWORKS]
    assert {panel.network for panel in published_figure7()[:2]} <= set(names("table1"))


def test_a_value_is_found_by_what_it_is_of_and_by_nothing_else() -> None:
    for name in (*TABLES[:4], "hardening"):
        for row in published(name):
            assert paper_value(row) == row.value
            assert paper_value(replace(row, value=-1.0, count=5, seed=3)) == row.value
            for other in ({"analysis": "transfer"}, {"made_for": "x"}, {"size": 0.2},
                          {"images": "P3"}, {"condition": Condition.AMPLIFIED, "size": 7.0},
                          {"metric": Metric.MEDIAN_L2}):  # fmt: skip
                assert paper_value(replace(row, **other)) is None
            if row.network:
                assert paper_value(replace(row, network="ResNet")) is None
    with pytest.raises(InputError, match=r"no 'table9'; one of table1"):
        published("table9")


@pytest.mark.parametrize("name", TABLES)
def test_every_number_is_the_printed_one(name: str) -> None:
    text, columns = published_anew.TABLES[name]
    columns = ("Paper, mended",) if name == "table5" else columns
    rows = published_anew.read(text)
    there = printed(name)
    assert {
        (row, column): value
        for row, values in rows.items()
        for column, value in zip(columns, values, strict=True)
    } == {key: value for key, value in there.items() if key[0] in rows}
    if name == "table5":  # and the product, and the pools, which §4.3 calls contractive
        more = {row: value for (row, _), value in there.items() if row not in rows}
        product = math.prod(value for (value,) in rows.values())
        assert more == {"Product": product, "Pool 1": 1, "Pool 2": 1, "Pool 5": 1}
    else:
        (percent,) = published_anew.units(text)
        (table,) = gather(published(name))
        units = [table.where(column=column)[0].unit for column in columns]
        assert tuple(unit == "%" for unit in units) == percent
        assert [*table.rows.values()] == list(rows)
        assert [*table.columns.values()] == list(columns)


def test_figures_and_text_are_the_printed_ones() -> None:
    panels = [
        (p.letter, p.network or f"Gaussian noise, stddev={p.stddev:g}", p.stddev, p.accuracy)
        for p in published_figure7()
    ]
    assert tuple(panels) == published_anew.FIGURE7
    assert published_figure5() == tuple(published_anew.FIGURE5.values())
    told = published_anew.HARDENING
    assert {row.method: row.value for row in published("hardening")} == {
        "Weight decay": told["weight_decay"], "Dropout": told["dropout"],
        "All pools, joint": told["adversarial_pool"],
        "All pools, alternating": told["adversarial_pool"],
    }  # fmt: skip
    assert {recipe.name: recipe.decay for recipe in MNIST_NETWORKS} == published_anew.DECAY


def test_no_number_of_the_file_is_left_unread() -> None:
    """What the tests above compare is all that there is."""
    text = files("intriguing.results").joinpath("published.toml").read_text(encoding="utf-8")
    content = tomllib.loads(text)
    assert set(content) == {*published_anew.TABLES, "figure5", "figure7", "hardening", "claims"}
    tables = (*published_anew.TABLES, "hardening")
    values = sum(len(row) for name in tables for row in content[name]["values"])
    assert values == 6 * 3 + 8 * 7 + 3 * 4 + 8 * 4 + 8 + 4


def test_what_is_printed_beside_ours_is_what_the_paper_prints() -> None:
    """Where numbers are used: tables of the committed run, Figure 5, the study of hardening."""
    cells = shown(RESULTS / "mnist")
    for name in TABLES[:4]:
        text, columns = published_anew.TABLES[name]
        for row, values in published_anew.read(text).items():
            for column, value in zip(columns, values, strict=True):
                (cell,) = [c for c in cells if (c.analysis, c.row, c.column) == (name, row, column)]
                assert cell.paper == value
    ostriches = [c for c in shown(RESULTS / "squeezenet") if c.analysis == "target"]
    assert {c.paper for c in ostriches} == {None, published_anew.FIGURE5["average_distortion"]}
    study = [c for c in shown(RESULTS / "hardening") if c.analysis == "hardening"]
    beside = {c.row: c.paper for c in study if c.paper is not None}
    assert beside == {row.method: row.value for row in published("hardening")}


def test_the_claims_are_of_families_that_are_trained() -> None:
    families = {family.name for family in REGIMES}
    assert {row.method for row in published("hardening")} <= families
    claims = published_claims()
    assert {c.better for c in claims} <= families
    assert {c.worse for c in claims if isinstance(c.worse, str)} <= families
    assert len({(c.better, c.reference) for c in claims}) == len(claims) == 14
    least = {(c.better, c.worse) for c in claims if isinstance(c.worse, float)}
    assert least == {
        ("Weight decay", 1.7), ("Dropout", 1.4), ("All pools, alternating", 1.2),
        ("All pools, joint", 1.2),
    }  # fmt: skip
