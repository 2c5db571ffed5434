"""Names are text in a terminal: neither markup, nor patterns, nor templates, nor emoji."""

from pathlib import Path

import pytest

from intriguing.cli.main import main

NAMES = ("[/a]", "[bold]b", r"\d+(", r"x\g<0>", "{x!r}{", "%s%n", ":smile:")
BUILD = f"""
from torch import nn
import torch
def build():
    torch.manual_seed(0)
    made = nn.Sequential()
    made.add_module("flatten", nn.Flatten())
    for name in {NAMES!r}:
        made.add_module(name, nn.LazyLinear(8))
        made.add_module(name + "'", nn.ReLU())
    made.add_module("last", nn.Linear(8, 10))
    made(torch.zeros(1, 1, 8, 8))
    return made
"""


@pytest.mark.parametrize(
    "command",
    [
        "layers {net} --input 1,8,8",
        "spectrum {net} --input 1,8,8 --out {out} --all-layers --no-semidefinite",
        "units {net} digits --limit 40 --no-claim --out {out} --k 3 --layer \\d+(",
    ],
)
def test_layers_of_any_name_are_shown_as_they_are_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    (tmp_path / "net.py").write_text(BUILD)
    words = [
        word.format(net=f"{tmp_path}/net.py:build", out=tmp_path / "out")
        for word in command.split(" ")
    ]
    assert main(words) == 0, capsys.readouterr().err
    shown = capsys.readouterr().out
    assert words[0] == "units" or all(name in shown for name in NAMES)
