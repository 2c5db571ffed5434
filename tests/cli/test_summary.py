"""What an attack's rows say of success, size and certainty, from outcomes made by hand."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.result import Status
from intriguing.distortion.search import Search
from intriguing.errors import InputError
from intriguing.runs.examples import image_columns, summary
from intriguing.scale.attack import Attacked
from intriguing.scale.shards import run_in_shards
from tests.shown import laid_out

NAN, INF = math.nan, math.inf
COUNT = 4


def outcome(folder: Path, **columns: list[float]) -> Attacked:
    """Four images of class 0, found but for the last one."""
    images = ImageSet(
        "made", torch.zeros(COUNT, 1, 2, 2), torch.zeros(COUNT, dtype=torch.long),
        tuple(f"made/{i}" for i in range(COUNT)), ("zero", "one"),
    )  # fmt: skip
    usual: dict[str, list[float]] = {
        "distortion": [0.1, 0.2, 0.6, INF], "l2": [0.2, 0.4, 1.2, INF], "c": [NAN] * 4,
        "gap": [NAN] * 4, "local_gap": [NAN] * 4,
    }  # fmt: skip
    whole = {
        "success": torch.tensor([True, True, True, False]),
        "status": torch.tensor([Status.FOUND] * 3 + [Status.NOT_FOUND]),
        "targets": torch.ones(COUNT, dtype=torch.long),
        "forward_passes": torch.tensor([10, 20, 30, 40]),
        "backward_passes": torch.tensor([10, 10, 10, 10]),
    }
    given = {name: torch.tensor(column) for name, column in {**usual, **columns}.items()}
    return Attacked(images, run_in_shards(lambda *_: {**whole, **given}, COUNT, 9, folder, "made"))


def constant() -> nn.Module:
    """A network that calls everything zero."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    nn.init.zeros_(model[1].weight)
    model[1].bias.data = torch.tensor([1.0, 0.0])
    return model


def cells(made: Attacked) -> dict[str, tuple[float, int, int]]:
    rows = laid_out(summary("net", constant(), made, 0))
    return {c.column: (c.value, c.count, c.total) for c in rows}


def test_sizes_are_of_what_was_found_and_passes_of_all(tmp_path):
    found = cells(outcome(tmp_path))
    assert found["Error before"] == (0.0, 0, 4)
    assert found["Fooled"] == (75.0, 3, 4)
    assert found["Mean distortion"] == (pytest.approx(0.3), 3, 4)
    assert found["Median distortion"] == (pytest.approx(0.2), 3, 4)
    assert found["Passes an image"] == (17.5, 4, 4)
    assert not {"Proved optimal", "Local gap, median"} & found.keys()


def test_values_without_spread_have_no_interval(tmp_path):
    rows = laid_out(summary("net", constant(), outcome(tmp_path, distortion=[0.1] * 4), 0))
    cell = {c.column: c for c in rows}
    assert (cell["Mean distortion"].low, cell["Mean distortion"].high) == (None, None)
    assert cell["Passes an image"].low < cell["Passes an image"].high


def test_what_is_proved_is_a_share_of_all_images(tmp_path):
    made = outcome(tmp_path, gap=[0.0, 1e-9, 0.02, NAN])
    made.columns["status"][:2] = torch.tensor([Status.OPTIMAL, Status.ALREADY])
    assert cells(made)["Proved optimal"] == (50.0, 2, 4)
    assert made.statuses() == {"FOUND": 1, "ALREADY": 1, "NOT_FOUND": 1, "OPTIMAL": 1}


def test_the_local_gap_is_of_what_was_found(tmp_path):
    found = cells(outcome(tmp_path, local_gap=[1e-6, 3e-6, 2e-5, 1.0]))
    assert found["Local gap, median"] == (pytest.approx(3e-6), 3, 4)
    assert "Proved optimal" not in found


def test_rows_name_the_method_and_keep_the_gaps_of_what_was_found(tmp_path):
    made = outcome(tmp_path, gap=[0.0, 0.1, 0.2, 0.3])
    columns = image_columns("net", made.method, made.images, made.columns, seed=7)
    assert (columns["method"], columns["seed"]) == ("closest", 7)
    assert columns["gap"][:3].tolist() == pytest.approx([0.0, 0.1, 0.2])
    assert all(math.isnan(columns[name][3]) for name in ("gap", "l2", "distortion"))


@pytest.mark.parametrize(
    ("search", "goal", "words"),
    [
        ({"method": "paper", "budget": 10}, "random", "leave the budget out"),
        ({"method": "paper"}, "untargeted", "--targets all"),
        ({"method": "pgd"}, "random", "choose one of"),
        ({"method": "paper", "levels": 1}, "all", "256"),
    ],
)
def test_options_that_do_not_fit_the_method_are_refused_with_the_fix(search, goal, words):
    with pytest.raises(InputError, match=words):
        Search(**search).check_goal(untargeted=goal == "untargeted")
