"""The sections of a unit analysis: the verdicts, the pictures, how coherent rows are, the path."""

import math
from collections.abc import Sequence
from dataclasses import astuple, fields
from functools import partial

import numpy as np
from rich import box
from rich.table import Table as TerminalTable
from rich.text import Text

from intriguing.names import file_name
from intriguing.report import grids
from intriguing.report.contents import Contents
from intriguing.report.csv_text import csv_text
from intriguing.report.figure_style import Drawing
from intriguing.report.rows import Group, Pictures, read_groups, read_pictures
from intriguing.report.section import CLAIMS, COHERENCE, MEASURED, TOPS, Listing, Part, Section
from intriguing.report.tables import latex_escape
from intriguing.report.takeaway import Findings, Tile
from intriguing.results.rows import ClaimRow

FIGURE = {"natural": "natural basis", "random": "random basis"}
HEAD = (
    "Layer", "Verdict", "Natural", "Random", "Difference", "95 % interval", "Untrained", "p",
    "p, equivalence",
)  # fmt: skip
SHORT = ("Layer", "Natural", "Random", "Difference", "Untrained", "p", "δ-p")


def _claims(contents: Contents) -> Section:
    claims = contents.claims
    if not claims:
        return Section("claim", "", "", ())
    first = claims[0]
    return Section(
        "claim",
        "Is there a distinction?",
        "The paper says that there is no distinction between individual units and random linear "
        f"combinations. Here, for each layer, the mean {_measure(first.measure)} of the "
        f"{first.k} images that excite a unit most is compared with that of random rotations of "
        "the units, and the difference with that in untrained networks of the same shape. “No "
        f"distinction” means within ±{first.delta:g}, by two one-sided tests; p-values are "
        "corrected over the layers.",
        (_verdicts(claims),),
    )


def _pictures(contents: Contents) -> Section:
    pictures = read_pictures(contents)
    groups = read_groups(contents)
    if pictures is None:
        return Section("pictures", "", "", ())
    drawings = [
        _drawing(contents, group, pictures, crop)
        for group in groups
        for crop in ((False, True) if group.crops(pictures.size) else (False,))
    ]
    return Section(
        "pictures",
        "What excites them most",
        f"Each row shows the images, of {pictures.total:,}, with the greatest activation of one "
        "direction, the greatest first. The histogram is of its activations on all images, counts "
        "on a square-root scale; ticks below are the images shown. Every direction, both signs, "
        "and a blind quiz are on the page units.html beside this one.",
        tuple(drawings),
    )


def _coherence(contents: Contents) -> Section:
    groups = read_groups(contents)
    if not groups:
        return Section("coherence", "", "", ())
    measure = contents.claims[0].measure if contents.claims else groups[0].measures[0].name
    if groups[0].measure(measure) is None:
        measure = groups[0].measures[-1].name
    drawing = Drawing(
        "coherence",
        f"{measure.capitalize()} of every row, natural beside random",
        "A dot is a direction that responds, the line their mean; grey is where 95 % of rows of "
        "random images lie, dashed their mean.",
        f"Dots of the {measure} of every direction, in one panel a layer",
        (COHERENCE,),
        lambda: grids.distributions(groups, measure),
    )
    return Section(
        "coherence",
        "How much the images of a row have in common",
        "Means over the directions that respond, each beside what rows of random images give.",
        (_table(groups), drawing),
    )


def _path(contents: Contents) -> Section:
    table = contents.table("path")
    if table is None or not contents.claims:
        return Section("path", "", "", ())
    measure = contents.claims[0].measure
    drawing = Drawing(
        "path",
        f"{measure.capitalize()} on the way from the units to a random rotation",
        "Lines are 95 % intervals over rotations Q. Network Dissection (Bau et al., "
        "2017) found the number of detectors fall all along such a path.",
        f"A line a layer: mean {measure} against α",
        (MEASURED,),
        lambda: grids.path(table, measure),
    )
    return Section(
        "path",
        "From the natural basis to a rotated one",
        "Q turns each of some planes by an angle, and Q^α by α times that angle, so that α = 0 is "
        "the natural basis and α = 1 a uniformly random rotation of it.",
        (drawing, table),
    )


def _dictionaries(contents: Contents) -> Section:
    tables = (*contents.tables_of("dictionary-leads"), *contents.tables_of("dictionaries"))
    if not tables:
        return Section("dictionaries", "", "", ())
    return Section(
        "dictionaries",
        "Does a learned dictionary do better?",
        "sae is a sparse autoencoder of the layer, with more features than units; its directions "
        "are what features read. sae-frozen is its control, with a decoder left as it was drawn: "
        "a dictionary that is no more coherent than its control owes nothing to what it learned.",
        tables,
        contents.run.remarks.get("dictionaries", ()),
    )


PARTS: tuple[Part, ...] = (_claims, _pictures, _coherence, _dictionaries, _path)


def distinction(contents: Contents) -> Findings:
    """The verdicts, in a tile and in a sentence a layer."""
    claims = contents.claims
    tiles = [
        Tile(
            f"{claim.difference:+.3f}".replace("-", "−"),
            f"{claim.layer}: {claim.verdict}",
            f"{claim.measure}, natural − random; 95 %: {_interval(claim)}",
        )
        for claim in claims[:4]
    ]
    learned = contents.run.remarks.get("dictionaries", ())
    said = (*(claim.sentence for claim in claims), *learned, *_way(contents), *_rows(contents))
    return Findings(tuple(tiles), said)


def to_terminal(claims: Sequence[ClaimRow]) -> TerminalTable:
    """The verdicts as a table."""
    title = f"Natural against random directions, {claims[0].measure} of the top {claims[0].k}"
    table = TerminalTable(
        title=Text(title, "table.title"), title_justify="left", box=box.SIMPLE_HEAD,
        caption=f"{_networks(claims[0])}, {claims[0].rotations} rotations each, "
        f"{claims[0].untrained_networks} untrained; p: of no difference, δ-p: of one beyond "
        f"±{claims[0].delta:g}", caption_justify="left",
    )  # fmt: skip
    for place, name in enumerate(SHORT):
        table.add_column(name, justify="left" if place < 1 else "right", overflow="fold")
    for claim in claims:
        layer, _, natural, rotated, difference, interval, *rest = _words(claim)
        span = Text(f"{difference}\n").append(f"[{interval}]", style="dim")
        table.add_row(Text(layer), natural, rotated, span, *map(Text, rest))
    return table


def _verdicts(claims: Sequence[ClaimRow]) -> Listing:
    text = csv_text([field.name for field in fields(ClaimRow)], map(astuple, claims))
    lines = [" & ".join(map(latex_escape, row)) + r" \\" for row in map(_words, claims)]
    latex = "\n".join(
        (
            "% \\usepackage{booktabs}",
            "\\begin{tabular}{ll" + "r" * (len(HEAD) - 2) + "}",
            "\\toprule",
            " & ".join(map(latex_escape, HEAD)) + r" \\",
            "\\midrule",
            *lines,
            "\\bottomrule",
            "\\end{tabular}\n",
        )
    )
    return Listing(
        "claim",
        f"Verdicts: {_networks(claims[0])}, {claims[0].rotations} random bases each, "
        f"{claims[0].untrained_networks} untrained networks",
        HEAD, tuple(map(_words, claims)), text, (CLAIMS,), opened=True, latex=latex,
        prose=("Verdict",),
    )  # fmt: skip


def _words(claim: ClaimRow) -> tuple[str, ...]:
    return (
        claim.layer,
        claim.verdict,
        f"{claim.natural:.3f}",
        f"{claim.random:.3f}",
        f"{claim.difference:+.3f}".replace("-", "−"),
        _interval(claim),
        "–" if math.isnan(claim.untrained) else f"{claim.untrained:+.3f}".replace("-", "−"),
        _p(claim.p),
        _p(claim.p_equivalent),
    )


def _table(groups: Sequence[Group]) -> Listing:
    names = list(dict.fromkeys(m.name for group in groups for m in group.measures))
    rows = []
    for group in groups:
        alive = group.responds.astype(bool)
        cells = []
        for name in names:
            found = group.measure(name)
            if found is None or not alive.any():
                cells.append("–")
                continue
            mean, chance = found.values[alive].mean(), found.chance.mean()
            cells.append(f"{mean:.3f} (chance {chance:.3f})")
        count = f"{int(alive.sum()):,} of {len(alive):,}"
        rows.append((f"{group.layer}, {group.basis}", count, *cells))
    text = csv_text(
        ("layer", "basis", "direction", "responds", "measure", "value", "chance"),
        (
            (group.layer, group.basis, int(number), bool(alive), found.name, float(value),
             float(chance))
            for group in groups
            for found in group.measures
            for number, alive, value, chance in zip(
                group.numbers, group.responds, found.values, found.chance, strict=True
            )
        ),
    )  # fmt: skip
    return Listing(
        "coherence", "Coherence beside chance", ("Layer, basis", "Respond", *names), tuple(rows),
        text, (COHERENCE,), opened=True,
    )  # fmt: skip


def _drawing(contents: Contents, group: Group, pictures: Pictures, crop: bool) -> Drawing:
    what = "their most excited position sees" if crop else "excite it most"
    name: tuple[str, ...] = (group.layer, group.basis)
    title = f"{group.layer}, {FIGURE.get(group.basis, group.basis)}"
    figure = _papers(contents, group.basis)
    if figure:
        name, title = (figure, *name), f"Figure {figure[-1]}. {title}"
    said = " ".join(claim.sentence for claim in contents.claims if claim.layer == group.layer)
    return Drawing(
        file_name(*name, "crops") if crop else file_name(*name),
        f"{title}: the pixels they see" if crop else title,
        f"One row a {group.word}: what of its top images {what}."
        if crop
        else f"One row a {group.word}: the images that {what}, and what they share. {said}".strip(),
        f"Rows of images, one row a {group.word} of {group.layer}",
        (TOPS, "tensors/pictures.safetensors", f"tensors/{group.file.name}.safetensors"),
        partial(grids.grid, group, pictures, crop),
    )


def _way(contents: Contents) -> list[str]:
    """Whether coherence falls from the natural basis to a rotated one, as elsewhere."""
    table = contents.table("path")
    if table is None or not contents.claims:
        return []
    words = []
    natural, *_, rotated = table.columns
    for row in table.rows:
        first, last = table.at(row, natural), table.at(row, rotated)
        if first is None or last is None or last.low is None or last.high is None:
            continue
        change = "falls" if last.high < first.value else "rises"
        change = "stays" if last.low <= first.value <= last.high else change
        words.append(f"{first.layer} {change} ({first.value:.3f} to {last.value:.3f} "
                     f"[{last.low:.3f}, {last.high:.3f}])")  # fmt: skip
    if not words:
        return []
    return [
        f"From the natural basis to random rotations of it, the mean {contents.claims[0].measure} "
        f"of {'; of '.join(words)}. These intervals are of the mean over rotations of these very "
        "networks; whether any one rotation could stand out as far is what the verdicts say."
    ]


def _papers(contents: Contents, basis: str) -> str:
    """Which of the paper's Figures 1 to 4 this is of; none in runs of one's own."""
    at = {"natural": 0, "random": 1}.get(basis)
    for both in (("figure1", "figure2"), ("figure3", "figure4")):
        if at is not None and both[at] in contents.run.figures:
            return both[at]
    return ""


def _rows(contents: Contents) -> list[str]:
    groups = read_groups(contents)
    silent = [
        f"{int((~g.responds.astype(bool)).sum())} of {len(g.responds)} {g.word}s of {g.layer}"
        for g in groups
        if g.basis == "natural" and not np.all(g.responds)
    ]
    if not silent:
        return []
    return [f"Silent on these images, and left out: {', '.join(silent)}."]


def _measure(name: str) -> str:
    return {
        "purity": "label purity (the share of the commonest label)",
        "entropy": "label entropy",
        "pixels": "cosine between pairs, in pixels,",
        "features": "cosine between pairs, in another network's space,",
    }.get(name, name)


def _networks(claim: ClaimRow) -> str:
    return "one network" if claim.networks == 1 else f"{claim.networks} networks"


def _interval(claim: ClaimRow) -> str:
    return f"{claim.low:+.3f} to {claim.high:+.3f}".replace("-", "−")


def _p(value: float) -> str:
    return f"{value:.2g}" if value >= 1e-4 else "< 0.0001"
