"""Build the site: pages as they lie in the repository, tutorials, an API, a gallery; then look at
every link.

    make docs            # into build/site; open build/site/index.html

Pages keep their places beside one another, so a link that works on a code host works on the site.
What a page links to (figures, reports, examples) is taken along. Nothing else is.
"""

import html.parser
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

from PIL import Image

import intriguing

sys.path.insert(0, str(Path(__file__).parent))
import macros
import tutorials

ROOT = Path(__file__).parents[2]
BUILT = ROOT / "build"
TUTORIALS = ROOT / "docs" / "tutorials"
# Of the repository, beside the README.
PAGES = ("CONTRIBUTING.md", "CHANGELOG.md", "benchmarks/README.md", "docs/*.md")
LINK = re.compile(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)|(?:src|href)=\"([^\"]+)\"")
SHIM = "https://unpkg.com/iframe-worker/shim"
"""What the theme would load from another host, so that the search works from a disk: ours does."""
THUMBNAIL = (480, 360)


def main() -> int:
    """Build; the number of broken links and of outside requests is the exit code, 0 or 1."""
    pages, site = BUILT / "pages", BUILT / "site"
    shutil.rmtree(BUILT, ignore_errors=True)
    lay_out(pages)
    (pages / "api.md").write_text(api(), encoding="utf-8")
    slow = tutorials.make_all(sorted(TUTORIALS.glob("*.py")), pages / TUTORIALS.relative_to(ROOT))
    (pages / "gallery.md").write_text(gallery(pages), encoding="utf-8")
    shutil.copy(ROOT / "docs" / "site" / "site.css", pages)
    where = {"SITE_PAGES": str(pages), "SITE_BUILT": str(site), "SITE_SOURCE": str(ROOT / "src")}
    config = ROOT / "docs" / "site" / "mkdocs.yml"
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--config-file", str(config)],
        env={**os.environ, **where, "NO_MKDOCS_2_WARNING": "1"}, check=False,
    )  # fmt: skip
    if done.returncode:
        return done.returncode
    shutil.copy(ROOT / "docs" / "site" / "worker.js", site / "assets")
    for page in site.rglob("*.html"):
        depth = len(page.relative_to(site).parts) - 1
        text = page.read_text(encoding="utf-8")
        page.write_text(text.replace(SHIM, f"{'../' * depth}assets/worker.js"), encoding="utf-8")
    wrong = [*slow, *faults(site)]
    wrong += [
        f"{page.relative_to(ROOT)} has other numbers than the rows: python docs/site/macros.py"
        for page in macros.PAGES
        if macros.filled(text := page.read_text(encoding="utf-8")) != text
    ]
    print(*wrong, sep="\n", end="\n" if wrong else "")
    print(f"{site / 'index.html'}: {len(list(site.rglob('*.html')))} pages, {len(wrong)} faults")
    return 1 if wrong else 0


def lay_out(pages: Path) -> None:
    """Copy the pages, and what they link to, to the same places."""
    sources = [path for pattern in PAGES for path in sorted(ROOT.glob(pattern))]
    for source in [ROOT / "README.md", *sources]:
        text = source.read_text(encoding="utf-8")
        place = source.relative_to(ROOT)
        target = pages / ("index.md" if place == Path("README.md") else place)
        target.parent.mkdir(parents=True, exist_ok=True)
        laid_out = tutorials.as_pages(text.replace("(README.md", "(index.md"))
        target.write_text(laid_out, encoding="utf-8")
        for link in linked(text):
            take(source.parent / link, pages)


def linked(text: str) -> Iterator[str]:
    """Paths that a page links to, without fragments."""
    for match in LINK.finditer(text):
        parts = urlsplit(match[1] or match[2])
        if not parts.scheme and not parts.netloc and parts.path:
            yield unquote(parts.path)


def take(path: Path, pages: Path) -> None:
    """Take a file of the repository along; of a report's page its whole folder."""
    path = path.resolve()
    if not path.is_relative_to(ROOT) or not path.exists() or path.suffix == ".md":
        return
    if path.name == "index.html":
        path = path.parent
    target = pages / path.relative_to(ROOT)
    target.parent.mkdir(parents=True, exist_ok=True)
    if path.is_dir():
        unwanted = shutil.ignore_patterns("*.md", "__pycache__")
        shutil.copytree(path, target, ignore=unwanted, dirs_exist_ok=True)
    else:
        shutil.copy(path, target)


def api() -> str:
    """Every public name, by the room that it is from."""
    rooms: dict[str, list[str]] = {}
    for name in intriguing.__all__:
        home = intriguing._HOME.get(name)
        if home is not None:
            rooms.setdefault(home.split(".")[0], []).append(f"intriguing.{home}.{name}")
    parts = ["# API\n\nEverything here is imported from `intriguing` itself.\n"]
    for room, names in sorted(rooms.items()):
        parts.append(f"## {room.capitalize()}\n")
        parts += [f"::: {name}\n" for name in sorted(names, key=str.casefold)]
    return "\n".join(parts)


def gallery(pages: Path) -> str:
    """A picture of every report that is in the repository, and a link to it."""
    cards = []
    for report in sorted((ROOT / "docs" / "results").rglob("report/index.html")):
        take(report, pages)
        told = re.search(r"<h1[^>]*>(.*?)</h1>", report.read_text(encoding="utf-8"), re.DOTALL)
        title = re.sub(r"<[^>]+>", "", told[1]).strip() if told else report.parent.parent.name
        place = report.relative_to(ROOT).as_posix()
        picture = thumbnail(report.parent, pages)
        image = f'<img src="{picture}" alt="" loading="lazy">' if picture else ""
        cards.append(f'<a href="{place}">{image}{title}</a>')
    return (
        "# Gallery\n\nReports of real runs, as they were written: each is one page that works "
        "offline.\n\n"
        f'<div class="gallery">\n{chr(10).join(cards)}\n</div>\n'
    )


def thumbnail(report: Path, pages: Path) -> str | None:
    """A small copy of a report's largest picture."""
    pictures = [p for p in report.rglob("*") if p.suffix in (".png", ".webp", ".jpg")]
    if not pictures:
        return None
    largest = max(pictures, key=lambda picture: picture.stat().st_size)
    name = "-".join(report.relative_to(ROOT / "docs" / "results").parts[:-1]) + ".png"
    small = pages / "thumbnails" / name
    small.parent.mkdir(exist_ok=True)
    with Image.open(largest) as opened:
        picture = opened.convert("RGB")
        width, height = picture.size
        picture = picture.crop((0, 0, width, min(height, width * 3 // 4)))
        picture.thumbnail(THUMBNAIL)
        picture.save(small)
    return f"thumbnails/{name}"


class _Links(html.parser.HTMLParser):
    """What a page loads, what it links to, and the places in it."""

    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []
        self.linked: list[str] = []
        self.places: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = {key: value for key, value in attrs if value}
        if "id" in known:
            self.places.add(str(known["id"]))
        if tag == "a" and "href" in known:
            self.linked.append(str(known["href"]))
        elif tag in ("img", "script", "iframe", "source", "video") and "src" in known:
            self.loaded.append(str(known["src"]))
        elif tag == "link" and known.get("rel") != "canonical" and "href" in known:
            self.loaded.append(str(known["href"]))


def faults(site: Path) -> Iterator[str]:
    """Links to what is not there, and whatever would be loaded from another host."""
    known: dict[Path, _Links] = {}
    for page in sorted(site.rglob("*.html")):
        known[page] = _Links()
        known[page].feed(page.read_text(encoding="utf-8"))
    for page, links in known.items():
        if page.name == "404.html":
            continue  # whose links are absolute
        here = page.relative_to(site)
        for link in links.loaded:
            if urlsplit(link).netloc:
                yield f"{here} loads {link}"
        for link in [*links.loaded, *links.linked]:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
            # What our own pages put behind # besides places are settings, with an equals sign.
            places = known[target].places if target in known and "=" not in parts.fragment else None
            if not target.exists():
                yield f"{here} links to {link}, which is not there"
            elif places is not None and unquote(parts.fragment) not in places | {""}:
                yield f"{here} links to {link}: there is no such place on that page"


if __name__ == "__main__":
    sys.exit(main())
