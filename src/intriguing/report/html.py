"""One self-contained page, and the files of every table and figure, from a results folder alone."""

import base64
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from markupsafe import Markup

from intriguing.files import write_whole
from intriguing.names import file_name, storable
from intriguing.report import numbers, tables
from intriguing.report.browser import draw_browser, templates
from intriguing.report.contents import Contents, read_contents, series
from intriguing.report.exchange.files import write_exchange
from intriguing.report.figure_style import Drawing, inline, png, svg, vectors
from intriguing.report.findings import findings
from intriguing.report.section import Block, Listing, VerdictTable
from intriguing.report.sections import sections
from intriguing.report.viewer import Viewer
from intriguing.report.views import Cell, Table
from intriguing.results.damage import blame
from intriguing.results.schema import RunRecord
from intriguing.written import refuse_links


@dataclass(frozen=True)
class TableBlock:
    """A table with its downloads, as the template shows it; `file` is what its files are called."""

    table: Table
    file: str
    csv: Markup
    latex: Markup
    kind: str = "table"


@dataclass(frozen=True)
class FigureBlock:
    """A figure as the template shows it."""

    drawing: Drawing
    file: str
    picture: Markup
    kind: str = "figure"


@dataclass(frozen=True)
class ListingBlock:
    """A listing with its download, as the template shows it."""

    listing: Listing
    file: str
    csv: Markup
    latex: Markup | None = None
    kind: str = "listing"


@dataclass(frozen=True)
class VerdictBlock:
    """The table of verdicts with its download, as the template shows it."""

    table: VerdictTable
    csv: Markup
    kind: str = "verdicts"


def draw_report(folder: Path) -> Path:
    """Draw report/ in a results folder: index.html, tables/*.tex *.csv, figures/*.png *.svg.

    Returns:
        The path of the page, which loads nothing and may be sent to anybody.

    Raises:
        InputError: If `folder` is no results folder, damaged, of another schema version, or if a
            part of it is elsewhere.
    """
    contents = read_contents(folder)
    refuse_links(folder)
    report = folder / "report"
    with blame(folder):
        drawn = [
            (section, [_block(block, contents.run, report) for block in section.blocks])
            for section in sections(contents)
        ]
        browse = draw_browser(contents, report)
        page = report / "index.html"
        write_whole(page, _render(contents, drawn, browse))
        write_exchange(contents, report)
    return page


def _block(
    block: Block, run: RunRecord, report: Path
) -> TableBlock | FigureBlock | ListingBlock | VerdictBlock | Viewer:
    if isinstance(block, Viewer):
        if block.whole:
            page = templates().get_template("pairs.html.j2").render(block=block, run=run)
            write_whole(report / block.file, page)
        return block
    if isinstance(block, Table):
        return _table_block(block, report)
    if isinstance(block, Drawing):
        return _figure_block(block, report)
    if isinstance(block, VerdictTable):
        write_whole(report / "tables" / "verdicts.csv", block.csv)
        return VerdictBlock(block, _data_uri("text/csv", block.csv))
    return _listing_block(block, report)


def _listing_block(listing: Listing, report: Path) -> ListingBlock:
    csv, file = _data_uri("text/csv", listing.csv), file_name(listing.name)
    write_whole(report / "tables" / f"{file}.csv", listing.csv)
    if not listing.latex:
        return ListingBlock(listing, file, csv)
    write_whole(report / "tables" / f"{file}.tex", listing.latex)
    return ListingBlock(listing, file, csv, _data_uri("application/x-tex", listing.latex))


def _table_block(table: Table, report: Path) -> TableBlock:
    csv, latex, file = tables.to_csv(table), tables.to_latex(table), file_name(table.name)
    write_whole(report / "tables" / f"{file}.csv", csv)
    write_whole(report / "tables" / f"{file}.tex", latex)
    uris = _data_uri("text/csv", csv), _data_uri("application/x-tex", latex)
    return TableBlock(table, file, *uris)


def _figure_block(drawing: Drawing, report: Path) -> FigureBlock:
    figure, file = drawing.draw(), file_name(drawing.name)
    drawn = vectors(figure)
    write_whole(report / "figures" / f"{file}.svg", svg(drawn))
    write_whole(report / "figures" / f"{file}.png", png(figure))
    return FigureBlock(drawing, file, Markup(inline(figure, drawn, file, drawing.description)))


def _render(contents: Contents, drawn: list[Any], browse: Path | None) -> str:
    environment = templates()
    environment.filters |= {
        "interval": numbers.interval,
        "number": numbers.number,
        "paper_number": numbers.paper_number,
        "seed_spread": tables.seed_spread,
        "shade": shade,
        "meaning": lambda status: STATUSES.get(status, status),
        "duration": duration,
    }
    run = contents.run
    return environment.get_template("report.html.j2").render(
        run=run,
        title=_title(run),
        subtitle=_subtitle(run),
        findings=findings(contents),
        notes=run.notes,
        sections=drawn,
        statuses=contents.attacked.statuses,
        series=series(run).capitalize(),
        browse=None if browse is None else browse.name,
        viewers=run.kind == "audit" or any(isinstance(b, Viewer) for _, bs in drawn for b in bs),
        seconds=sum(stage.wall_seconds for stage in run.stages),
        forward=sum(stage.forward_passes for stage in run.stages),
        backward=sum(stage.backward_passes for stage in run.stages),
    )


STATUSES = {
    "FOUND": "adversarial image found and checked",
    "OPTIMAL": "found, and proved to be the closest",
    "ALREADY": "adversarial as it is: distortion 0",
    "NOT_FOUND": "no adversarial image found",
    "LOST_ON_LATTICE": "found, but lost when rounded to 8 bits",
    "NOT_FINITE": "the network gave NaN or infinity",
    "UNREADABLE": "the file is no picture",
    "GIVEN_UP": "given up: the search failed, took too long, or ended its process",
    "NOT_SEARCHED": "not searched for an adversarial image",
}


def shade(cell: Cell) -> str:
    """CSS of how far ours is from the paper's: full colour at 25 points, or a quarter off."""
    if cell.paper is None:
        return ""
    difference = cell.value - cell.paper
    scale = 25.0 if cell.unit == "%" else 0.25 * max(cell.paper, 1e-9)
    depth = min(abs(difference) / scale, 1.0)
    return f"--tint: var(--{'over' if difference > 0 else 'under'}); --depth: {55 * depth:.0f}%"


def duration(seconds: float) -> str:
    """A time as people say it.

    >>> duration(42.4), duration(183), duration(7380)
    ('42 s', '3 min 3 s', '2 h 3 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s" if seconds >= 10 else f"{seconds:.1f} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _title(run: RunRecord) -> str:
    names = " and ".join(dict.fromkeys(model.name for model in run.models))
    return {
        "reproduce": "“Intriguing properties of neural networks”, reproduced",
        "attack": f"How close is {names or 'the network'} to being fooled?",
        "transfer": "Does what fools one network fool another?",
        "train": f"Training {names or 'a network'}",
        "compare": f"Which method comes closest on {names or 'the network'}?",
        "spectrum": f"How far can {names or 'the network'} carry a small change?",
        "hardening": "What hardens a network, and what it costs",
        "claims": "Which sentences hold?",
        "fool": f"What does {names or 'the network'} read that means nothing?",
        "units": f"Do the units of {names or 'the network'} stand out?",
        "gate": f"Is {run.models[0].name if run.models else 'the network'} hard enough to fool?",
        "audit": f"An audit of {names or 'the network'}",
        "certify": f"How far is every image safe on {names or 'the network'}?",
    }[run.kind]


ASKED = ("input", "method", "targets", "budget", "levels", "domain")
"""Entries of a configuration that the page's head repeats."""


def _subtitle(run: RunRecord) -> str:
    data = ", ".join(f"{record.name} ({record.images:,} images)" for record in run.data)
    scale = f"scale “{run.config['scale']}”" if "scale" in run.config else ""
    asked = [f"{key} {run.config[key]}" for key in ASKED if run.config.get(key) is not None]
    seeds = f"{'seed' if len(run.seeds) == 1 else 'seeds'} {', '.join(map(str, run.seeds))}"
    return " · ".join(part for part in (data, scale, *asked, seeds) if part)


def _data_uri(media: str, text: str) -> Markup:
    content = base64.b64encode(storable(text).encode()).decode()
    return Markup(f"data:{media};charset=utf-8;base64,{content}")
