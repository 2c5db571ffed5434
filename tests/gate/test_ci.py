"""What a stranger copies: the README's commands, and the script of the Action, as they stand."""

import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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
    for name, words in (("intriguing", "-m intriguing"), ("python", "")):
        command = folder / "bin" / name
        command.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {words} "$@"\n')
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


def described(**inputs: str) -> tuple[dict[str, Any], dict[str, str]]:
    """The Action's file, and its inputs with what is given in the place of their defaults."""
    yaml = pytest.importorskip("yaml")
    action = yaml.safe_load((CI / "action.yml").read_text("utf-8"))
    given = {name: one.get("default", "") for name, one in action["inputs"].items()} | inputs
    return action, given


def filled(text: str, given: dict[str, str]) -> str:
    return re.sub(r"\$\{\{ inputs\.(\w+) \}\}", lambda name: given[name[1]], text)


def steps(place: Path, **inputs: str) -> Iterator[subprocess.CompletedProcess[str]]:
    """The shell steps of the Action as they stand, as GitHub would run them."""
    action, given = described(**inputs)
    for step in action["runs"]["steps"]:
        skipped = step.get("if") == "inputs.install != ''" and not given["install"]
        if "run" in step and not skipped:
            assert step["shell"] == "bash"
            env = {name: filled(str(text), given) for name, text in step["env"].items()}
            words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]]
            yield run(place, words, GITHUB_ACTION_PATH=str(CI), **env)


def test_the_action_s_steps_say_the_verdict_where_github_reads_it(
    place: Path, monkeypatch: pytest.MonkeyPatch
):
    summary = place / "summary.md"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(summary))
    # Of one file, so that pip needs no network and no other environment than the folder.
    monkeypatch.setenv("PIP_TARGET", str(place / "installed"))
    wheel = empty_wheel(place)
    asked = {"arguments": "'weights.safetensors' digits --at-least 0.2", "out": "here"}
    installed, acted = steps(place, **asked, install=str(wheel))
    assert installed.returncode == 0, installed.stderr
    assert (place / "installed" / "nothing.py").exists()
    assert acted.returncode == 1, acted.stderr
    assert "::error title=intriguing gate::FAIL" in acted.stdout
    assert summary.read_text().startswith("## ❌ FAIL")
    assert (place / "here" / "report" / "junit.xml").exists()
    action, given = described(**asked)
    (upload,) = [step for step in action["runs"]["steps"] if "upload-artifact" in str(step)]
    assert upload["if"] == "always()"  # a fail most of all
    kept = {one.name for one in (place / filled(upload["with"]["path"], given)).iterdir()}
    assert kept >= {"index.html", "junit.xml", "gate.sarif", "evidence.json", "summary.md"}
    assert next(iter(steps(place, **asked, install="no-such.whl"))).returncode != 0


def empty_wheel(folder: Path) -> Path:
    wheel = folder / "nothing-1.0-py3-none-any.whl"
    about = "nothing-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as file:
        file.writestr("nothing.py", "")
        file.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: nothing\nVersion: 1.0\n")
        file.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        file.writestr(f"{about}/RECORD", "")
    return wheel


def test_wrong_input_leaves_no_verdict(place: Path):
    summary = place / "none.md"
    ended = run(place, [str(CI / "gate.sh"), "nothing.safetensors", "digits", "--at-least", "0.2"],
                GITHUB_STEP_SUMMARY=str(summary))  # fmt: skip
    assert ended.returncode == 2
    assert ended.stderr.startswith("intriguing: ")
    assert not summary.exists()
