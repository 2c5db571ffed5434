"""Can everybody use the site and the playground? axe-core asks, in a real Chromium.

    make accessible      # after `make docs`; npm brings axe-core, rows go to benchmarks/figures

Pages are looked at in light and dark, on a screen and on a telephone. Exit code 1 where there is a
serious or critical finding, or where a page is wider than a telephone.
"""

import csv
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.report import chromium

chromium.WAIT = 120.0  # axe takes its time on long pages
ROOT = Path(__file__).parents[2]
SITE = ROOT / "build" / "site"
AXE = ROOT / "build" / "npm" / "node_modules" / "axe-core" / "axe.min.js"
ROWS = ROOT / "benchmarks" / "figures" / "accessibility.csv"
PAGES = (
    "index.html", "gallery.html", "docs/contents.html", "docs/tutorials.html",
    "docs/tutorials/01_by_hand.html", "docs/tutorials/04_units.html", "docs/paper.html",
    "docs/guide.html", "docs/audit.html", "docs/gate.html", "docs/claims.html",
    "docs/spectral.html", "docs/playground.html", "benchmarks/index.html", "CONTRIBUTING.html",
    "api.html",
)  # fmt: skip
WIDTHS = {"screen": 1280, "telephone": 390}
IMPACTS = ("minor", "moderate", "serious", "critical")
ASK = """axe.run(document, {resultTypes: ["violations"]}).then((told) => told.violations.map(
    (one) => [one.impact, one.id, one.nodes.length, one.nodes[0].target.join(" ")]))"""


def main() -> int:
    """Ask about every page, and about pages that are named."""
    library = AXE.read_text(encoding="utf-8")
    pages = [*(SITE / page for page in PAGES), *map(Path, sys.argv[1:])]
    rows, wrong = [], []
    for device, width in WIDTHS.items():
        with TemporaryDirectory() as profile:
            window = chromium.Chromium(Path(profile))
            window.narrow(width)
            for page in pages:
                for scheme in ("light", "dark"):
                    row, found = look(window, page, library, scheme, width)
                    print(f"{_called(page)} ({device}, {scheme})", *found, sep="\n  ", flush=True)
                    rows.append({"page": _called(page), "device": device, "scheme": scheme, **row})
                    wrong += [f"{_called(page)} ({device}, {scheme}): {one}" for one in found]
            window.close()
    with ROWS.open("w", encoding="utf-8") as kept:
        writer = csv.DictWriter(kept, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} views of {len(pages)} pages: {len(wrong)} serious findings")
    return 1 if wrong else 0


def look(
    window: chromium.Chromium, page: Path, library: str, scheme: str, width: int
) -> tuple[dict[str, int], list[str]]:
    """Numbers of findings by how bad they are; and in words what is serious."""
    window.prefer(scheme)
    window.open(page)
    window.run(library)
    found = window.run(ASK)
    row = {impact: sum(one[0] == impact for one in found) for impact in IMPACTS}
    row["wider"] = max(0, window.run("document.documentElement.scrollWidth") - width)
    return row, list(_serious(found, row["wider"]))


def _serious(found: list[Any], wider: int) -> Iterator[str]:
    for impact, rule, count, first in found:
        if impact in ("serious", "critical"):
            yield f"{impact}, {rule}, {count} times, such as {first}"
    if wider:
        yield f"{wider} pixels wider than the window"


def _called(page: Path) -> str:
    return page.relative_to(SITE).as_posix() if page.is_relative_to(SITE) else page.name


if __name__ == "__main__":
    sys.exit(main())
