"""The mark, used as a stranger's project would."""

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

PROJECT = """
import pytest, torch
from torch import nn

def made(at):
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 2)).eval()
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([[-1.0] * 4, [1.0] * 4]))
        model[1].bias.copy_(torch.tensor([2.0, -2.0]))
    return model, torch.full((3, 1, 2, 2), 0.5 + at), torch.ones(3, dtype=torch.long)

@pytest.fixture
def at():
    return 0.25

@pytest.mark.min_distortion(0.2)
def test_far(at):
    return made(at)

@pytest.mark.min_distortion(at_least=0.3, of="every")
def test_near(at):
    return made(at)

@pytest.mark.min_distortion(0.2)
def test_forgets_to_return():
    made(0.25)

@pytest.mark.min_distortion
def test_forgets_the_distance(at):
    return made(at)

def test_unmarked():
    pass
"""


def test_marked_tests_assert_about_what_they_return(tmp_path: Path):
    (tmp_path / "test_it.py").write_text(PROJECT)
    known = "intriguing" in entry_points(group="pytest11").names  # not in older installations
    plugin = [] if known else ["-p", "intriguing.pytest_plugin"]
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *plugin, "--strict-markers", "-W", "error",
         "-p", "no:cacheprovider", str(tmp_path)],
        capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert "3 failed, 2 passed" in run.stdout
    assert "nearest example over 3 images is 0.25, less than the 0.3 asked" in run.stdout
    assert "returns (model, images, labels), not NoneType" in run.stdout
    assert "give @pytest.mark.min_distortion one distortion" in run.stdout
    assert "Traceback" not in run.stdout
