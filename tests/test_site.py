"""The site has every page, and the check of its links finds what is wrong."""

import importlib.util
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from nbclient.exceptions import CellExecutionError
from PIL import Image

ROOT = Path(__file__).parents[1]
SITE = ROOT / "docs" / "site"


@pytest.fixture(scope="module")
def build():
    spec = importlib.util.spec_from_file_location("build_site", SITE / "build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_page_is_in_the_navigation() -> None:
    config = (SITE / "mkdocs.yml").read_text(encoding="utf-8")
    docs = ROOT / "docs"
    pages = [page.relative_to(ROOT).as_posix() for page in docs.glob("*.md")]
    pages += [f"docs/tutorials/{source.stem}.md" for source in (docs / "tutorials").glob("*.py")]
    assert len(pages) > 10
    assert not [page for page in pages if f"- {page}\n" not in config]


def test_pages_are_laid_out_with_what_they_link_to(build, tmp_path) -> None:
    build.lay_out(tmp_path)
    assert (tmp_path / "index.md").read_text(encoding="utf-8").startswith("# intriguing")
    assert (tmp_path / "docs" / "results" / "mnist" / "report" / "index.html").is_file()
    assert (tmp_path / "benchmarks" / "figures" / "envelope.png").is_file()
    assert not (tmp_path / "src").exists()


TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.py"))


def test_there_are_ten_tutorials_and_a_page_that_names_them() -> None:
    page = (ROOT / "docs" / "tutorials.md").read_text(encoding="utf-8")
    assert len(TUTORIALS) == 10
    assert all(f"(tutorials/{source.name})" in page for source in TUTORIALS)


@pytest.mark.parametrize("source", TUTORIALS, ids=lambda source: source.stem)
def test_a_tutorial_has_a_finding_that_is_checked_an_exercise_and_links_that_lead_somewhere(
    source,
) -> None:
    text = source.read_text(encoding="utf-8")
    assert text.startswith("# %% [markdown]\n# # ")
    assert "**The finding.**" in text
    assert "\nassert " in text
    assert "# ## Exercise" in text
    told = "\n".join(line.removeprefix("# ") for line in text.splitlines() if line[:2] == "# ")
    links = re.findall(r"\]\(([^)#\s]+)", " ".join(told.split()))
    assert links
    assert all((source.parent / link).is_file() for link in links), links


@pytest.fixture
def tutorials(build):
    return build.tutorials


def test_a_tutorial_becomes_a_page_with_what_its_cells_print_and_draw(tutorials, tmp_path) -> None:
    source = tmp_path / "01_a.py"
    source.write_text(
        "# %% [markdown]\n# # A\n# [next](02_b.py#c), [API](../api.py)\n\n# %%\nprint(6 * 7)\n\n"
        "# %%\nimport matplotlib.pyplot as plt\n\nfigure = plt.plot([0, 1])\n"
    )
    assert tutorials.make_all([source], tmp_path / "made") == []
    page = (tmp_path / "made" / "01_a.md").read_text(encoding="utf-8")
    assert "[next](02_b.md#c), [API](../api.py)" in page
    assert "```python\nprint(6 * 7)\n```\n\n```{ .text .output }\n42\n```" in page
    (picture,) = (tmp_path / "made").glob("*.png")
    assert f"]({picture.name})" in page
    assert "time.process_time" not in page
    assert {one.name for one in (tmp_path / "made").iterdir()} > {"01_a.ipynb", "01_a.py"}


def test_a_tutorial_that_fails_or_takes_too_long_ends_the_build(
    tutorials, tmp_path, monkeypatch
) -> None:
    source = tmp_path / "01_a.py"
    source.write_text("# %%\nassert False\n")
    with pytest.raises(CellExecutionError):
        tutorials.make_all([source], tmp_path)
    source.write_text("# %%\nprint(1)\n")
    monkeypatch.setattr(tutorials, "LONGEST", 0.0)
    (wrong,) = tutorials.make_all([source], tmp_path)
    assert wrong.startswith("01_a.py takes")


def test_the_api_has_every_public_name(build) -> None:
    import intriguing

    pages = build.api()
    for name in intriguing._HOME:
        _, _, rest = pages.partition(f".{name}\n")
        link = rest.lstrip().splitlines()[0]  # from every symbol to its section of the paper
        assert re.fullmatch(r"\[§.+\]\(docs/paper\.md#[\w-]+\) · \[.+\]\(docs/.+\.md\)", link)
    assert "§4.1" in pages.partition("proved.minimum_distortion\n")[2].lstrip().splitlines()[0]


def test_the_gallery_leads_to_every_report_and_to_pictures_at_full_size(build, tmp_path) -> None:
    page = build.gallery(tmp_path)
    reports = sorted((ROOT / "docs" / "results").rglob("report/index.html"))
    assert len(reports) > 5
    shown = re.findall(r'<a href="([^"]+)"><img src="([^"]+)"', page)
    for report in reports:
        assert f'<a href="{report.relative_to(ROOT).as_posix()}">' in page
        assert (tmp_path / report.relative_to(ROOT)).is_file()
    pictured = [one for one in reports if re.search("<svg role|<img", one.read_text("utf-8"))]
    assert len(shown) > 2 * len(pictured) > len(reports)
    for full, small in shown:
        if small.endswith(".svg"):
            assert ElementTree.parse(tmp_path / small).getroot().tag.endswith("svg")
        else:
            with Image.open(tmp_path / full) as large, Image.open(tmp_path / small) as thumbnail:
                assert thumbnail.width <= build.THUMBNAIL[0]
                assert abs(large.width / large.height - thumbnail.width / thumbnail.height) < 0.1


def test_code_can_be_scrolled_by_keyboard_and_the_search_has_a_name(build) -> None:
    page = '<div class="md-search" data-md-component="search" role="dialog"><pre id="a"><code>x'
    made = build.usable(page)
    assert '<div class="md-search" aria-label="Search" data' in made
    assert '<pre tabindex="0" id="a"><code>x' in made
    assert build.usable(made) == made


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ('<a href="b.html">', None),
        ('<a href="b.html#here">', None),
        ('<a href="https://example.org">', None),
        ('<a href="c.html">', "a.html links to c.html, which is not there"),
        ('<a href="b.html#there">', "a.html links to b.html#there: there is no such place"),
        ('<img src="b.png">', "a.html links to b.png, which is not there"),
        ('<script src="https://example.org/x.js">', "a.html loads https://example.org/x.js"),
        ('<link rel="stylesheet" href="//example.org/x.css">', "a.html loads //example.org/x.css"),
    ],
)
def test_faults_of_a_site_are_found(build, tmp_path, body, fault) -> None:
    (tmp_path / "a.html").write_text(body)
    (tmp_path / "b.html").write_text('<p id="here">')
    found = list(build.faults(tmp_path))
    assert len(found) == (fault is not None)
    assert not fault or found[0].startswith(fault)
