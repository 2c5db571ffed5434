"""Table 5 beside the paper's: every column by another way, and nothing trained."""

import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from intriguing.cli.main import main
from intriguing.errors import InputError
from intriguing.models.families.alexnet import AlexNet, initialise
from intriguing.names import file_name
from intriguing.paper import layers, table5
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.materials import Materials
from intriguing.paper.reproduce import reproduce
from intriguing.report.views import Cell
from intriguing.results.measured import Metric
from intriguing.results.store import read_run
from intriguing.runs.run import Run
from intriguing.runs.stage import Network
from tests.shown import laid_out, shown

CONFIG = ReproduceConfig(items=("table5",), scale="smoke")

NETS = """
from torch import nn
from intriguing.models.families.alexnet import AlexNet

class Skip(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.norm = nn.BatchNorm2d(3)
        self.norm.running_var.fill_(0.25)
        self.pool = nn.MaxPool2d(2)
        self.last = nn.Linear(27, 4)

    def forward(self, x):
        x = x + self.norm(self.conv(x)).relu()
        return self.last(self.pool(x).flatten(1))

def alexnet():
    return AlexNet(classes=7, k=1, width=6)
"""


def _never(*args: object, **more: object) -> None:
    raise AssertionError("this is not needed for Table 5")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("table5") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("intriguing.paper.materials.load_data", _never)
        patch.setattr("intriguing.runs.training.train_network", _never)
        reproduce(CONFIG, folder)
    return folder


@pytest.fixture(scope="module")
def cells(folder: Path) -> dict[tuple[str, Metric], Cell]:
    return _by_place(shown(folder))


def _by_place(cells: list[Cell]) -> dict[tuple[str, Metric], Cell]:
    return {(cell.layer or cell.row, cell.metric): cell for cell in cells}


def test_the_papers_column_is_the_papers(cells: dict[tuple[str, Metric], Cell]) -> None:
    printed = {
        row: cell.paper for (row, column), cell in cells.items() if column == Metric.MENDED_BOUND
    }
    # Typed from the paper's page, the pools from its text.
    assert printed == {
        "Conv. 1": 2.75, "Norm. 1": None, "Pool 1": 1, "Conv. 2": 10, "Norm. 2": None, "Pool 2": 1,
        "Conv. 3": 7, "Conv. 4": 7.5, "Conv. 5": 11, "Pool 5": 1, "FC. 1": 3.12, "FC. 2": 4,
        "FC. 3": 4, "Product": pytest.approx(792_792),
    }  # fmt: skip


def test_the_papers_slips_are_mended(cells: dict[tuple[str, Metric], Cell]) -> None:
    mended = {
        row: cell.value for (row, column), cell in cells.items() if column == Metric.MENDED_BOUND
    }
    assert mended["Conv. 1"] == 11
    assert [mended[f"Pool {i}"] for i in (1, 2, 5)] == pytest.approx([2, 2, 2])
    unchanged = ("Conv. 2", "Conv. 3", "Conv. 4", "Conv. 5", "FC. 1", "FC. 2", "FC. 3")
    assert all(
        cells[row, Metric.MENDED_BOUND].value == cells[row, Metric.MENDED_BOUND].paper
        for row in unchanged
    )
    responses = (1.642 * 2**-0.75) ** 2
    assert mended["Product"] == pytest.approx(792_792 * 4 * 8 * responses, rel=1e-3)


def equation_as_printed(weight: np.ndarray, stride: int, groups: int) -> float:
    """Eq. 1 letter by letter, but for N² in the exponent: ‖A(ξ)‖ for ξ = 0, 1, … below N/Δ."""
    outputs, inputs, n, _ = weight.shape
    largest = 0.0
    u = np.arange(n)
    for part in weight.reshape(groups, outputs // groups, inputs, n, n):
        for xi in np.ndindex(math.ceil(n / stride), math.ceil(n / stride)):
            columns = []
            for shift in np.ndindex(stride, stride):
                at = [x + step * n / stride for x, step in zip(xi, shift, strict=True)]
                wave = np.exp(-2j * np.pi * (u[:, None] * at[0] + u[None] * at[1]) / n)
                columns.append(stride**-2.0 * (part * wave).sum((-2, -1)))
            largest = max(largest, np.linalg.norm(np.concatenate(columns, 1), 2))
    return largest


def test_ours_as_printed_is_the_printed_equation(cells: dict[tuple[str, Metric], Cell]) -> None:
    model = initialise(AlexNet(width=6), torch.Generator().manual_seed(0))
    features = model.features
    for i, (stride, groups) in enumerate([(4, 1), (1, 2), (1, 1), (1, 2), (1, 2)], start=1):
        weight = features.get_submodule(f"conv{i}").weight.detach().double().numpy()
        expected = equation_as_printed(weight, stride, groups)
        assert cells[f"Conv. {i}", Metric.PRINTED_BOUND].value == pytest.approx(expected, rel=1e-6)
    for i, layer in enumerate((model.classifier.fc6, model.classifier.fc7), start=1):
        expected = np.linalg.norm(layer.weight.detach().double().numpy(), 2)
        assert cells[f"FC. {i}", Metric.PRINTED_BOUND].value == pytest.approx(expected, rel=1e-5)
    assert cells["Norm. 1", Metric.PRINTED_BOUND].value == pytest.approx(2**-0.75)
    assert cells["Pool 5", Metric.PRINTED_BOUND].value == 1


def test_the_truth_lies_between(cells: dict[tuple[str, Metric], Cell]) -> None:
    rows = dict.fromkeys(row for row, _ in cells)
    assert all(
        cells[r, Metric.LOWER_BOUND].value <= cells[r, Metric.UPPER_BOUND].value for r in rows
    )
    assert [cells[f"Pool {i}", Metric.LOWER_BOUND].value for i in (1, 2, 5)] == pytest.approx(
        [2, 2, 2], rel=0.01
    )  # the paper's "contractive" refuted
    convolutions = [f"Conv. {i}" for i in range(1, 6)]
    assert all(
        cells[r, Metric.LOWER_BOUND].value > 0.9 * cells[r, Metric.UPPER_BOUND].value
        for r in convolutions
    )
    assert cells["Conv. 1", Metric.PRINTED_BOUND].value < cells["Conv. 1", Metric.LOWER_BOUND].value


def test_products_multiply(cells: dict[tuple[str, Metric], Cell]) -> None:
    for column in (Metric.MENDED_BOUND, Metric.PRINTED_BOUND, Metric.UPPER_BOUND):
        parts = [c.value for (row, name), c in cells.items() if name == column and row != "Product"]
        assert cells["Product", column].value == pytest.approx(math.prod(parts), rel=1e-6)


def test_a_second_run_reads_and_says_the_same(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, notes = shown(folder), read_run(folder).remarks
    folder = shutil.copytree(folder, tmp_path / "copy")
    monkeypatch.setattr(layers, "lipschitz_report", _never)
    again = reproduce(CONFIG, folder)
    assert (shown(folder), again.remarks) == (before, notes)
    assert again.stages[-1].wall_seconds > 0
    kept = next((folder / "stages").iterdir())
    kept.write_text(kept.read_text().replace('"key": "', '"key": "of another '))
    with pytest.raises(AssertionError, match="not needed"):
        reproduce(CONFIG, folder)


def test_notes_say_the_slips_with_their_numbers(folder: Path) -> None:
    run = read_run(folder)
    said = " ".join((*run.notes, *run.remarks["table5"]))
    for words in ("the paper's 2.75 is 11.00", "= 792,792", "2.54e7", "2.42e7", "6.84e7",
                  "narrow AlexNet", "1.642·k^(−β), here 0.9764", "largest of several"):  # fmt: skip
        assert words in said
    assert "4,000 images" not in said


@pytest.fixture(scope="module")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("nets") / "nets.py"
    path.write_text(NETS)
    return path


def test_any_network_gets_a_table_of_its_own(
    nets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    command = f"reproduce table5 --scale smoke --network {nets}:Skip --input 3,6,6 --out out"
    main(command.split())
    printed = " ".join(capsys.readouterr().out.split())
    assert "Table 5. How many times longer each layer can make a change: nets-Skip" in printed
    assert "nothing is multiplied as printed" in printed
    assert "without the slips of §4.3 (Conv. 1 × 4, Norm. 1 × 0.976" in printed
    mine = _by_place([c for c in shown(tmp_path / "out") if c.network == "nets-Skip"])
    assert all(cell.paper is None for cell in mine.values())
    assert ("conv + norm", Metric.PRINTED_BOUND) in mine
    assert ("Whole network", Metric.PRINTED_BOUND) not in mine
    assert mine["Whole network", Metric.UPPER_BOUND].value > 1
    page = (tmp_path / "out" / "report" / "index.html").read_text()
    assert page.count("the paper&#39;s 2.75 is 11.00") == 1
    tables = {path.name for path in (tmp_path / "out" / "report" / "tables").iterdir()}
    named = file_name("table5-nets-Skip")  # a capital, which some file systems do not tell
    assert {"table5.tex", "table5.csv", f"{named}.tex", f"{named}.csv"} <= tables


def test_weights_of_alexnet_take_the_place_of_random_ones(nets: Path, tmp_path: Path) -> None:
    (stage,) = table5.make(Materials(replace(CONFIG, network=f"{nets}:alexnet")))
    assert isinstance(stage, table5.Table5)
    assert (stage.papers, stage.shape) == (True, (3, 227, 227))
    made = Run(tmp_path).keep(stage).made
    cells = _by_place(laid_out(made.rows))
    assert cells["Norm. 2", Metric.UPPER_BOUND].value == pytest.approx(1.642, abs=1e-3)
    assert cells["FC. 3", Metric.MENDED_BOUND].paper == 4
    assert f"weights from {nets}:alexnet" in made.remarks["table5"][0]


def test_wrong_requests_are_refused_before_any_work(nets: Path) -> None:
    with pytest.raises(InputError, match="a network is for table5"):
        ReproduceConfig(items=("table1",), network="alexnet:a.pth")
    with pytest.raises(InputError, match="give the network, too"):
        ReproduceConfig(items=("table5",), input=(3, 224, 224))
    with pytest.raises(InputError, match="give it: --input"):
        table5.make(Materials(replace(CONFIG, network=f"{nets}:Skip")))


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Conv2d(2, 3, 3, dilation=2), (2, 9, 9)),
        (lambda: nn.Conv2d(2, 3, 3, stride=(1, 2)), (2, 9, 9)),
        (lambda: nn.ConvTranspose2d(2, 3, 3), (2, 4, 4)),
    ],
    ids=["dilated", "two strides", "transposed"],
)
def test_what_the_paper_does_not_say_is_left_open(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    read = layers.read_layers(nn.Sequential(make()).eval(), shape)
    assert math.isnan(read.layers[0].printed)
    assert read.layers[0].bound.upper > 0


def test_a_batch_norm_is_part_of_the_convolution_before_it() -> None:
    conv, norm = nn.Conv2d(2, 4, 3, stride=2, bias=False), nn.BatchNorm2d(4)
    norm.running_var.copy_(torch.tensor([0.1, 1.0, 4.0, 9.0]))
    norm.weight.data.copy_(torch.tensor([1.0, -2.0, 3.0, 0.5]))
    (layer,) = layers.read_layers(nn.Sequential(conv, norm).eval(), (2, 24, 24)).layers
    scale = (norm.weight / (norm.running_var + norm.eps).sqrt()).detach().double().view(4, 1, 1, 1)
    expected = equation_as_printed((conv.weight.detach() * scale).numpy(), 2, 1)
    assert layer.printed == pytest.approx(expected, rel=1e-6)
    assert layer.bound.name == "0 + 1"


def test_layers_of_one_size_and_layers_used_twice_have_rows_of_their_own(tmp_path: Path) -> None:
    pool, relu = nn.MaxPool2d(3, 2), nn.ReLU()
    conv = [nn.Conv2d(2, 2, 3, padding=1) for _ in range(2)]
    model = nn.Sequential(conv[0], relu, pool, conv[1], relu, pool).eval()
    stage = table5.Table5(Network("net", model), (2, 16, 16), "net", papers=False)
    rows = dict.fromkeys(cell.row for cell in laid_out(Run(tmp_path).keep(stage).made.rows))
    assert list(rows) == [
        "0: 2×3×3×2 /1", "2: 3×3 /2", "3: 2×3×3×2 /1", "2: 3×3 /2 (again 1)", "Whole network",
    ]  # fmt: skip
