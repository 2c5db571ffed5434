"""The headline of a report, in figures and in sentences, from its tables and images."""

from collections.abc import Callable

import numpy as np
from scipy import stats

from intriguing.report import claims, fool, hardening, table5
from intriguing.report.amplification import amplification
from intriguing.report.assurance import assurance
from intriguing.report.audited import audited
from intriguing.report.contents import Contents
from intriguing.report.figure6 import blind_spots
from intriguing.report.gated import outcome
from intriguing.report.numbers import interval, number, paper_number, points_more
from intriguing.report.takeaway import NOTHING, Findings, Tile, joined
from intriguing.report.units import distinction
from intriguing.report.verdict import verdict
from intriguing.report.views import Cell, Table
from intriguing.results.damage import blame
from intriguing.results.measured import Condition, Metric

WHOLE: dict[str, Callable[[Contents], Findings]] = {
    "compare": verdict,
    "spectrum": amplification,
    "certify": assurance,
    "units": distinction,
    "hardening": hardening.outcome,
    "audit": audited,
    "claims": claims.outcome,
    "fool": fool.outcome,
    "gate": outcome,
}
"""Kinds of runs whose findings are made in one place."""


RANKED = 3
"""Cells from which a rank correlation says anything."""


def findings(contents: Contents) -> Findings:
    """The headline findings of a run of any kind; empty where nothing was measured.

    Raises:
        InputError: If the facts of the folder are not those of such a run.
    """
    with blame(contents.folder):
        return _findings(contents)


def _findings(contents: Contents) -> Findings:
    if contents.run.kind in WHOLE:
        return WHOLE[contents.run.kind](contents)
    parts = [_fooled(contents), _distortions(contents), _certainty(contents)]
    parts += map(_transfer, contents.tables_of("table2", "table4", "transfer"))
    parts += map(_net, contents.tables_of("table2-net", "table4-net", "transfer-net"))
    parts += [blind_spots(contents), table5.errata(contents), distinction(contents)]
    return joined(parts)


def _fooled(contents: Contents) -> Findings:
    images, networks = contents.attacked.images, contents.attacked.networks
    if not images:
        return NOTHING
    failed = images - contents.attacked.found
    share = 100.0 * contents.attacked.found / images
    every = f"{networks} networks" if networks > 1 else "one network"
    sentence = (
        f"An adversarial example was found for every one of the {images:,} attacked images "
        f"({every}); each was checked again by a plain forward pass inside the box."
        if failed == 0
        else f"An adversarial example was found for {images - failed:,} of "
        f"{images:,} attacked images ({every}); {failed:,} have none."
    )
    shown = "100 %" if failed == 0 else f"{min(share, 99.99):.2f} %"
    return Findings((Tile(shown, "of attacked images fooled", f"{images:,} images"),), (
        sentence,
    ))  # fmt: skip


def _distortions(contents: Contents) -> Findings:
    table = contents.table("table1") or contents.table("attack")
    cells = table.where(unit="distortion") if table else []
    if table is None or not cells:
        return NOTHING
    several = table.analysis == "table1"
    least, most = (f(cells, key=lambda c: c.value) for f in (min, max))
    tiles = [_distortion_tile(least)] if several else [
        Tile(f"{c.value:.4f}", f"{c.column.lower()}, {c.row}",
             f"95 %: {interval(c.low, c.high, c.unit)}")
        for c in cells
    ]  # fmt: skip
    sentences = []
    if len(cells) > 1 and several:
        sentences.append(
            f"The change that does it is small: from {least.value:.3f} ({least.row}) to "
            f"{most.value:.3f} ({most.row}) in root mean square per pixel, where a pixel runs from "
            "0 to 1."
        )
    ratios = [(c.value / c.paper, c.row) for c in cells if c.paper]
    if ratios:
        low, high = min(ratios), max(ratios)
        sentences.append(
            f"Beside the paper's averages ours are {_relative(low[0])} ({low[1]}) to "
            f"{_relative(high[0])} ({high[1]})."
        )
    return Findings(tuple(tiles), tuple(sentences))


def _certainty(contents: Contents) -> Findings:
    """What is known of how good the answers are."""
    table = contents.table("attack")
    if table is None:
        return NOTHING
    sentences = []
    for cells in table.lines():
        if proved := cells.get(Metric.PROVED):
            sentences.append(
                f"For {proved.count:,} of {proved.total:,} images of {proved.network} it is proved "
                "that no adversarial example is closer."
            )
        elif local := cells.get(Metric.LOCAL_GAP):
            sentences.append(
                f"On {local.network} the optimality conditions hold at the examples found up to a "
                f"residual of {number(local.value, local.unit)} (median): small moves would gain "
                "next to nothing, which does not exclude a closer example elsewhere."
            )
    return Findings((), tuple(sentences))


def _distortion_tile(cell: Cell) -> Tile:
    beside = f"paper {paper_number(cell.paper, cell.unit)}" if cell.paper is not None else ""
    return Tile(f"{cell.value:.3f}", f"distortion is enough for {cell.row}", beside)


def _relative(ratio: float) -> str:
    percent = 100.0 * (ratio - 1.0)
    if abs(percent) < 0.5:
        return "equal"
    return f"{abs(percent):.0f} % {'larger' if percent > 0 else 'smaller'}"


def _transfer(table: Table) -> Findings:
    cells = table.where(transferred=True)
    if not cells:
        return NOTHING
    heading = table.heading
    plain = [c for c in cells if c.condition is Condition.ADVERSARIAL]
    words = (
        f"{heading}: examples made for one network are misclassified by another in "
        f"{np.mean([c.value for c in plain]):.1f} % of cases, on average over {len(plain)} pairs"
    )
    if len(printed := [c.paper for c in plain if c.paper is not None]) == len(plain):
        words += f" (paper {np.mean(printed):.1f} %)"
    if noise := table.where(metric=Metric.ERROR, condition=Condition.NOISE):
        first = [c.value for c in noise if c.size == noise[0].size]
        words += f", and {np.mean(first):.1f} % under {noise[0].row}"
    compared = [c for c in cells if c.paper is not None]
    if len(compared) < RANKED:
        return Findings((), (f"{words}.",))
    tile = Tile(
        f"ρ = {correlation(compared):.2f}",
        f"rank agreement with {heading}",
        f"Spearman, {len(compared)} cells off the diagonal",
    )
    return Findings((tile,), (f"{words}.",))


def _net(table: Table) -> Findings:
    """What examples do beyond what a network misreads anyway, over all pairs."""
    about = {"made_for": "", "network": "", "condition": Condition.ADVERSARIAL}
    clean = table.first(metric=Metric.ERROR, images="clean", **about)
    net = table.first(metric=Metric.ERROR_DIFFERENCE, **about)
    if clean is None or net is None:
        return NOTHING
    said = (
        f"{table.heading}: of the same images {clean.value:.1f} % are misclassified without any "
        f"change, so that {points_more(net)} is what the examples do"
    )
    return Findings((), (f"{said}.",))


def correlation(cells: list[Cell]) -> float:
    """Spearman's rank correlation of ours with the paper's values."""
    return float(stats.spearmanr([c.value for c in cells], [c.paper for c in cells]).statistic)
