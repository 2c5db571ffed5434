"""What changed between two results folders, image by image and value by value."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import stats

from intriguing.errors import InputError
from intriguing.report.exchange.markdown import cell
from intriguing.report.numbers import interval, number, short
from intriguing.results.measured import Measurement
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import ImageRow
from intriguing.results.schema import RunRecord
from intriguing.results.store import read_run

LEVEL = 0.05
"""Of each interval and each p-value; nothing is corrected for their number."""
_NAMED = (
    "metric",
    "unit",
    "condition",
    "size",
    "images",
    "method",
    "layer",
    "setting",
    "reference",
)
"""Fields of a measurement that both runs have to agree in, besides its analysis and network."""


@dataclass(frozen=True)
class Paired:
    """The nearest examples of one network's images in both runs, on the images of both.

    Attributes:
        network: In the first run, and in the second if it is called otherwise there.
        images: That both attacked.
        nearer, farther: In the second run, by more than 0.1 %.
        ratio, low, high: Median of the second distance over the first, with its 95 % interval by
            order statistics; images that are misclassified, or found nowhere, in both count as 1.
        p: Of the sign test that nearer and farther are as frequent.
    """

    network: str
    images: int
    nearer: int
    farther: int
    ratio: float
    low: float
    high: float
    p: float

    @property
    def changed(self) -> bool:
        """Whether the interval excludes that nothing changed."""
        return not self.low <= 1 <= self.high


@dataclass(frozen=True)
class Changed:
    """One measured value in both runs.

    Attributes:
        apart: Whether the 95 % intervals do not overlap.
    """

    before: Measurement
    after: Measurement
    apart: bool


@dataclass(frozen=True)
class Difference:
    """Two runs side by side; only_before and only_after count values that the other has not."""

    before: RunRecord
    after: RunRecord
    same_images: bool
    paired: tuple[Paired, ...]
    changed: tuple[Changed, ...]
    only_before: int
    only_after: int


def difference(before: Path, after: Path) -> Difference:
    """Read two folders and put them side by side.

    Networks that are called the same are the same network of two times; where each run has but one,
    that is it.

    Raises:
        InputError: If a folder is no results folder, is damaged, or both have nothing in common.
    """
    first, second = read_run(before), read_run(after)
    names = _names(first, second)
    rows = [read_rows(folder, Measurement) for folder in (before, after)]
    known = [{_key(row, names if not index else {}): row for row in some}
             for index, some in enumerate(rows)]  # fmt: skip
    both = [key for key in known[0] if key in known[1]]
    changed = tuple(_changed(known[0][key], known[1][key]) for key in both)
    paired = tuple(_paired(before, after, names))
    if not both and not paired:
        raise InputError(
            f"{before} and {after} have no value in common; give two runs of the same verb on the "
            "same images"
        )
    digests = [{one.sha256 for one in run.data} for run in (first, second)]
    return Difference(
        first, second, digests[0] == digests[1], paired, changed, len(known[0]) - len(both),
        len(known[1]) - len(both),
    )  # fmt: skip


def _names(first: RunRecord, second: RunRecord) -> dict[str, str]:
    """How the networks of the first run are called in the second."""
    one, other = ([*dict.fromkeys(m.name for m in run.models)] for run in (first, second))
    if len(one) == len(other) == 1:
        return {one[0]: other[0]}
    return {name: name for name in one}


def _key(row: Measurement, names: dict[str, str]) -> tuple[object, ...]:
    about = (names.get(row.network, row.network), names.get(row.made_for, row.made_for))
    return row.analysis, *about, row.seed, *(getattr(row, field) for field in _NAMED)


def _changed(before: Measurement, after: Measurement) -> Changed:
    ends = (before.low, before.high, after.low, after.high)
    if any(end is None for end in ends):
        return Changed(before, after, False)
    low, high, low2, high2 = (float(end) for end in ends if end is not None)
    return Changed(before, after, high < low2 or high2 < low)


def _paired(before: Path, after: Path, names: dict[str, str]) -> Iterator[Paired]:
    columns = [
        read_columns(folder, ImageRow, ["network", "method", "image_id", "target", "l2", "success"])
        for folder in (before, after)
    ]
    for network, other in names.items():
        first, second = _lengths(columns[0], network), _lengths(columns[1], other)
        both = [name for name in first if name in second]
        if both:
            called = network if network == other else f"{network} → {other}"
            ratios = [_ratio(first[name], second[name]) for name in both]
            yield _compared(called, np.array(ratios))


def _lengths(columns: dict[str, np.ndarray], network: str) -> dict[str, float]:
    """‖r‖₂ by image; infinite where nothing was found."""
    rows = columns["network"] == network
    lengths = np.where(columns["success"], columns["l2"], np.inf)[rows]
    return dict(zip(columns["image_id"][rows], lengths.tolist(), strict=True))


def _ratio(before: float, after: float) -> float:
    if before == after:
        return 1.0
    return after / before if before else math.inf


def _compared(network: str, ratios: np.ndarray) -> Paired:
    nearer, farther = int((ratios < 0.999).sum()), int((ratios > 1.001).sum())
    ordered, count = np.sort(ratios), len(ratios)
    rank = max(int(stats.binom.ppf(LEVEL / 2, count, 0.5)), 1)
    decided = nearer + farther
    p = float(stats.binomtest(nearer, decided).pvalue) if decided else 1.0
    middle = float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2)
    low, high = float(ordered[rank - 1]), float(ordered[count - rank])
    return Paired(network, count, nearer, farther, middle, low, high, p)


def sentences(made: Difference) -> list[str]:
    """What changed, in words."""
    said = []
    if not made.same_images:
        said.append(
            "The two runs are of different sets of images: only images of the same name are paired."
        )
    for one in made.paired:
        share = abs(1 - one.ratio)
        side = "nearer" if one.ratio < 1 else "farther"
        words = f"{100 * share:.1f} % {side}" if share >= 5e-4 else "as far as before"
        if math.isinf(one.ratio):
            words = "no longer found"
        said.append(
            f"{one.network}: the nearest example of the median image is {words} (ratio "
            f"{short(one.ratio)}, 95 % {short(one.low)} to {short(one.high)}, {one.images:,} "
            f"images): nearer for {one.nearer:,}, farther for {one.farther:,}, sign test p = "
            f"{short(one.p)}; {'a change' if one.changed else 'no change that these images show'}."
        )
    apart = sum(one.apart for one in made.changed)
    if made.changed:
        said.append(
            f"Of {len(made.changed):,} values of both runs {apart:,} changed by more than their "
            "95 % intervals allow."
        )
    return said


def table(made: Difference) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Head and rows of the values of both runs, those that are apart first."""
    head = ("Analysis", "Network", "Value", "Before", "95 %", "After", "95 %", "Change", "Apart")
    ordered = sorted(made.changed, key=lambda one: not one.apart)
    return head, [_row(one) for one in ordered]


def _row(one: Changed) -> tuple[str, ...]:
    before, after = one.before, one.after
    called = (
        before.metric.value.replace("_", " "), before.condition.value, before.made_for,
        "" if before.size is None else f"{before.size:g}", before.layer, before.setting,
    )  # fmt: skip
    change = after.value - before.value
    return (
        before.analysis, before.network, ", ".join(word for word in called if word),
        number(before.value, before.unit), interval(before.low, before.high, before.unit),
        number(after.value, after.unit), interval(after.low, after.high, after.unit),
        f"{change:+.4g}".replace("-", "−") if math.isfinite(change) else "–",
        "yes" if one.apart else "",
    )  # fmt: skip


def to_markdown(made: Difference, most: int = 40) -> str:
    """A comment for a pull request."""
    head, rows = table(made)
    lines = ["## What changed", "", *(f"- {cell(said)}" for said in sentences(made))]
    if rows:
        lines += ["", _line(head), _line(["---"] * len(head))]
        lines += [_line([cell(word) for word in row]) for row in rows[:most]]
    if len(rows) > most:
        lines.append(f"\n{len(rows) - most:,} more values are on the page.")
    return "\n".join(lines) + "\n"


def _line(words: Sequence[str]) -> str:
    return "| " + " | ".join(words) + " |"
