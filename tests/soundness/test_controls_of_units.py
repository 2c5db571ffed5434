"""Controls of rows of images: whose they are, and what positions see.

Each test here is there because the package could be changed for the worse in one line and no other
test saw it; `benchmarks/mutations.toml` has the lines.
"""

import torch
from torch import nn

from intriguing import ImageSet
from intriguing.paper import figures1to4
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.materials import Materials
from intriguing.results.parquet import read_columns
from intriguing.results.rows import CoherenceRow, TopRow
from intriguing.runs.run import Run
from intriguing.runs.stage import Network
from intriguing.runs.study import Study, prepare
from intriguing.runs.units import Ranking
from intriguing.units.receptive_field import receptive_field


def test_figures_1_and_3_are_of_units_and_2_and_4_of_random_directions(monkeypatch):
    asked = []
    monkeypatch.setattr(figures1to4, "prepare", lambda study, *_: asked.append(study.bases))
    monkeypatch.setattr(figures1to4, "stages_of", lambda *_: [])
    for items in (("figure1",), ("figure2",), ("figure1", "figure2")):
        figures1to4.make_units(Materials(ReproduceConfig(items=items, scale="smoke")))
    assert asked == [("natural",), ("random",), ("natural", "random")]


def test_rows_say_what_positions_see_and_which_units_respond(tmp_path):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, (2, 5)), nn.ReLU(), nn.Flatten(), nn.Linear(80, 3)).eval()
    with torch.no_grad():
        net[0].bias.fill_(9.0)
        net[0].bias[2] = -99.0
    generator = torch.Generator().manual_seed(0)
    images = ImageSet(
        "wide", torch.rand(30, 1, 6, 8, generator=generator), torch.arange(30) % 3,
        tuple(map(str, range(30))), ("a", "b", "c"),
    )  # fmt: skip
    asked = prepare(Study(layers=("1",), k=3, claim=False), net, images)
    Run(tmp_path).keep(Ranking(Network("net", net), images, asked))
    tops, field = read_columns(tmp_path, TopRow), receptive_field(net, "1", (1, 6, 8))
    for row in range(len(tops["rank"])):
        box = field.box(int(tops["position"][row]))
        sides = tuple(int(tops[side][row]) for side in ("top", "left", "bottom", "right"))
        assert sides == (box.top, box.left, box.bottom, box.right)
    assert {(int(b) - int(t), int(r) - int(le)) for t, le, b, r in zip(
        tops["top"], tops["left"], tops["bottom"], tops["right"], strict=True
    )} == {(2, 5)}  # fmt: skip
    rows = read_columns(tmp_path, CoherenceRow)
    natural = rows["basis"] == "natural"
    silent = set(rows["direction"][natural & ~rows["responds"]].tolist())
    assert silent == {2}
