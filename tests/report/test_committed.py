"""The committed results still say what their committed pages say, whatever reads them."""

import base64
import csv
import html
import re
import shutil
from pathlib import Path

import pytest

from intriguing.report.contents import read_contents
from intriguing.report.findings import findings
from intriguing.report.html import draw_report
from tests.shown import shown

RESULTS = Path(__file__).parents[2] / "docs" / "results"
FOLDERS = sorted(path.parent for path in RESULTS.rglob("run.json"))


def printed(folder: Path) -> str:
    """The text of a folder's pages."""
    pages = (
        page.read_text(encoding="utf-8") for page in sorted((folder / "report").glob("*.html"))
    )
    return html.unescape(re.sub(r"<[^>]+>", "", "\n".join(pages)))


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda f: f.relative_to(RESULTS).as_posix())
def test_every_finding_is_on_the_committed_page(folder):
    said, text = findings(read_contents(folder)), printed(folder)
    assert said.sentences
    for sentence in (*said.alarms, *said.sentences):
        assert sentence in text


def tables(page: Path) -> dict[str, str]:
    """The CSV and LaTeX files that can be saved from a page, by their names."""
    saved = re.findall(
        r'download="([^"]+)" href="data:[^"]*;base64,([^"]*)"', page.read_text(encoding="utf-8")
    )
    return {name: base64.b64decode(content).decode() for name, content in saved}


@pytest.mark.parametrize("name", ["mnist", "hardening"])
def test_a_report_drawn_again_has_the_committed_tables(name, tmp_path):
    folder = shutil.copytree(RESULTS / name, tmp_path / name)
    committed = tables(folder / "report/index.html")
    shutil.rmtree(folder / "report")
    draw_report(folder)
    assert committed
    for file, text in committed.items():
        drawn = (folder / "report/tables" / file).read_text()
        if file.endswith(".csv"):
            assert [*csv.DictReader(drawn.splitlines())] == [*csv.DictReader(text.splitlines())]
        else:
            assert drawn == text


def test_what_is_committed_is_small():
    for page in RESULTS.rglob("*.html"):
        assert page.stat().st_size < 2_000_000, page
    assert sum(path.stat().st_size for path in RESULTS.rglob("*") if path.is_file()) < 15_500_000


def test_cells_of_older_folders_say_what_they_measure():
    cells = shown(RESULTS / "mnist")
    crossed = [c for c in cells if c.analysis == "table2" and c.transferred]
    assert len(crossed) == 30
    assert {(c.made_for, c.network) for c in crossed} == {
        (c.row, c.column) for c in cells
        if c.analysis == "table2" and c.unit == "%" and c.row != c.column and "," not in c.row
    }  # fmt: skip
    longer = [c for c in cells if c.analysis == "table4" and c.condition == "amplified"]
    assert {c.size for c in longer} == {0.1}
    assert {c.made_for for c in longer} == {"FC100-100-10", "FC123-456-10", "FC100-100-10'"}
    noise = {(c.analysis, c.size) for c in cells if c.condition == "noise"}
    assert noise == {("table2", 0.1), ("table2", 0.3), ("table4", 0.06), ("table4", 0.1)}
