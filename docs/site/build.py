"""Build the site: pages as they lie in the repository, tutorials, an API, a gallery; then look at
every link. What pages and tutorials tell a reader to run is run on the way.

    make docs            # into build/site; open build/site/index.html

Pages keep their places beside one another, so a link that works on a code host works on the site.
What a page links to (figures, reports, examples) is taken along. Nothing else is.
"""

import base64
import html
import html.parser
import io
import json
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
_NEAREST = ("§4.1 The search", "41-the-search")
_BLIND = ("§4 Blind spots", "4-blind-spots")
_SPECTRAL = ("§4.3 Spectral analysis", "43-spectral-analysis")
_FRAMEWORK = ("§2 Framework", "2-framework")
SECTIONS = {
    "audit": (_BLIND, ("audits", "audit")),
    "data": (_FRAMEWORK, ("data", "data")),
    "distortion": (_NEAREST, ("minimum distortion", "minimum-distortion")),
    "errors": (_FRAMEWORK, ("how it is built", "architecture")),
    "gate": (_BLIND, ("gates", "gate")),
    "graph": (_SPECTRAL, ("spectral bounds", "spectral")),
    "hardening": (("§4.2 What they share", "42-what-they-share"), ("hardening", "hardening")),
    "measures": (_NEAREST, ("minimum distortion", "minimum-distortion")),
    "models": (_FRAMEWORK, ("networks and pictures", "models-and-data")),
    "results": (_BLIND, ("audits", "audit")),
    "scale": (_NEAREST, ("from one laptop to a cluster", "scale")),
    "spectral": (_SPECTRAL, ("spectral bounds", "spectral")),
    "training": (_FRAMEWORK, ("the reproduction", "reproduction")),
    "transfer": (("§4.2 What they share", "42-what-they-share"), ("transfer", "guide")),
    "units": (("§3 Units", "3-units"), ("units", "units")),
}
"""By room: the section of the paper that its symbols belong to, and the page of its topic."""
ELSEWHERE = {"minimum_distortion": "distortion"}
"""What is defined in one room and belongs to another: proofs of optimality need certificates."""
THUMBNAIL = (480, 360)
SHOWN = 3
"""Pictures of a report."""
SVG = 'xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink"'


def main() -> int:
    """Build; the number of broken links and of outside requests is the exit code, 0 or 1."""
    pages, site = BUILT / "pages", BUILT / "site"
    shutil.rmtree(BUILT, ignore_errors=True)
    lay_out(pages)
    (pages / "api.md").write_text(api(), encoding="utf-8")
    # In a process of its own, as data sets are others there.
    ran = subprocess.run([sys.executable, str(ROOT / "docs" / "site" / "commands.py")], check=False)
    if ran.returncode:
        return ran.returncode
    slow = tutorials.make_all(sorted(TUTORIALS.glob("*.py")), pages / TUTORIALS.relative_to(ROOT))
    (pages / "gallery.md").write_text(gallery(pages), encoding="utf-8")
    for name in ("site.css", "focus.js"):
        shutil.copy(ROOT / "docs" / "site" / name, pages)
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
        text = usable(page.read_text(encoding="utf-8"))
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


def usable(page: str) -> str:
    """What the theme leaves out for readers without a mouse, or without eyes."""
    named = page.replace('class="md-search" data', 'class="md-search" aria-label="Search" data')
    return re.sub(r"<pre\b(?![^>]* tabindex)", '<pre tabindex="0"', named)


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
            room = ELSEWHERE.get(name, home.split(".")[0])
            rooms.setdefault(room, []).append(f"intriguing.{home}.{name}")
    parts = ["# API\n\nEverything here is imported from `intriguing` itself.\n"]
    for room, names in sorted(rooms.items()):
        parts.append(f"## {room.capitalize()}\n")
        (section, place), (page, file) = SECTIONS[room]
        link = f"[{section}](docs/paper.md#{place}) · [{page}](docs/{file}.md)\n{{ .section }}\n"
        parts += [f"::: {name}\n\n{link}" for name in sorted(names, key=str.casefold)]
    return "\n".join(parts)


def gallery(pages: Path) -> str:
    """Every report that is in the repository: what was run, and pictures of it at full size."""
    cards = []
    for report in sorted((ROOT / "docs" / "results").rglob("report/index.html")):
        take(report, pages)
        text = report.read_text(encoding="utf-8")
        told = re.search(r"<h1[^>]*>(.*?)</h1>", text, re.DOTALL)
        title = re.sub(r"<[^>]+>", "", told[1]).strip() if told else report.parent.parent.name
        run = json.loads((report.parent.parent / "run.json").read_text(encoding="utf-8"))
        place = report.relative_to(ROOT).as_posix()
        shown = "".join(
            f'<a href="{full}"><img src="{small}" alt="A picture of this report, at full size" '
            'loading="lazy"></a>'
            for full, small in pictures(report, text, pages)
        )
        cards.append(
            f'<section><h2><a href="{place}">{title}</a></h2>\n'
            f"<p><code>{html.escape(run['command'])}</code></p>\n<div>{shown}</div></section>"
        )
    return (
        "# Gallery\n\nReports of real runs, as they were written: each is one page that works "
        "offline. A title leads to its report, a picture to the same at full size.\n\n"
        f'<div class="gallery">\n{chr(10).join(cards)}\n</div>\n'
    )


def pictures(report: Path, text: str, pages: Path) -> Iterator[tuple[str, str]]:
    """Links to some pictures of a report and to small copies: of its files, else of its page."""
    name = "-".join(report.relative_to(ROOT / "docs" / "results").parts[:-2])
    folder = pages / "thumbnails"
    folder.mkdir(exist_ok=True)
    files = [p for p in report.parent.rglob("*") if p.suffix in (".png", ".webp", ".jpg")]
    full = [(file.relative_to(ROOT).as_posix(), file.read_bytes()) for file in files]
    if not full:
        inside = re.findall(r'src="data:image/(png|webp|jpeg);base64,([^"]+)"', text)
        for number, (kind, content) in enumerate(dict.fromkeys(inside)):
            full.append((f"thumbnails/{name}-{number}-full.{kind}", base64.b64decode(content)))
    full = sorted(full, key=lambda one: len(one[1]), reverse=True)[:SHOWN]
    for number, (place, content) in enumerate(full):
        if not (pages / place).exists():
            (pages / place).write_bytes(content)
        small = f"thumbnails/{name}-{number}.png"
        with Image.open(io.BytesIO(content)) as opened:
            opened.convert("RGB").resize(_fitted(opened.size)).save(pages / small)
        yield place, small
    drawings = re.findall(r"<svg\b.*?</svg>", text, re.DOTALL) if not full else []
    for number, drawing in enumerate(sorted(drawings, key=len, reverse=True)[:SHOWN]):
        place = f"thumbnails/{name}-{number}.svg"
        drawn = drawing if "xmlns=" in drawing else drawing.replace("<svg", f"<svg {SVG}", 1)
        (pages / place).write_text(drawn, encoding="utf-8")
        yield place, place


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    """As large as a thumbnail may be; what is smaller grows, by whole times."""
    shrink = min(THUMBNAIL[0] / size[0], THUMBNAIL[1] / size[1])
    scale = shrink if shrink < 1 else int(shrink)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


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
