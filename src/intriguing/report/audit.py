"""The sections of an audit's report: closeness, pictures, transfer, bounds, certificates, units."""

from collections.abc import Sequence
from dataclasses import replace

from intriguing.report import curves, spectrum, units
from intriguing.report.certificates import accuracies
from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.figure_style import Drawing
from intriguing.report.layouts import VIEWS, plain
from intriguing.report.section import (
    IMAGES,
    Block,
    Listing,
    Part,
    Section,
)
from intriguing.report.viewer import Viewer, viewer
from intriguing.results.measured import Metric, where

STAGES = "stages/audit.json"


def _closeness(contents: Contents) -> Section:
    return Section(
        "distortion",
        "How close the images are to being misread",
        "Each image is moved by as little as the search can find until the network calls it "
        "anything but its class. Beside it, Gaussian noise of exactly the same size.",
        (*_curve(contents), *contents.tables_of("accuracy", "attack", "noise")),
    )


def _curve(contents: Contents) -> Sequence[Drawing]:
    distortions = contents.attacked.distortions
    clean = {
        row.network: row for row in where(contents.measured, analysis="accuracy")
        if row.metric in (Metric.ACCURACY, Metric.AGREEMENT)
    }  # fmt: skip
    lines = [
        curves.Line(
            name, values, clean[name].count / clean[name].total,
            tuple(
                (row.size, 1 - row.count / row.total)
                for row in where(contents.measured, analysis="noise", network=name)
                if row.metric is Metric.FOOLED and row.size is not None
            ),
        )
        for name, values in distortions.items()
        if name in clean and values.total
    ]  # fmt: skip
    if not any(len(line.distortions) for line in lines):
        return ()
    drawing = Drawing(
        "accuracy-curve",
        "Accuracy against the size of the change",
        "Solid: what is left of the clean accuracy when every image is changed by the nearest "
        "example found, if that lies within the distortion; the truth lies on it or below. Dots "
        "and dashed lines: Gaussian noise of that distortion.",
        "Falling curves of accuracy against distortion, one for the attack and one for noise",
        (IMAGES, STAGES),
        lambda: curves.accuracy(lines),
    )
    return (drawing,)


def figure5(contents: Contents) -> Section:
    """The images that became one class: the paper's Figure 5, and any other class of an audit."""
    blocks: list[Block] = list(contents.tables_of("target"))
    for file in contents.of_kind("pairs"):
        if file.metadata.get("made") == "target":
            caption = (
                "As the paper's Figure 5: left the original, in the centre the difference × 10, "
                "shifted by 128 and clamped, right the adversarial image. None was left out."
            )
            blocks += _shown(viewer(file, caption, shown=64))
    return Section(
        "target",
        "Every image made one class",
        "Every answer is an 8-bit image, saved as a PNG file, read back and classified afresh.",
        tuple(blocks),
    )


def _pictures(contents: Contents) -> Section:
    blocks: list[Block] = []
    for file in contents.of_kind("pairs"):
        if file.metadata.get("made") == "nearest":
            caption = (
                "Not chosen: the first images attacked, or some drawn of very many. Under the "
                "pictures drag the line between the original and the adversarial image, and "
                "magnify the change."
            )
            blocks += _shown(viewer(file, caption))
    return Section("nearest", "What the nearest examples look like", "", tuple(blocks))


def _shown(block: Viewer | None) -> list[Block]:
    return [] if block is None else [block]


def _transfer(contents: Contents) -> Section:
    return Section(
        "transfer",
        "Do other networks fall for it?",
        "Examples made for the network of the row are shown to the network of the column. A cell "
        "is the share it misclassifies. Amplified examples, and noise, are all of one size. What a "
        "network misreads anyway is no transfer: the second table subtracts it, image by image.",
        tuple(contents.tables_of("transfer", "transfer-net")),
    )


def _bounds(contents: Contents) -> Section:
    blocks: list[Block] = []
    for place, name in enumerate(dict.fromkeys(row.network for row in contents.layers), 1):
        rows = where(contents.layers, network=name)
        blocks += spectrum.layer_blocks(rows, f"-{place}", name)
    return Section(
        "layers",
        "How far each layer can carry a change",
        "An upper bound says how many times longer, in L2, any change can be after the layer than "
        "before; a lower bound what some change does reach. The truth lies between.",
        tuple(blocks),
    )


def _certificates(contents: Contents) -> Section:
    blocks: list[Block] = list(contents.tables_of("certify"))
    for place, (name, certified) in enumerate(contents.certified.items(), 1):
        if certified.certified.any_above_zero:
            blocks.append(accuracies(certified, f"-{place}", name))
    return Section(
        "certified",
        "How far images are safe, proved",
        "A certificate is a distance within which no example exists. It is a lower bound of what "
        "the search approaches from above.",
        tuple(blocks),
    )


def others(contents: Contents) -> Section:
    """What stages measured that no other section is about, under the question of an audit."""
    questions = {record.stage: record.question for record in contents.audit}
    new = dict.fromkeys(row.analysis for row in contents.measured if row.analysis not in VIEWS)
    tables = [
        table for one in new
        for table in plain(questions.get(one, one)).tables(
            one, where(contents.measured, analysis=one)
        )
    ]  # fmt: skip
    return Section("others", "What else was asked", "", tuple(t for t in tables if t.cells))


def _stages(contents: Contents) -> Section:
    if not contents.audit:
        return Section("stages", "", "", ())
    rows = tuple(
        (
            f"{record.stage}{', ' if record.network else ''}{record.network}", record.status,
            " ".join(record.words) or "–", _time(record.wall_seconds),
        )
        for record in contents.audit
    )  # fmt: skip
    csv = csv_text(
        ("stage", "network", "status", "seconds"),
        ((r.stage, r.network, r.status, round(r.wall_seconds, 1)) for r in contents.audit),
    )
    listing = Listing(
        "stages", "What was done, what failed, and what was not run",
        ("Stage", "Status", "Remarks", "Time"), rows, csv, (STAGES,), opened=True,
        prose=("Remarks",),
    )  # fmt: skip
    return Section("stages", "What was run", "", (listing,))


def _time(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds >= 1 else "–" if not seconds else "< 1 s"


def _unit(part: Part) -> Part:
    """A section of units, its anchor kept apart from the audit's own."""

    def drawn(contents: Contents) -> Section:
        section = part(contents)
        return replace(section, anchor=f"units-{section.anchor}")

    return drawn


PARTS: tuple[Part, ...] = (
    _closeness, figure5, _pictures, _transfer, _bounds, _certificates,
    *(_unit(part) for part in units.PARTS), others, _stages,
)  # fmt: skip
