"""Reports of things with hostile names, in a real browser and as files for other programs."""

import csv
import io
import xml.dom.minidom
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from intriguing.audit.config import AuditConfig
from intriguing.audit.explaining import attacked_ids, explain
from intriguing.audit.run import run_audit
from intriguing.report.html import draw_report
from intriguing.report.story import draw_story
from intriguing.results.audit import read_audit
from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.results.parquet import write_rows
from intriguing.results.schema import RunRecord
from intriguing.results.store import list_tensors, read_tensors, write_run
from tests.hostile.names import NAMES, SCRIPT, digits, network
from tests.report.chromium import Chromium, find_chromium

NETWORKS = (SCRIPT, "a b", "a-b", "A-b", "x" * 10_000)


@pytest.fixture(scope="module")
def audited(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of networks, layers, images and classes with such names, and an image's story."""
    folder = tmp_path_factory.mktemp("audit")
    config = AuditConfig(
        images=3, budget=40, units_on=50, rotations=2, untrained=0, target=3, target_budget=40,
        semidefinite=False,
    )  # fmt: skip
    networks = {
        name: network(*NAMES[3 * i % 18 : 3 * i % 18 + 3], scale=3 + i)
        for i, name in enumerate(NETWORKS)
    }
    run_audit(networks, digits(50), folder, config, settings={"note": SCRIPT}, command=SCRIPT)
    for image in attacked_ids(folder)[:2]:
        draw_story(folder, explain(folder, image, networks, path=False))
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table of every such name, and every such name in a table."""
    folder = tmp_path_factory.mktemp("made")
    rows = [
        Measurement("table2", Metric.ERROR, "%", 10.0 * i, 0.0, 100.0, i, 9, network=network,
                    made_for=name, condition=Condition.ADVERSARIAL)
        for i, name in enumerate(NAMES) for network in NAMES[:4]
    ]  # fmt: skip
    rows += [
        Measurement("bounds", Metric.UPPER_BOUND, "norm", -0.5, network=name, layer=name,
                    setting=name)
        for name in NAMES
    ]  # fmt: skip
    write_rows(folder, Measurement, rows)
    write_run(folder, RunRecord("reproduce", SCRIPT, {"scale": SCRIPT}, notes=(SCRIPT,)))
    draw_report(folder)
    return folder


def pages(*folders: Path) -> list[Path]:
    return [page for folder in folders for page in sorted((folder / "report").glob("*.html"))]


@pytest.fixture(scope="module")
def window(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chromium]:
    opened = Chromium(tmp_path_factory.mktemp("profile"))
    yield opened
    opened.close()


ALIVE = """[
    window.hacked, document.querySelectorAll('body script:not([type])').length,
    [...document.querySelectorAll('*')].filter(e => [...e.attributes].some(
        a => /^on/i.test(a.name) || /evil|javascript:/.test(a.name)
          || (/^(src|href|xlink:href|action|srcset|style)$/.test(a.name)
              && /evil|javascript:/.test(a.value)))).map(e => e.outerHTML),
]"""


@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome")
def test_no_name_is_alive_in_a_page(audited: Path, made: Path, window: Chromium) -> None:
    shown = pages(audited, made)
    assert {page.name.partition("-")[0] for page in shown} >= {
        "index.html",
        "units.html",
        "explain",
    }
    for page in shown:
        window.open(page)
        window.run("new Promise(done => setTimeout(done, 100))")
        hacked, scripts, alive = window.run(ALIVE)
        assert (hacked, scripts, alive) == (None, 1 if page.parent.parent == audited else 0, [])
        assert "evil.invalid" in window.run("document.body.textContent + document.title")
        if page.name == "units.html":
            window.click(".card .thumb")
            window.wait("document.querySelector('#image').open")
            assert window.run(ALIVE)[::2] == [None, []]
        sent = [url for url in window.requests if not url.startswith(("file:", "data:"))]
        assert sent == []
        assert window.complaints == []


@pytest.mark.skipif(find_chromium() is None, reason="needs Chromium or Chrome")
def test_a_script_that_came_into_a_page_would_not_run(
    audited: Path, window: Chromium, tmp_path: Path
) -> None:
    for page in pages(audited):
        text = page.read_text()
        bad = '<img src="http://evil.invalid/" onerror="hacked=1"><script>window.hacked=1</script>'
        (tmp_path / page.name).write_text(text.replace("<h1>", f"{bad}<h1>"))
        window.open(tmp_path / page.name)
        window.run("new Promise(done => setTimeout(done, 100))")
        assert window.run("window.hacked === undefined")
        assert any("Content Security Policy" in complaint for complaint in window.complaints)


def test_pictures_are_whole(audited: Path, made: Path) -> None:
    drawn = [*audited.rglob("figures/*"), *made.rglob("figures/*")]
    assert len(drawn) > 10
    for path in drawn:
        if path.suffix == ".svg":
            xml.dom.minidom.parse(str(path))
            assert "mathdefault" not in path.read_text()
        else:
            with Image.open(path) as picture:
                assert min(picture.size) > 100


def test_no_two_names_share_a_file(audited: Path, made: Path) -> None:
    tables = [path for path in (made / "report" / "tables").iterdir() if path.suffix == ".csv"]
    assert len(tables) == 1 + len(NAMES)
    assert len({path.name.lower() for path in tables}) == len(tables)
    judged = [
        read_tensors(audited, name)[1]["network"]
        for name in list_tensors(audited) if name.startswith("judged-")
    ]  # fmt: skip
    assert len(judged) == len(set(judged)) == len(NETWORKS)
    stages = {(record.stage, record.network) for record in read_audit(audited)}
    kept = [path.name.lower() for path in (audited / "stages").glob("accuracy-*.json")]
    assert len(set(kept)) == len([s for s in stages if s[0] == "accuracy"]) == len(NETWORKS)
    for path in (*audited.rglob("*"), *made.rglob("*")):
        assert len(path.name) < 150
        assert path.name.isascii()


def test_no_cell_of_a_csv_is_a_formula(audited: Path, made: Path) -> None:
    seen = 0
    for path in (*audited.rglob("*.csv"), *made.rglob("*.csv")):
        for row in csv.reader(io.StringIO(path.read_text(encoding="utf-8"))):
            for cell in row:
                seen += cell.startswith("'")
                if cell.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
                    float(cell)
    assert seen > 10


def test_latex_has_no_command_of_a_name(made: Path) -> None:
    for path in (made / "report" / "tables").glob("*.tex"):
        text = path.read_text(encoding="utf-8")
        assert r"\frac" not in text
        assert "cmd|" not in text
        assert "\x1b" not in text
        for line in text.splitlines():
            assert not line.startswith(("[", "*"))
