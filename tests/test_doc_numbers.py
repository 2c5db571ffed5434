"""Numbers on pages of documentation are those of committed rows."""

import csv
import importlib.util
import itertools
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from intriguing.paper.hardening.regimes import regime
from intriguing.report.claims import to_markdown
from intriguing.results.parquet import read_rows
from intriguing.results.verdicts import Verdict, VerdictRow

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def plain(text: str) -> str:
    """Without line breaks and what makes its numbers."""
    return " ".join(re.sub(r"<!--=.*?-->", "", text, flags=re.DOTALL).split())


def load(script: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(script.stem, script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


MACROS = load(DOCS / "site" / "macros.py")


@pytest.mark.parametrize("source", MACROS.PAGES, ids=lambda source: source.stem)
def test_numbers_with_a_macro_are_those_of_the_rows(source: Path) -> None:
    text = source.read_text(encoding="utf-8")
    assert MACROS.filled(text) == text
    for macro, kind in (("=", MACROS.NUMBER), ("|", MACROS.TABLE), ("{", MACROS.BLOCK)):
        assert len(kind.findall(text)) == text.count(f"<!--{macro} ")  # none is not understood


WITH_A_TABLE = """<!--| figures("audited", images="10000.0") | * | {workers:.0f} -->

| engine | workers |
| --- | ---: |
| here | 7 |
| two | 7 |
| three | 7 |
"""


def test_a_macro_writes_what_the_rows_say() -> None:
    share = (
        '<!--= only(figures("gate_calibration", distances="smooth", truth="at"), "wrong"):.1% -->'
    )
    assert MACROS.filled(f"wrong in (7{share}).") == f"wrong in (3.9 %{share})."
    assert MACROS.filled(WITH_A_TABLE).endswith("| here | 1 |\n| two | 2 |\n| three | 2 |\n")
    whole = WITH_A_TABLE.replace("| * |", "| {engine} |").replace("| two | 7 |\n", "")
    assert len(MACROS.filled(whole).splitlines()) == len(WITH_A_TABLE.splitlines())
    rows = read_rows(DOCS / "results" / "claims", VerdictRow)
    block = '<!--{ claims("claims") -->\n\n<!--} -->'
    assert MACROS.filled(block) == block.replace("\n\n", f"\n\n{to_markdown(rows)}\n\n")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('7<!--= only(figures("engines"), "workers"):.0f -->', LookupError),
        ('7<!--= table("mnist", "Table 1", "FC11", "Test error"):.2f -->', LookupError),
        ('\n<!--= only(figures("engines", engine="here"), "workers"):.0f -->', ValueError),
        (WITH_A_TABLE.replace("| two | 7 |\n", ""), LookupError),
        ('<!--{ claims("of-nobody") -->\n\n<!--} -->', LookupError),
    ],
)
def test_a_macro_without_its_row_is_no_number(text: str, fault: type[Exception]) -> None:
    with pytest.raises(fault):
        MACROS.filled(text)


NUMBERS = tomllib.loads((DOCS / "site" / "numbers.toml").read_text(encoding="utf-8"))
BESIDE_PROSE = re.compile(
    r"^```.*?^```$|^[|#].*?$|\S+<!--=.*?-->|<!--.*?-->|`[^`]*`|\]\([^)]*\)|arXiv:[\d.]+\w*",
    re.MULTILINE | re.DOTALL,
)
IN_PROSE = re.compile(
    r"(?<![\w.§/,])(?:(?:\d[\d,]*)?\.?\d+ ?%|\d*\.\d+(?![\w.]|\d| ?%)"
    r"|\d[\d,]*\s(?:s|ms|seconds|minutes|hours|[KMG]i?B|times)\b)"
)
"""Decimals, shares, and whole numbers of seconds, bytes and times."""


PROSE = NUMBERS["prose"]
KINDS = {"settings", "theirs", "names", "computed"}
"""Of numbers that are not measured here; what is has a macro."""


@pytest.mark.parametrize("source", MACROS.PAGES, ids=lambda source: source.stem)
def test_a_number_in_prose_is_of_a_row_or_it_is_said_what_it_is(source: Path) -> None:
    text = " ".join(BESIDE_PROSE.sub(" ", source.read_text(encoding="utf-8")).split())
    found = set(IN_PROSE.findall(text))
    kinds = PROSE.get(str(source.relative_to(ROOT)), {})
    assert kinds.keys() <= KINDS
    told = [number for numbers in kinds.values() for number in numbers]
    assert len(told) == len(set(told))
    assert found == set(told), (found - set(told), set(told) - found)


def test_numbers_in_prose_are_found() -> None:
    assert IN_PROSE.findall("of 1,438 images .5 % and 12.5 % at 0.3 in 7 s; §4.2, 1.2.3") == [
        ".5 %", "12.5 %", "0.3", "7 s"
    ]  # fmt: skip


FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
STANDING = re.compile(r"^\|(?P<head>.*)\|\n\|[ :|-]+\|\n(?P<body>(?:\|.*\n?)*)", re.MULTILINE)
BESIDE_CELLS = re.compile(r"\S+<!--=.*?-->|`[^`]*`|\]\([^)]*\)", re.DOTALL)
IN_CELLS = re.compile(r"(?<![\w.§-])(?:\d[\d,.]*|\.\d+)(?![\w-])")
"""Not the numbers within a name as FC100-100-10."""


def heads_of_tables_with_numbers(text: str) -> list[str]:
    """Of those tables of a page that have a number in a cell which no macro writes."""
    by_hand = MACROS.TABLE.sub(kept_cells, MACROS.BLOCK.sub("", FENCED.sub("", text)))
    return [
        table["head"].strip() for table in STANDING.finditer(by_hand)
        if IN_CELLS.search(BESIDE_CELLS.sub(" ", table["body"]))
    ]  # fmt: skip


def kept_cells(macro: re.Match[str]) -> str:
    """A table of whose cells a macro writes all but those of the columns with a `*`."""
    kept = [template == "*" for template in macro["cells"].split(" | ")]
    lines = [
        " | ".join(itertools.compress(line.split("|")[1:-1], kept))
        for line in macro["body"].splitlines()
    ]
    return macro["before"] + "".join(f"| {line} |\n" for line in lines)


@pytest.mark.parametrize("source", MACROS.PAGES, ids=lambda source: source.stem)
def test_a_table_with_numbers_is_made_by_a_macro_or_it_is_said_what_they_are(source: Path) -> None:
    heads = heads_of_tables_with_numbers(source.read_text(encoding="utf-8"))
    listed = NUMBERS["tables"].get(str(source.relative_to(ROOT)), {})
    assert listed.keys() <= KINDS
    known = [head for heads in listed.values() for head in heads]
    assert [h for h in heads if sum(map(h.startswith, known)) != 1] == []
    assert [k for k in known if not any(h.startswith(k) for h in heads)] == []


def test_a_number_in_a_table_is_found() -> None:
    table = "| a | b |\n| --- | ---: |\n| FC100-100-10, §4.2, `1` | {} |\n"
    seen = heads_of_tables_with_numbers
    assert [seen(table.format(cell)) for cell in ("–", "7<!--= 7:d -->", "[a](1.md)")] == [[]] * 3
    assert [seen(table.format(cell)) for cell in ("7", ".07", "7 %", "3 [1, 4]")] == [["a | b"]] * 4
    assert seen(f"```\n{table.format('7')}```\n") == []
    assert seen(WITH_A_TABLE) == []
    assert seen(WITH_A_TABLE.replace("here", "here, 1 s")) == ["engine | workers"]


def test_dictionaries_err_as_often_as_their_committed_cases() -> None:
    file = ROOT / "benchmarks" / "figures" / "dictionary_calibration.csv"
    with file.open(encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    text = plain(page("units.md"))
    for case in ("planted", "planted, labels at random", "featureless"):
        mine = [row for row in rows if row["case"] == case]
        better = sum(row["sae-frozen"] == "better" for row in mine)
        assert f"{better} of {len(mine)}" in text
        assert (better == len(mine)) if case == "planted" else (better <= 0.05 * len(mine))
    found = [float(r["recovered"]) for r in rows if r["case"] == "planted" and r["recovered"]]
    assert len(found) >= 20
    assert f"{100 * np.mean(found):.0f} % of them" in text


def test_the_penalty_is_judged_where_validation_chose() -> None:
    with (ROOT / "benchmarks/figures/hardening_fair.csv").open(encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if row["what"] in ("penalty", "weight-decay")]
    tried = {r["setting"]: int(r["wrong"]) for r in rows if r["judged by"] == "validation"}
    best = min(tried, key=lambda setting: tried[setting])
    assert regime("penalty-chosen").penalty == float(best.removeprefix("weight "))
    assert len(tried) == 4


def test_verdicts_are_those_of_the_committed_run() -> None:
    """What the pages say in words of the three that surprise."""
    rows = read_rows(DOCS / "results" / "claims-paper", VerdictRow)
    said = {row.claim: row for row in rows}
    assert said["low-probability"].verdict is Verdict.HOLDS
    assert said["tiny-farther"].verdict is Verdict.DOES_NOT_HOLD
    assert said["tiny-farther"].high < 1
    assert said["deformations"].verdict is Verdict.DOES_NOT_HOLD
    assert said["deformations"].high < 0
    for text in (page("claims.md"), (ROOT / "README.md").read_text(encoding="utf-8")):
        assert plain(text).count("one random direction in 10 to the power of") == 1


def test_verdicts_err_at_the_margin_as_rarely_as_the_page_says() -> None:
    rows = MACROS.committed.figures("claims_calibration")
    wrong = [row["wrong"] for row in rows if row["spread"] in ("normal", "heavy")]
    assert len(wrong) >= 18
    assert max(wrong) <= 0.06


def test_another_program_comes_to_the_same_verdicts() -> None:
    script = ROOT / "benchmarks" / "recheck_claims.py"
    assert "intriguing" not in re.findall(r"^(?:import|from) (\w+)", script.read_text(), re.M)
    done = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) >= 5


def test_it_notices_a_verdict_that_does_not_follow() -> None:
    module = load(ROOT / "benchmarks" / "recheck_claims.py")
    assert module.verdict((1.0, 0.5, 1.5), 0.0, 9.0) == "holds"
    assert module.verdict((1.0, -0.5, 2.5), 0.0, 9.0) == "open"
    assert module.verdict((1.0, 0.5, 1.5), 2.0, 9.0) == "does not hold"
