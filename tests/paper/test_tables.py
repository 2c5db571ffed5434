from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from scipy import stats
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.paper import tables
from intriguing.paper.config import SCALES, ReproduceConfig
from intriguing.paper.items import DEFAULT
from intriguing.paper.materials import Materials
from intriguing.paper.networks import draw
from intriguing.paper.remarks import Remarks, rank_agreement
from intriguing.paper.reproduce import reproduce, stages_of
from intriguing.results.measured import Condition, Measurement, Metric, where
from intriguing.results.parquet import read_rows
from intriguing.results.published import published
from intriguing.runs.examples import Examples
from intriguing.runs.training import Training
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import run_in_shards
from tests.paper import running


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
    images = partly.images
    sets, attacks = {"train": images, "test": images}, {"net": partly}
    one = tables.summary("table1", {}, sets, attacks, "train", 0)
    two = tables.across(
        Rows("table2"), {"zero": first_class}, images, attacks, tables.TABLE2, torch.Generator()
    )
    for rows in (one, where(two, made_for="net")):
        (mean,) = where(rows, metric=Metric.MEAN_DISTORTION)
        assert mean.value == pytest.approx(0.35)
        assert (mean.count, mean.total) == (6, 10)
    wrong = int((images.labels[:6] != 0).sum())
    about = {"metric": Metric.ERROR, "network": "zero", "made_for": "net"}
    (error,) = where(two, analysis="table2", **about)
    assert error.value == pytest.approx(100 * wrong / 6)
    # Who gives every image one class misreads as much without any change: nothing is left.
    raw, clean = where(two, analysis="table2-net", **about)
    assert (raw.images, clean.images) == ("", "clean")
    assert raw.value == clean.value == error.value
    nets = where(two, analysis="table2-net", metric=Metric.ERROR_DIFFERENCE)
    assert {(net.condition, net.size) for net in nets} == {
        (Condition.ADVERSARIAL, None), (Condition.NOISE, 0.1), (Condition.NOISE, 0.3),
    }  # fmt: skip
    assert {net.value for net in nets} == {0.0}


def test_stages_are_of_the_sets_and_networks_that_they_name() -> None:
    given = Materials(ReproduceConfig(scale="smoke"))
    sets = given.sets[0]
    (one,), (three,) = tables.make_table1(given), tables.make_table3(given)
    assert isinstance(one, tables.Summary)
    assert isinstance(three, tables.Summary)
    assert (one.sets["train"], one.sets["test"]) == (sets.train, sets.test)
    assert (three.sets["P1"], three.sets["P2"], three.sets["test"]) == (sets.p1, sets.p2, sets.test)
    assert {attack.network.images.name for attack in one.attacks} == {sets.train.name}
    assert [attack.network.images for attack in three.attacks] == [sets.p1, sets.p1, sets.p2]
    assert one.attacks[0].plan.images.ids == sets.train.ids[:60]
    assert three.attacks[0].plan.images.ids == sets.test.ids[:60]


def test_further_networks_differ_in_what_they_say() -> None:
    given = Materials(ReproduceConfig(scale="smoke", further=("conv", "seed", "relu", "tanh")))
    paper = Materials(ReproduceConfig(scale="smoke"))
    assert [one.key for one in given.whole(0)[:6]] == [one.key for one in paper.whole(0)]
    conv, again, relu, tanh = (one.network for one in given.whole(0)[6:])
    plain = given.whole(0)[3].network
    assert (conv.recipe.architecture, tanh.recipe.architecture) == (
        "conv32-64-200-10", "tanh100-100-10",
    )  # fmt: skip
    assert relu.recipe.architecture == "mlp100-100-10"
    # Of other initial weights, and alike in all that is no name:
    named = {"name": "", "slug": ""}
    assert again.seed != plain.seed
    assert replace(again.recipe, **named) == replace(plain.recipe, **named)
    assert again.images == plain.images
    half = [one.network for one in given.halves(0)[3:]]
    assert {one.images.sha256 for one in half} == {given.sets[0].p1.sha256}
    assert len({one.slug for one in (*half, conv, again, relu, tanh)}) == 8


def test_further_networks_leave_the_papers_numbers_as_they_are(smoke: Path, tmp_path: Path) -> None:
    config = replace(running.CONFIG, items=("table4",), further=("seed", "relu"))
    reproduce(config, tmp_path / "more")
    before, after = (
        where(read_rows(folder, Measurement), analysis="table4")
        for folder in (smoke, tmp_path / "more")
    )
    assert before
    assert all(row in after for row in before)
    more = {row.network for row in after} - {row.network for row in before}
    assert more == {"FC100-100-10*", "ReLU100-100-10"}
    crossed = where(after, metric=Metric.ERROR, made_for="FC100-100-10*", network="FC123-456-10")
    assert [row.condition for row in crossed] == [Condition.ADVERSARIAL, Condition.AMPLIFIED]


def test_further_networks_that_cannot_be_had_are_refused() -> None:
    with pytest.raises(InputError, match="conv, seed, relu, tanh"):
        ReproduceConfig(items=("table1",), further=("resnet",))
    with pytest.raises(InputError, match="table1, table2, table3, table4"):
        ReproduceConfig(items=("figure7",), further=("conv",))


def test_what_was_not_found_is_said(partly: Attacked) -> None:
    stage = Remarks(("table1",), SCALES["quick"], "squared", (), (), ())
    remarks = " ".join(stage.notes({"FC10(1)": partly}, []))
    assert "FC10(1) 6 of 10" in remarks
    assert "4,000 images" in remarks


def test_noise_is_drawn_by_the_generator_and_not_clipped() -> None:
    images = load_data("digits").test
    flat = ImageSet("half", torch.full_like(images.images, 0.99), images.labels, images.ids,
                    images.class_names)  # fmt: skip
    networks = {"n": nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()}
    rows = [
        tables.across(
            Rows("table2"), networks, flat, {}, tables.TABLE2, torch.Generator().manual_seed(seed)
        )
        for seed in (0, 0, 1)
    ]
    assert rows[0] == rows[1] != rows[2]
    (size,) = where(rows[0], metric=Metric.MEAN_DISTORTION, condition=Condition.NOISE, size=0.3)
    assert size.value == pytest.approx(0.3, rel=0.01)


def measured(name: str, others: Callable[[int], float | None]) -> list[Measurement]:
    """The paper's values as ours; where others are shown a network's examples, `others` of place.

    What is on the diagonal, and under noise, is wrong by much.
    """
    return [
        replace(row, value=row.value if value is None else value, seed=0)
        if row.transferred
        else replace(row, value=-7.0 * row.value)
        for place, row in enumerate(published(name))
        for value in (others(place),)
    ]


@pytest.mark.parametrize(("name", "off_diagonal"), [("table2", 30), ("table4", 12)])
def test_agreement_looks_off_the_diagonal_only(name: str, off_diagonal: int) -> None:
    assert rank_agreement(measured(name, lambda place: None), name) == pytest.approx(1.0)
    rows = measured(name, lambda place: float((place * 37) % 101))
    pairs = [
        (ours.value, paper.value)
        for ours, paper in zip(rows, published(name), strict=True)
        if paper.metric is Metric.ERROR and paper.made_for not in ("", paper.network)
    ]
    assert len(pairs) == off_diagonal
    ranks = map(stats.rankdata, zip(*pairs, strict=True))
    assert rank_agreement(rows, name) == pytest.approx(stats.pearsonr(*ranks).statistic)
    second = [replace(row, value=50.0, seed=1) for row in rows]
    assert rank_agreement([*rows, *second], name) == rank_agreement(rows, name)


@pytest.mark.parametrize(
    ("items", "trained", "attacked"),
    [
        (("table1",), 6, 6),
        (("table2", "filters"), 6, 6),
        (("table3",), 3, 3),
        (("table4", "figure7"), 5, 3),
        (("figure7",), 2, 0),
        (("filters",), 1, 0),
        (DEFAULT, 10, 9),
    ],
)
def test_only_what_is_needed_is_made(items: tuple[str, ...], trained: int, attacked: int) -> None:
    needed = stages_of(Materials(ReproduceConfig(items=items)))
    assert sum(isinstance(one, Training) for one in needed) == trained
    assert sum(isinstance(one, Examples) for one in needed) == attacked


def test_every_network_of_every_seed_has_files_and_draws_of_its_own() -> None:
    stages = stages_of(Materials(ReproduceConfig(scale="smoke", seeds=3)))
    assert (
        len({one.identity for one in stages}) == len({one.title for one in stages}) == len(stages)
    )
    needed = [one for one in stages if isinstance(one, Training)]
    assert len({one.slug for one in needed}) == len({one.seed for one in needed}) == 30
    drawn = [one.plan.targets for one in stages if isinstance(one, Examples)]
    assert len({tuple(targets.tolist()) for targets in drawn}) == 27


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
