"""Tables that pages ask of the rows of runs: rows for a template, or a table as it stands."""

import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from committed import RESULTS, contents, figures, verdicts
from scipy import stats

from intriguing.report.claims import decides, to_markdown
from intriguing.report.hardening import verdict as of_training
from intriguing.report.numbers import number, paper_number
from intriguing.report.views import Cell, Table
from intriguing.results.measured import Measurement, Metric, where
from intriguing.results.parquet import read_rows
from intriguing.results.published import published_claims
from intriguing.results.rows import ClaimRow
from intriguing.results.verdicts import Verdict, VerdictRow

PENALTY = "Spectral penalty"
"""A regime of training."""
CHOSEN_LATER = {
    "Penalty by validation": "penalty", "First layer's pool": "pool-1",
    "Second layer's pool": "pool-2",
}  # fmt: skip
"""Regimes whose settings were chosen after the run, by what rows of `hardening_fair` call them."""
TRAINED_ANEW = {"Weight decay": "weight-decay"}
"""With what these are compared, trained beside them."""


@dataclass(frozen=True)
class Told:
    """A cell as templates write it: the value, and its interval where it has one."""

    value: float
    low: float | None = None
    high: float | None = None
    paper: float = float("nan")
    of: str = "–"

    def __format__(self, how: str) -> str:
        told = format(self.value, how)
        return told if self.low is None else f"{told} [{self.low:{how}}, {self.high:{how}}]"


def lines(run: str, heading: str) -> list[dict[str, Any]]:
    """A table of a run: the name of each row, and by those of columns, less dots, its cells."""
    drawn = _drawn(run, heading)
    return [
        {
            "name": name,
            **{
                called.replace(".", ""): _told(drawn.at(row, column))
                for column, called in drawn.columns.items()
            },
        }
        for row, name in drawn.rows.items()
    ]  # fmt: skip


def beside_the_paper(run: str, heading: str, digits: int = 1) -> str:
    """A table of a run, the paper's value in brackets; digits are of per cents."""

    def told(cell: Cell) -> str:
        shown = number(cell.value, cell.unit)
        if cell.unit == "%":
            shown = f"{cell.value:.{digits}f} %".replace("100.0", "100")
        elif cell.unit == "distortion":
            shown = f"{cell.value:.3f}"
        paper = "" if cell.paper is None else f" ({paper_number(cell.paper, cell.unit)})"
        return f"{shown}{paper}"

    return _whole(_drawn(run, heading), told)


def on_the_path(run: str) -> str:
    """Coherence on the way from units to a rotation, with half its interval's width."""
    (drawn,) = (one for one in contents(run).tables if one.analysis == "path")

    def told(cell: Cell) -> str:
        half = "" if cell.low is None else f" ± {cell.value - cell.low:.3f}"
        return f"{cell.value:.3f}{half}"

    return _whole(drawn, told)


def claims(run: str) -> str:
    """The table of verdicts of a run."""
    return to_markdown(verdicts(run))


def opposed(first: str, second: str) -> list[dict[str, str]]:
    """Claims that hold in one of two runs and not in the other, with what decides each."""
    ours, theirs = ({row.claim: row for row in verdicts(run)} for run in (first, second))
    return [
        {"claim": row.claim, "reading": row.reading.removesuffix("."),
         "first": f"{row.verdict}: {_short(row)}",
         "second": f"{theirs[name].verdict}: {_short(theirs[name])}"}
        for name, row in ours.items()
        if {row.verdict, theirs[name].verdict} == {Verdict.HOLDS, Verdict.DOES_NOT_HOLD}
    ]  # fmt: skip


def _short(row: VerdictRow) -> str:
    return decides(row).partition(";")[0]


def tested(*runs: str) -> list[dict[str, Any]]:
    """What the test of §3's claim says of each layer of each run; `said` is the verdict."""
    rows = [row for run in runs for row in read_rows(RESULTS / run, ClaimRow)]
    return [
        {**vars(row), "layer": row.layer.removeprefix("model."), "said": _said(row),
         "lead": Told(row.difference, row.low, row.high)}
        for row in rows
    ]  # fmt: skip


def beside(first: str, second: str) -> list[dict[str, Any]]:
    """The same layers in two runs."""
    return [
        {"layer": a["layer"], "first": f"{a['said']}: {a['lead']:+.3f}",
         "second": f"{b['said']}: {b['lead']:+.3f}"}
        for a, b in zip(tested(first), tested(second), strict=True)
    ]  # fmt: skip


def learned(*runs: str) -> list[dict[str, Any]]:
    """What dictionaries explain of each layer, their control, and their leads with verdicts."""
    from intriguing.units.dictionaries import verdict_of

    made = []
    for run in runs:
        rows = read_rows(RESULTS / run, Measurement)
        (delta,) = {row.delta for row in read_rows(RESULTS / run, ClaimRow)}
        leads = where(rows, analysis="dictionary-leads")
        for layer in dict.fromkeys(row.layer for row in leads):
            line: dict[str, Any] = {"layer": layer.removeprefix("model.")}
            for row in where(rows, analysis="dictionaries", metric=Metric.EXPLAINED, layer=layer):
                line[row.method] = row.value
            for row in where(leads, layer=layer):
                assert row.low is not None
                assert row.high is not None
                lead = Told(row.value, row.low, row.high)
                line[f"over {row.reference}"] = f"{lead:+.3f}: " + verdict_of(
                    row.low, row.high, delta
                )
            made.append(line)
    return made


def sentences() -> list[dict[str, str]]:
    """The paper's on training, each with the difference of errors that decides it.

    Where validation chose a regime's settings after the run, its errors are those of the networks
    that were then trained with them; of the penalty, the sentence is of that regime alone.
    """
    made = []
    for claim in published_claims():
        if claim.better in CHOSEN_LATER:
            assert isinstance(claim.worse, str)
            cell = _apart(claim.better, claim.worse)
        else:
            (cell,) = (
                one for one in _differences()
                if (one.method, one.reference) == (claim.better, claim.reference)
            )  # fmt: skip
        made.append({"sentence": claim.sentence, "said": of_training(cell)})
    return made


def _apart(better: str, worse: str) -> Cell:
    """By how many points one regime errs more than another, a seed each that both have."""
    ours, theirs = errors_by_seed(better), errors_by_seed(worse)
    apart = [ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())]
    mean = statistics.mean(apart)
    low, high = stats.t.interval(0.95, len(apart) - 1, mean, stats.sem(apart))
    return Cell(
        "claims", Metric.ERROR_DIFFERENCE, "% more", mean, float(low), float(high),
        total=len(apart), method=better,
    )  # fmt: skip


def errors_by_seed(regime: str) -> dict[int, float]:
    """Test errors in per cent: of settings that validation chose, or else of the run."""
    if what := (CHOSEN_LATER | TRAINED_ANEW).get(regime):
        return {
            int(row["seed"]): 100 * row["wrong"] / row["of"]
            for row in figures("hardening_fair", what=what, **{"judged by": "test"})
        }
    rows = read_rows(RESULTS / "hardening", Measurement)
    mine = where(rows, analysis="hardening", metric=Metric.ERROR, method=regime)
    return {row.seed: row.value for row in mine if row.seed is not None}


def price() -> Cell:
    """By how many points the regime with the spectral penalty errs more than weight decay."""
    (cell,) = (cell for cell in _differences() if cell.method == PENALTY)
    return cell


def _differences() -> list[Cell]:
    return _drawn("hardening", "The paper's sentences as differences of test errors").where()


def tried_alone() -> list[dict[str, str]]:
    """Settings of single hidden layers' pools with their validation errors, the least in bold."""
    made = []
    for what, layer in (("pool-1", "first"), ("pool-2", "second")):
        rows = figures("hardening_fair", what=what, **{"judged by": "validation"})
        least = min(row["wrong"] for row in rows)
        for row in rows:
            name, value = row["setting"].split()
            told = f"{100 * row['wrong'] / row['of']:.2f}"
            made.append({
                "layer": layer,
                "setting": f"radius {value}" if name == "radius" else f"λ = {LAMBDAS[value]}",
                "error": f"**{told}**" if row["wrong"] == least else told,
            })  # fmt: skip
    return made


LAMBDAS = {"1e-05": "10⁻⁵", "3e-05": "3·10⁻⁵", "5e-05": "5·10⁻⁵"}
"""As pages write them."""


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table whose columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    drawn = (f"| {' | '.join(line)} |" for line in (head, rule, *rows))
    return "\n".join(drawn).replace("|  |", "| |")


def _said(row: ClaimRow) -> str:
    within = f" within ±{row.delta:g}" if row.verdict == "no distinction" else ""
    return row.verdict if row.verdict == "not decided" else f"**{row.verdict}{within}**"


def _drawn(run: str, heading: str) -> Table:
    return next(one for one in contents(run).tables if one.heading == heading)


def _told(cell: Cell | None) -> Told:
    if cell is None:
        return Told(float("nan"))
    paper = float("nan") if cell.paper is None else cell.paper
    return Told(cell.value, cell.low, cell.high, paper, f"{cell.count:,} of {cell.total:,}")


def _whole(drawn: Table, told: Callable[[Cell], str]) -> str:
    rows = [
        [name, *("–" if (cell := drawn.at(row, c)) is None else told(cell) for c in drawn.columns)]
        for row, name in drawn.rows.items()
    ]
    return markdown([drawn.corner, *drawn.columns.values()], rows)
