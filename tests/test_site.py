"""The site has every page, and the check of its links finds what is wrong."""

import importlib.util
from pathlib import Path

import pytest

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
    pages = [page.relative_to(ROOT).as_posix() for page in (ROOT / "docs").glob("*.md")]
    assert pages
    assert not [page for page in pages if f"- {page}\n" not in config]


def test_pages_are_laid_out_with_what_they_link_to(build, tmp_path) -> None:
    build.lay_out(tmp_path)
    assert (tmp_path / "index.md").read_text(encoding="utf-8").startswith("# intriguing")
    assert (tmp_path / "docs" / "results" / "mnist" / "report" / "index.html").is_file()
    assert (tmp_path / "benchmarks" / "figures" / "envelope.png").is_file()
    assert not (tmp_path / "src").exists()


def test_the_api_has_every_public_name(build) -> None:
    import intriguing

    pages = build.api()
    assert all(f".{name}\n" in pages for name in intriguing._HOME)


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
