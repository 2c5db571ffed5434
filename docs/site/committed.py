"""What pages ask of committed rows: each function is called by a macro, as `macros.py` says.

Rows are of runs (`docs/results`), of benchmarks (`benchmarks/figures`) or proved distances
(`benchmarks/exact`).
"""

import csv
import math
from functools import cache
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from intriguing.report.contents import Contents, read_contents
from intriguing.report.findings import correlation
from intriguing.results.measured import Measurement, Metric, where
from intriguing.results.parquet import read_rows
from intriguing.results.rows import ClaimRow, LayerRow
from intriguing.results.verdicts import VerdictRow

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "docs" / "results"
DEATHS = ("workers_killed", "nodes_lost", "commands_killed")
METHODS = ("closest", "ddn", "fmn", "alma", "pdgd", "cw", "superdeepfool")


@cache
def contents(run: str) -> Contents:
    """A run of `docs/results`."""
    return read_contents(RESULTS / run)


def figures(name: str, **where: str) -> list[dict[str, Any]]:
    """Rows of a file of `benchmarks/figures`, with numbers as numbers; only those that fit."""
    with (ROOT / "benchmarks" / "figures" / f"{name}.csv").open(encoding="utf-8") as lines:
        rows = [{key: _typed(value) for key, value in row.items()} for row in csv.DictReader(lines)]
    return [row for row in rows if all(str(row[key]) == value for key, value in where.items())]


def only(rows: list[dict[str, Any]], column: str) -> Any:
    """A value of the one row that there is."""
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows, where one is meant")
    return rows[0][column]


def most(name: str, column: str, **where: str) -> Any:
    """The largest value of these rows."""
    return max(row[column] for row in figures(name, **where))


def table(run: str, heading: str, row: str, column: str) -> float:
    """A cell of a table of `docs/results`, by what people read."""
    for drawn in contents(run).tables:
        if drawn.heading == heading:
            keys = {called: key for key, called in drawn.rows.items()}
            columns = {called: key for key, called in drawn.columns.items()}
            if row not in keys or column not in columns:  # another table of this heading
                continue
            cell = drawn.at(keys[row], columns[column])
            if cell is not None and cell.value is not None:
                return cell.value
    raise LookupError(f"{run} has no {heading} with {row}, {column}")


def cells(run: str, heading: str, column: str) -> list[float]:
    """The values of a column."""
    (drawn,) = (one for one in contents(run).tables if one.heading == heading)
    (key,) = (key for key, called in drawn.columns.items() if called == column)
    found = [drawn.at(row, key) for row in drawn.rows]
    return [cell.value for cell in found if cell is not None and cell.value is not None]


def agreement(run: str, heading: str) -> float:
    """Spearman's rank correlation of a table's cells off the diagonal with the paper's."""
    (drawn,) = (one for one in contents(run).tables if one.heading == heading)
    return correlation([one for one in drawn.where(transferred=True) if one.paper is not None])


def nearer(run: str) -> list[float]:
    """By how many per cent Table 1's distortions are below the paper's."""
    (drawn,) = (one for one in contents(run).tables if one.heading == "Table 1")
    cells = drawn.where(metric=Metric.MEAN_DISTORTION)
    return [100 * (1 - cell.value / cell.paper) for cell in cells if cell.paper]


def units(run: str, layer: str = "") -> ClaimRow:
    """What the test of the units of a layer came to; of the only one, where none is named."""
    rows = [r for r in read_rows(RESULTS / run, ClaimRow) if layer in ("", r.layer)]
    if len(rows) != 1:
        raise LookupError(f"{len(rows)} rows of {run}, where one is meant")
    return rows[0]


def test_errors(run: str) -> list[float]:
    """Of the networks that a run trained, in per cent, a seed each."""
    found = [model.test_error for model in contents(run).run.models]
    return [100 * error for error in found if error is not None]


def on_the_way(run: str, layer: str, alpha: float) -> float:
    """Mean purity of a layer's directions on the way from its units to a rotation of them."""
    rows = read_rows(RESULTS / run, Measurement)
    (row,) = where(rows, analysis="path", layer=layer, size=alpha)
    return row.value


def minutes(run: str, begins: str = "") -> float:
    """By the clock, of the stages of a run whose names begin so."""
    stages = contents(run).run.stages
    return sum(one.wall_seconds for one in stages if one.name.startswith(begins)) / 60


def product(column: str) -> float:
    """Of the bounds of Table 5's layers."""
    return table("table5", "Table 5", "Product", column)


def missed() -> dict[str, int]:
    """Of the distances proved to 1 %: how many there are, and how many each method misses by more.

    "least" and "most" are of the methods but `closest`.
    """
    rows = pq.read_table(ROOT / "benchmarks" / "exact" / "rows" / "distances.parquet").to_pylist()
    known = [row for row in rows if row["optimal"]]
    found = {name: sum(row[name] > 1.01 * row["upper"] for row in known) for name in METHODS}
    others = [found[name] for name in METHODS if name != "closest"]
    return {"proved": len(known), "least": min(others), "most": max(others), **found}


def verdict(claim: str, run: str = "claims") -> VerdictRow:
    """The committed verdict on a claim."""
    return {row.claim: row for row in verdicts(run)}[claim]


def decided(word: str = "", run: str = "claims") -> int:
    """How many claims have this verdict; all, where none is named."""
    return sum(word in ("", row.verdict) for row in verdicts(run))


def verdicts(run: str) -> list[VerdictRow]:
    """All that a run came to."""
    if rows := read_rows(RESULTS / run, VerdictRow):
        return rows
    raise LookupError(f"{run} has no verdicts")


def faster(engine: str, passes: int) -> float:
    """By the clock, than one process here, where least else was done."""
    alone = [row for row in figures("engines") if row["budget"] == passes]
    alone.sort(key=lambda row: row["load"], reverse=True)
    seconds = {row["engine"]: row["wall_seconds"] for row in alone}
    return seconds["here"] / seconds[engine]


def erring(spread: str) -> float:
    """The largest share of verdicts that are wrong at the margin, in per cent."""
    rows = figures("claims_calibration", spread=spread, case="at the margin")
    return 100 * max(row["wrong"] for row in rows)


def erring_skewed(*rules: str) -> list[float]:
    """The same by intervals that were tried, of quantities as skewed as an exponential."""
    rows = [
        only(figures("interval_rules", rule=rule), "wrong, as an exponential") for rule in rules
    ]
    return [100 * wrong for wrong in rows]


def called(case: str, reference: str) -> int:
    """In how many planted cases a learned dictionary is called better than this."""
    return len(figures("dictionary_calibration", case=case, **{reference: "better"}))


def penalty(network: str, every: int) -> float:
    """What a step costs whose every so many has a spectral penalty, beside a plain one."""
    rows = figures("penalty_step", network=network, penalty_in_every=str(float(every)))
    return float(only(rows, "ratio"))


def validated(weight: float) -> float:
    """Validation error with a spectral penalty of this weight, in per cent."""
    rows = figures("hardening_fair", setting=f"weight {weight:g}", **{"judged by": "validation"})
    return 100 * float(only(rows, "wrong")) / float(only(rows, "of"))


def bound(run: str) -> LayerRow:
    """Of the whole network that a run audited."""
    (whole,) = where(read_rows(RESULTS / run, LayerRow), kind="network")
    return whole


def power(value: float) -> str:
    """A number as a product with a power of ten."""
    mantissa, exponent = f"{value:.2e}".split("e+")
    return f"{mantissa}·10{exponent.translate(str.maketrans('0123456789', '⁰¹²³⁴⁵⁶⁷⁸⁹'))}"


SIX = ("fc", "conv", "saturated", "mnist-adversarial", "resnet2b", "resnet20")


def nearer_than_peers(
    network: str = "", goal: str = "", passes: tuple[int, ...] = (10, 20, 40, 100)
) -> list[float]:
    """By how many per cent `closest` is nearer than the best other, in cells that can be compared.

    Of the six networks, where none is named.
    """
    return [
        100 * (1 - row["ratio_to_best"]) for row in figures("budgets", method="closest")
        if row["network"] in ((network,) if network else SIX) and goal in ("", row["goal"])
        and row["budget"] in passes and not math.isnan(row["ratio_to_best"])
    ]  # fmt: skip


def per_pass_of_scipy() -> float:
    """How many times as many passes an image it makes, on one thread."""
    rows = figures("throughput", threads="1.0")
    return float(only(rows, "peer_passes_median") / only(rows, "passes_median"))


def found_at(network: str, passes: int) -> list[float]:
    """The share of images of which `closest` finds an example, by goals."""
    rows = figures("budgets", method="closest", network=network, budget=str(float(passes)))
    return [row["found"] for row in rows]


def most_asked(queries: str) -> float:
    """Queries of an image that `closest` makes at most on ResNet-20, where so many are allowed."""
    rows = figures("attack_bench", network="resnet20", attack="ours", queries=f"{float(queries)}")
    return float(only(rows, "most"))


def found_of_planted() -> float:
    """The mean share of planted features that a dictionary finds."""
    rows = figures("dictionary_calibration", case="planted")
    return sum(row["recovered"] for row in rows) / len(rows)


def _typed(value: str) -> float | str:
    try:
        return float(value or "nan")
    except ValueError:
        return value
