"""What a stranger copies: the README's commands, and the script of the Action, as they stand."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from intriguing.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SECTION = re.search(r"^## A gate in your CI\n\n```\n(.*?)^```$", README, re.M | re.S)
GATE = ROOT / "examples" / "ci" / "gate.sh"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh repository, where `intriguing` is a command."""
    folder = tmp_path_factory.mktemp("stranger")
    (folder / "bin").mkdir()
    command = folder / "bin" / "intriguing"
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m intriguing "$@"\n')
    command.chmod(0o755)
    return folder


def run(place: Path, words: list[str], **more: str) -> subprocess.CompletedProcess[str]:
    path = f"{place / 'bin'}{os.pathsep}{os.environ['PATH']}"
    source = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PATH": path, "PYTHONPATH": source, **more}
    return subprocess.run(words, cwd=place, env=environment, capture_output=True, text=True)


def test_the_readme_s_commands_give_a_red_and_then_a_green_run(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    assert SECTION
    monkeypatch.chdir(place)
    codes, said = [], []
    for line in SECTION[1].splitlines():
        name, *words = shlex.split(line, comments=True)
        assert name == "intriguing"
        try:
            codes.append(main(words))
        except SystemExit as ended:
            codes.append(ended.code)
        said.append(capsys.readouterr().out)
    assert codes == [0, 1, 0]
    assert "FAIL" in said[1]
    assert "PASS" in said[2]


def test_the_action_s_script_says_the_verdict_where_github_reads_it(place: Path):
    summary = place / "summary.md"
    words = [str(GATE), "weights.safetensors", "digits", "--at-least", "0.2"]
    acted = run(place, words, GITHUB_STEP_SUMMARY=str(summary), GATE_OUT="here")
    assert acted.returncode == 1
    assert "::error title=intriguing gate::FAIL" in acted.stdout
    assert summary.read_text().startswith("## ❌ FAIL")


def test_wrong_input_leaves_no_verdict(place: Path):
    summary = place / "none.md"
    ended = run(place, [str(GATE), "nothing.safetensors", "digits", "--at-least", "0.2"],
                GITHUB_STEP_SUMMARY=str(summary))  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("intriguing: ")
    assert not summary.exists()
