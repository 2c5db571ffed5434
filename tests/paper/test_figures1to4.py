"""Figures 1 to 4: what is trained, shown and said, on digits and on photographs made here."""

import dataclasses

import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.errors import InputError
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.items import DEFAULT
from intriguing.paper.materials import Materials
from intriguing.paper.reproduce import reproduce, stages_of
from intriguing.report.html import draw_report
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ClaimRow, TopRow
from intriguing.runs.examples import Examples
from intriguing.runs.study import Study, prepare
from intriguing.runs.training import Training
from intriguing.units.claim import DELTAS

FIGURES = ReproduceConfig(items=("figure1", "figure2"), scale="smoke")
NETWORK = """
import torch
from torch import nn

def build():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.ReLU(),
                        nn.Flatten(), nn.Linear(6 * 12 * 12, 5)).eval()
    net.shape = (3, 16, 16)
    return net
"""


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    folder = tmp_path_factory.mktemp("figures")
    return folder, reproduce(FIGURES, folder)


@pytest.fixture
def photographs(tmp_path):
    (tmp_path / "net.py").write_text(NETWORK)
    rng = np.random.default_rng(0)
    (tmp_path / "photos").mkdir()
    for i in range(24):
        pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "photos" / f"p{i:02d}.png")
    (tmp_path / "photos" / "broken.png").write_bytes(b"no picture")
    return dataclasses.replace(
        FIGURES, items=("figure3", "figure4"), network=f"{tmp_path / 'net.py'}:build",
        images=str(tmp_path / "photos"),
    )  # fmt: skip


def test_one_convolutional_network_a_seed_is_trained_and_not_attacked() -> None:
    needed = stages_of(Materials(dataclasses.replace(FIGURES, seeds=3)))
    assert [(one.called, one.number) for one in needed if isinstance(one, Training)] == [
        ("conv32-64-200-10", seed) for seed in range(3)
    ]
    assert not [one for one in needed if isinstance(one, Examples)]


def test_units_are_shown_in_figure_1_and_directions_in_figure_2(digits) -> None:
    folder, record = digits
    assert record.figures == ("figure1", "figure2")
    assert [model.name for model in record.models] == ["conv32-64-200-10"]
    assert record.models[0].test_error is not None
    tops = read_columns(folder, TopRow)
    assert set(tops["layer"]) == {"relu1", "relu2", "relu3"}
    assert set(tops["basis"]) == {"natural", "random"}
    held_out = {name.split("/")[0] for name in tops["image_id"]}
    assert held_out == {"digits"}


def test_every_layers_verdict_stands_under_its_pictures(digits) -> None:
    folder, _ = digits
    draw_report(folder)
    page = (folder / "report" / "index.html").read_text(encoding="utf-8")
    claims = read_rows(folder, ClaimRow)
    assert [claim.layer for claim in claims] == ["relu1", "relu2", "relu3"]
    for claim in claims:
        for number, basis in ((1, "natural"), (2, "random")):
            title = page.index(f"Figure {number}. {claim.layer}, {basis} basis")
            assert page[title:].index(claim.sentence.split(".")[0]) > 0
            name = f"figure{number}-{claim.layer}-{basis}.png"
            assert (folder / "report" / "figures" / name).is_file()


def test_figure_1_alone_shows_no_random_directions(tmp_path, digits) -> None:
    alone = dataclasses.replace(FIGURES, items=("figure1",))
    reproduce(alone, digits[0])
    assert set(read_columns(digits[0], TopRow)["basis"]) == {"natural"}


def test_figures_3_and_4_take_any_network_and_pictures(tmp_path, photographs) -> None:
    record = reproduce(photographs, tmp_path / "out")
    assert record.figures == ("figure3", "figure4")
    assert any("broken.png" in note for note in record.notes)
    tops = read_columns(tmp_path / "out", TopRow)
    assert set(tops["layer"]) == {"3"}
    assert record.data[-1].images == 24
    (claim,) = read_rows(tmp_path / "out", ClaimRow)
    assert (claim.measure, claim.delta) == ("pixels", DELTAS["pixels"])
    draw_report(tmp_path / "out")
    assert (tmp_path / "out" / "report" / "figures" / "figure4-3-random.png").is_file()
    assert (tmp_path / "out" / "report" / "units.html").is_file()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"items": ("figure3",)}, "--images"),
        ({"items": ("figure3",), "network": "a.py:b"}, "--images"),
        ({"items": ("figure1",), "images": "photos"}, "figure3 and figure4"),
        ({"items": ("figure1", "figure3"), "network": "a", "images": "b"}, "apart"),
        ({"items": ("table1",), "network": "a"}, "table5, figure3"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, told) -> None:
    with pytest.raises(InputError, match=told):
        dataclasses.replace(FIGURES, **changes)


def test_figures_3_and_4_are_made_only_when_asked_for() -> None:
    assert not {"figure3", "figure4"} & set(DEFAULT)


def test_an_image_of_its_own_class_each_is_measured_in_pixels() -> None:
    from intriguing.data.dataset import ImageSet

    images = ImageSet("x", torch.rand(20, 1, 4, 4), torch.arange(20), tuple(map(str, range(20))),
                      tuple(map(str, range(20))))  # fmt: skip
    network = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(16, 8), torch.nn.ReLU(), torch.nn.Linear(8, 3)
    ).eval()
    assert prepare(Study(), network, images).measure == "pixels"
