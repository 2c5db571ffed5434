from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.paper import tables
from intriguing.paper.comparison import rank_agreement
from intriguing.paper.config import ITEMS, SCALES, ReproduceConfig, draw, jobs
from intriguing.paper.notes import notes
from intriguing.paper.tables import Value
from intriguing.results.older import said_by_names
from intriguing.results.published import published_table
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import run_in_shards


@pytest.fixture
def partly(tmp_path: Path) -> Attacked:
    """Ten images moved by 0.1, 0.2 … in every pixel; of the last four nothing was found."""
    images = load_data("digits").test.first(10)
    moved = torch.arange(1, 11).view(-1, 1, 1, 1) / 10
    found = torch.arange(10) < 6

    def columns(items: slice, report: object) -> dict[str, torch.Tensor]:
        adversarial = torch.where(found[items].view(-1, 1, 1, 1), images.images + moved, torch.nan)
        return {
            "adversarial": adversarial[items],
            "distortion": torch.where(found, moved.flatten(), torch.inf)[items],
            "success": found[items],
        }

    return Attacked(images, run_in_shards(columns, 10, 10, tmp_path, "moved"))


def test_averages_and_errors_are_over_what_was_found(partly: Attacked) -> None:
    first_class = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    with torch.no_grad():
        first_class[1].weight.zero_()
        first_class[1].bias.copy_(-torch.arange(10.0))
    value = tables.found_distortion(partly)
    assert value.ours == pytest.approx(0.35)
    assert (value.count, value.total) == (6, 10)
    values = tables.table2({"zero": first_class}, partly.images, {"row": partly}, torch.Generator())
    wrong = int((partly.images.labels[:6] != 0).sum())
    assert values["row", "zero"].ours == pytest.approx(100 * wrong / 6)
    assert values["row", "Av. distortion"].ours == pytest.approx(0.35)


def test_what_was_not_found_is_said(partly: Attacked) -> None:
    config = ReproduceConfig(items=("table1",))
    remarks = " ".join(notes(config, SCALES["quick"], [], {"FC10(1)": partly}, []))
    assert "FC10(1) 6 of 10" in remarks
    assert "4,000 images" in remarks


def test_noise_is_drawn_by_the_generator_and_not_clipped() -> None:
    images = load_data("digits").test
    flat = ImageSet("half", torch.full_like(images.images, 0.99), images.labels, images.ids,
                    images.class_names)  # fmt: skip
    networks = {"n": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()}
    rows = [
        tables.table2(networks, flat, {}, torch.Generator().manual_seed(seed)) for seed in (0, 0, 1)
    ]
    key = ("Gaussian noise, stddev=0.3", "Av. distortion")
    assert rows[0] == rows[1] != rows[2]
    assert rows[0][key].ours == pytest.approx(0.3, rel=0.01)


def test_a_cell_shows_the_first_seed_and_the_range() -> None:
    table = published_table("table3")
    places = [(row, column) for row in table.rows for column in table.columns]
    seeds = [{place: Value(v, v - 1, v + 1, 2, 100) for place in places} for v in (5.0, 3.0, 9.0)]
    cells = tables.to_cells("table3", seeds)
    assert len(cells) == len(places)
    assert {(c.ours, c.low, c.high, c.seeds, c.seed_low, c.seed_high) for c in cells} == {
        (5.0, 4.0, 6.0, 3, 3.0, 9.0)
    }
    assert {c.unit for c in cells if "Distortion" in c.column} == {"distortion"}
    assert all(c.seed_low is None for c in tables.to_cells("table3", seeds[:1]))


def cells_of(name: str, change: float = 0.0):
    table = published_table(name)
    values = {
        (row, column): Value(table.at(row, column) or 0.0, 0, 0, 0, 0)
        for row in table.rows
        for column in table.columns
    }
    for (row, column), value in values.items():
        other = row.removeprefix("Distorted for ").split(" ampl")[0]
        if "noise" in row or column == other or "istortion" in column:
            values[row, column] = Value(value.ours * change, 0, 0, 0, 0)
    return said_by_names(tables.to_cells(name, [values]))


@pytest.mark.parametrize(("name", "off_diagonal"), [("table2", 30), ("table4", 12)])
def test_agreement_looks_off_the_diagonal_only(name: str, off_diagonal: int) -> None:
    assert rank_agreement(cells_of(name, change=-7.0), name) == pytest.approx(1.0)
    cells = cells_of(name)
    table = published_table(name)
    ours, theirs = [], []
    for index, cell in enumerate(cells):
        row_network = cell.row.removeprefix("Distorted for ").split(" amplified")[0]
        if cell.unit == "%" and row_network in table.columns and row_network != cell.column:
            changed = (index * 37) % 101
            object.__setattr__(cell, "ours", float(changed))
            ours.append(changed)
            theirs.append(table.at(cell.row, cell.column))
    assert len(ours) == off_diagonal
    ranks = stats.rankdata(ours), stats.rankdata(theirs)
    assert rank_agreement(cells, name) == pytest.approx(stats.pearsonr(*ranks).statistic)


@pytest.mark.parametrize(
    ("items", "trained", "attacked"),
    [
        (("table1",), 6, 6),
        (("table2", "filters"), 6, 6),
        (("table3",), 3, 3),
        (("table4", "figure7"), 5, 3),
        (("figure7",), 2, 0),
        (("filters",), 1, 0),
        (ITEMS, 10, 9),
    ],
)
def test_only_what_is_needed_is_made(items: tuple[str, ...], trained: int, attacked: int) -> None:
    needed = jobs(ReproduceConfig(items=items))
    assert len(needed) == trained
    assert sum(job.attacked_on is not None for job in needed) == attacked


def test_every_network_of_every_seed_has_files_and_draws_of_its_own() -> None:
    needed = jobs(ReproduceConfig(seeds=3))
    assert len(needed) == 30
    assert len({job.key for job in needed}) == 30
    assert len({job.title for job in needed}) == 30
    assert len({job.draw(what) for job in needed for what in ("training", "targets")}) == 60


def test_draws_are_the_same_in_every_process() -> None:
    assert draw("123456789") == 0xCBF43926  # the check value of CRC-32


def test_wrong_requests_are_named() -> None:
    for wrong, words in (
        ({"items": ("table9",)}, "table9 cannot be reproduced; choose from table1"),
        ({"items": ()}, "nothing is asked"),
        ({"scale": "huge"}, "unknown scale 'huge'; one of smoke, quick, paper"),
        ({"seeds": 0}, "0 seeds"),
        ({"shard_size": 0}, "shards of 0"),
    ):
        with pytest.raises(InputError, match=words):
            ReproduceConfig(**wrong)
