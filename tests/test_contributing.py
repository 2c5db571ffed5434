"""What CONTRIBUTING.md says is the whole of a change is: its diffs are applied, and used."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from intriguing import lipschitz_report
from tests.contributed import Waves

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
DIFFS = {
    section: "".join(re.findall(r"^```diff\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    for section, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a copy of the source does that has every change of the page."""
    place = tmp_path_factory.mktemp("contributing")
    copy, folder = place / "copy", place / "folder"
    folder.mkdir()
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("__pycache__"))
    apart = {**os.environ, "GIT_CEILING_DIRECTORIES": str(place)}
    for section, diff in DIFFS.items():
        if diff:
            applied = subprocess.run(
                ["git", "apply", "-"], cwd=copy, env=apart, input=diff, text=True,
                encoding="utf-8", capture_output=True,
            )  # fmt: skip
            assert not applied.returncode, f"{section}: {applied.stderr}"
    shutil.copy(ROOT / "pyproject.toml", copy)
    for words in (("check",), ("format", "--check")):
        ruff = [sys.executable, "-m", "ruff", *words, "--no-cache", "src"]
        said = subprocess.run(ruff, cwd=copy, capture_output=True, text=True)
        assert not said.returncode, said.stdout
    done = subprocess.run(
        [sys.executable, ROOT / "tests" / "contributed.py"], cwd=folder, text=True,
        encoding="utf-8", capture_output=True,
        env={**os.environ, "PYTHONPATH": str(copy / "src")},
    )  # fmt: skip
    assert not done.returncode, done.stderr[-4000:]
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("section", "new", "lines"),
    [
        ("An attack", 1, 1),
        ("A bound of an operation", 0, None),
        ("A family of networks", 1, 0),
        ("A question of the audit", 1, 1),
    ],
)
def test_a_change_is_as_small_as_the_page_says(section: str, new: int, lines: int | None) -> None:
    files = re.split(r"^--- ", DIFFS[section], flags=re.MULTILINE)[1:]
    old = [file for file in files if not file.startswith("/dev/null")]
    assert len(files) - len(old) == new
    body = [line for file in old for line in file.splitlines()[2:]]
    added = [line for line in body if line.startswith("+")]
    assert not [line for line in body if line.startswith("-")]
    if lines is None:
        assert sum(line.startswith("+def ") for line in added) == 1
    else:
        assert len(added) == lines


def test_an_attack_is_known_everywhere_and_a_seed_repeats_it(found: dict[str, Any]) -> None:
    first, again, other = found["attack"]["seeds"]
    assert first == again != other
    once, twice = found["attack"]["written"]
    assert once == twice == first
    nearest = found["attack"]["nearest"]
    assert all(n <= one * (1 + 1e-5) for n, one in zip(nearest, first, strict=True))
    assert 0 < sum(first) < float("inf")


def test_a_bound_is_finite_and_holds(found: dict[str, Any]) -> None:
    assert lipschitz_report(Waves().eval(), (1, 3, 3), lower=False).upper == torch.inf
    for upper, met in found["bound"].values():
        assert met <= upper < torch.inf
    upper, met = found["bound"]["alone"]
    assert upper < 1.001 * met


def test_a_family_is_trained_by_name_and_a_seed_repeats_it(found: dict[str, Any]) -> None:
    first, again, other = found["family"]
    assert first == again != other


def test_a_question_has_an_answer_a_table_and_a_cost(found: dict[str, Any]) -> None:
    question, answer = "Does a shift by a pixel fool it?", "are misread when they are moved"
    stage = found["stage"]
    for where in (*stage["said"], stage["page"]):
        assert question in where
        assert answer in where
    rows = list(csv.DictReader(stage["table"].splitlines()))
    assert len(rows) == 9
    assert [float(row["ours"]) for row in rows] == stage["values"][0]
    assert rows[-1]["column"] == "Fooled, any way"
    assert max(stage["values"][0][:-1]) <= stage["values"][0][-1] <= 100
    (cost,) = [line for line in stage["plan"].splitlines() if line.split()[:1] == ["shift"]]
    assert re.search(r"\d ms", cost)
    assert answer not in stage["skipped"]


def test_an_answer_is_kept_until_a_field_changes(found: dict[str, Any]) -> None:
    assert found["stage"]["audits"] == 1
    assert found["stage"]["again"] == [2]
    assert found["stage"]["values"][0] != found["stage"]["values"][1]
