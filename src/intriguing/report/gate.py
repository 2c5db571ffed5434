"""The sections of a gate: its images, flaws of the network, and the record of evidence."""

import math
from collections.abc import Iterator, Mapping, Sequence

from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.exchange.evidence import evidence
from intriguing.report.gated import gated, what_is_near
from intriguing.report.numbers import number, sentence
from intriguing.report.section import Listing, Part, Section
from intriguing.results.gate import GateRow

IMAGES, FLAWS = "rows/gate.parquet", "rows/flaws.parquet"
VERDICT = "rows/rulings.parquet"
SHOWN = 200
"""Images that the page lists."""


def _images(contents: Contents) -> Section:
    gate = gated(contents)
    if gate is None or not gate.rows:
        return Section("images", "", "", ())
    nearest = sorted(gate.rows, key=_nearness)
    listing = Listing(
        "gate",
        f"The {len(nearest):,} images it was decided by, the nearest first",
        ("Image", "Class", "Becomes", "Limit", "Found", "Certified", "Too near", "Decided by"),
        tuple(map(_row, nearest[:SHOWN])),
        csv_text(tuple(vars(nearest[0])), (vars(row).values() for row in gate.rows)),
        (IMAGES,),
        omitted=max(len(nearest) - SHOWN, 0),
        opened=True,
    )
    words = (
        f"Too near is what has {what_is_near(gate.verdict)}. Lengths are in L2. A search that has "
        "decided ends, so a distance below the limit may be far from the least."
    )
    return Section("images", "Image by image", words, (listing,))


def _flaws(contents: Contents) -> Section:
    if not contents.flaws:
        return Section("flaws", "", "", ())
    head = ("Flaw", "Measured", "What follows", "Stands in the way of a pass")
    rows = [
        (row.what, row.seen, sentence(row.follows), "yes" if row.decides else "no")
        for row in contents.flaws
    ]
    listing = Listing(
        "flaws", f"{len(rows)} found", head, tuple(rows), csv_text(head, rows), (FLAWS,),
        opened=True, prose=head[1:3],
    )  # fmt: skip
    return Section("flaws", "What is wrong with the network", "", (listing,))


def _evidence(contents: Contents) -> Section:
    gate = gated(contents)
    if gate is None:
        return Section("evidence", "", "", ())
    head, rows = ("Field", "Content"), tuple(_fields(evidence(gate, contents.run)))
    listing = Listing(
        "evidence", f"The {len(rows)} fields of evidence.json", head, rows, csv_text(head, rows),
        (VERDICT, IMAGES, FLAWS), opened=True, prose=head[1:],
    )  # fmt: skip
    words = (
        "What was tested, on what, how, with which result, and what it leaves open; the same as in "
        "evidence.json beside this page, under the same names."
    )
    return Section("evidence", "Record of evidence", words, (listing,))


def _fields(content: object, name: str = "") -> Iterator[tuple[str, str]]:
    """The leaves of a record by their path; what stands in a list is one of them."""
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _fields(value, f"{name}.{key}" if name else str(key))
    elif isinstance(content, Sequence) and any(isinstance(one, Mapping) for one in content):
        for number, one in enumerate(content):
            words = (f"{key}: {_word(value)}" for key, value in one.items())
            yield f"{name}[{number}]", " · ".join(words)
    elif isinstance(content, Sequence) and not isinstance(content, str):
        yield name, " · ".join(map(_word, content)) or "none"
    else:
        yield name, _word(content)


def _word(content: object) -> str:
    if isinstance(content, bool):
        return "yes" if content else "no"
    return "none" if content is None else str(content)


def _nearness(row: GateRow) -> tuple[bool, float, int]:
    ratio = row.found / row.limit if row.limit > 0 else math.inf
    return math.isnan(ratio), 0.0 if math.isnan(ratio) else ratio, row.place


def _row(row: GateRow) -> tuple[str, ...]:
    def length(value: float) -> str:
        return "–" if math.isnan(value) else number(value, "l2")

    return (
        row.image_id, str(row.label), "–" if row.became < 0 else str(row.became),
        length(row.limit), length(row.found), length(row.certified),
        {"near": "yes", "not near": "no", "unknown": "unknown"}[row.near], row.ended,
    )  # fmt: skip


PARTS: Sequence[Part] = (_images, _flaws, _evidence)
