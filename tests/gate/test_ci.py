"""What a stranger copies: the README's commands, and the script of the Action, as they stand."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from intriguing.cli.main import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
SECTION = re.search(r"^## A gate in your CI\n\n```\n(.*?)^```$", README, re.M | re.S)
CI = ROOT / "examples" / "ci"


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


def steps(place: Path, **inputs: str) -> Iterator[subprocess.CompletedProcess[str]]:
    """The shell steps of the Action as they stand, as GitHub would run them."""
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((CI / "action.yml").read_text("utf-8"))
    given = {name: one.get("default", "") for name, one in action["inputs"].items()} | inputs

    def filled(text: str) -> str:
        return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda name: given[name[1]], text)

    for step in action["runs"]["steps"]:
        skipped = step.get("if") == "inputs.install != ''" and not given["install"]
        if "run" in step and not skipped:
            assert step["shell"] == "bash"
            env = {name: filled(str(text)) for name, text in step["env"].items()}
            words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            yield run(place, words, GITHUB_ACTION_PATH=str(CI), **env)


def test_the_action_s_steps_say_the_verdict_where_github_reads_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    summary = place / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    asked = "'weights.safetensors' digits --at-least 0.2"
    (acted,) = steps(place, arguments=asked, out="here", install="")
    assert acted.returncode == 1, acted.stderr
    assert "::error title=intriguing gate::FAIL" in acted.stdout
    assert summary.read_text().startswith("## ❌ FAIL")
    assert (place / "here" / "report" / "junit.xml").exists()


def test_wrong_input_leaves_no_verdict(place: Path):
    summary = place / "none.md"
    ended = run(place, [str(CI / "gate.sh"), "nothing.safetensors", "digits", "--at-least", "0.2"],
                GITHUB_STEP_SUMMARY=str(summary))  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("intriguing: ")
    assert not summary.exists()
