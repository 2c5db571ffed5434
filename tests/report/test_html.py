import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from intriguing.errors import InputError
from intriguing.report.html import draw_report
from intriguing.report.numbers import number, paper_number
from intriguing.results.store import read_run, write_run
from tests.report.sample import write_sample
from tests.shown import shown

KINDS = ("reproduce", "attack", "transfer", "train", "compare", "spectrum", "certify")
VOID = {"meta", "link", "br", "img", "hr", "input"}


class Page(HTMLParser):
    """The open elements, every attribute, ids, and the text of every table cell."""

    def __init__(self, text):
        super().__init__()
        self.stack, self.links, self.ids, self.cells, self.scopes = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.stack.append(tag)
        values = dict(attributes)
        self.links += [v for k, v in attributes if k in ("href", "src", "xlink:href")]
        if "id" in values:
            self.ids.append(values["id"])
        if tag == "td":
            self.cells.append("")
        if tag == "th":
            self.scopes.append(values.get("scope"))

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.stack.pop()

    def handle_endtag(self, tag):
        assert self.stack.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if "td" in self.stack:
            self.cells[-1] += data + " "


@pytest.fixture(scope="module", params=KINDS)
def drawn(request, tmp_path_factory):
    folder = write_sample(tmp_path_factory.mktemp(request.param), request.param)
    page = draw_report(folder)
    return folder, page.read_text(encoding="utf-8")


def test_the_page_loads_nothing(drawn):
    _, text = drawn
    page = Page(text)
    assert not page.stack
    assert all(link.startswith(("#", "data:")) for link in page.links)
    assert not re.search(r"https?://|@import|<script|<iframe|<object", text)
    assert all(target.startswith(("#", "data:")) for target in re.findall(r"url\(([^)]*)\)", text))


def test_links_lead_somewhere_and_no_id_is_given_twice(drawn):
    page = Page(drawn[1])
    assert len(page.ids) == len(set(page.ids))
    assert {link[1:] for link in page.links if link.startswith("#")} <= set(page.ids)


def test_every_cell_is_on_the_page_with_the_papers_value(drawn):
    folder, text = drawn
    printed = [" ".join(cell.split()) for cell in Page(text).cells]
    for cell in shown(folder):
        start = number(cell.value, cell.unit)
        if cell.paper is not None:
            start += f" paper {paper_number(cell.paper, cell.unit)}"
        assert any(words.startswith(start) for words in printed), start


def test_tables_are_accessible(drawn):
    page = Page(drawn[1])
    assert set(page.scopes) <= {"row", "col"}
    tables = drawn[1].count("<table")
    assert tables == drawn[1].count("<caption>")
    assert re.findall(r"<svg(?! role=\"img\" aria-label=\"[^\"])", drawn[1]) == []


def test_the_page_names_command_data_models_and_sources(drawn):
    folder, text = drawn
    run = read_run(folder)
    assert run.command in text
    for digest in (run.data[0].sha256, *(model.sha256 for model in run.models)):
        assert digest in text
    assert "&lt;b&gt;markup&lt;/b&gt; &amp; an ampersand" in text
    assert f"rows/{'layers' if run.kind == 'spectrum' else 'measurements'}.parquet" in text


def test_tables_and_figures_are_also_files(drawn):
    folder, text = drawn
    report = folder / "report"
    for name in read_run(folder).tables:
        assert (report / "tables" / f"{name}.csv").exists()
        assert (report / "tables" / f"{name}.tex").exists()
    figures = set(re.findall(r"report/figures/([\w-]+)\.png", text))
    for name in figures:
        assert (report / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (report / "figures" / f"{name}.svg").read_text()
    assert {path.stem for path in (report / "figures").glob("*")} == figures if figures else True


def test_drawing_a_folder_without_its_larger_files_keeps_what_was_drawn_from_them(tmp_path):
    folder = write_sample(tmp_path, "attack")
    draw_report(folder)
    drawn = sorted((folder / "report" / "figures").iterdir())
    (folder / "rows" / "images.parquet").unlink()
    draw_report(folder)
    assert sorted((folder / "report" / "figures").iterdir()) == drawn


def test_the_head_says_how_was_searched(tmp_path):
    from dataclasses import replace

    folder = write_sample(tmp_path, "attack")
    asked = {"method": "ddn", "targets": "untargeted", "budget": 100, "levels": None}
    write_run(folder, replace(read_run(folder), config=asked))
    text = draw_report(folder).read_text(encoding="utf-8")
    assert "method ddn · targets untargeted · budget 100 · seed 0" in text


def test_the_same_folder_gives_the_same_page(tmp_path):
    folder = write_sample(tmp_path, "reproduce")
    first = draw_report(folder).read_bytes()
    assert draw_report(folder).read_bytes() == first


def test_a_run_that_is_not_finished_says_so(tmp_path):
    from dataclasses import replace

    folder = write_sample(tmp_path, "attack")
    write_run(folder, replace(read_run(folder), status="running"))
    assert "Not finished." in draw_report(folder).read_text()


def test_a_run_that_has_nothing_yet_still_gives_a_page(tmp_path):
    from dataclasses import replace

    folder = write_sample(tmp_path / "full", "reproduce")
    empty = tmp_path / "empty"
    empty.mkdir()
    write_run(empty, replace(read_run(folder), models=(), stages=(), notes=(), data=()))
    assert "How this was made" in draw_report(empty).read_text()


def test_a_folder_without_results_is_refused_with_the_fix(tmp_path):
    with pytest.raises(InputError, match=r"run\.json.*--out"):
        draw_report(tmp_path)


def test_drawing_a_report_needs_no_torch(tmp_path):
    folder = write_sample(tmp_path, "transfer")
    program = (
        "import sys, pathlib; from intriguing.report.html import draw_report; "
        f"draw_report(pathlib.Path({str(folder)!r})); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
