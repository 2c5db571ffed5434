"""Seven of the paper's sentences, examined again from committed rows without any of our code.

    python benchmarks/recheck_claims.py [FOLDER]

Only counts and measurements of every network and seed are read, from rows/measurements.parquet; the
quantities, their intervals and the verdicts are computed here from scratch, and held against those
in rows/verdicts.parquet. Nothing of `intriguing` is imported. Exit code 1 where one differs.
"""

import math
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq
from scipy import stats

FOLDER = Path(__file__).parents[1] / "docs" / "results" / "claims"
TABLE1 = (
    "softmax", "softmax, λ = 0.01", "softmax, λ = 1", "100-100-10", "200-200-10", "autoencoder",
)  # fmt: skip

Rows = list[dict[str, object]]
Result = tuple[float, float, float]


def student(values: list[float]) -> Result:
    """Mean and 95 % interval."""
    n = len(values)
    mean = math.fsum(values) / n
    deviation = math.sqrt(math.fsum((v - mean) ** 2 for v in values) / (n - 1))
    half = stats.t.isf(0.025, n - 1) * deviation / math.sqrt(n)
    return mean, mean - half, mean + half


def share(counts: list[int], totals: list[int]) -> Result:
    """In percent: the hull of Clopper and Pearson's interval of all, and Student's over seeds."""
    hits, total = sum(counts), sum(totals)
    low = stats.beta.ppf(0.025, hits, total - hits + 1) if hits else 0.0
    high = stats.beta.isf(0.025, hits + 1, total - hits) if hits < total else 1.0
    _, lower, upper = student([c / t for c, t in zip(counts, totals, strict=True)])
    ends = max(0.0, min(low, lower)), min(1.0, max(high, upper))
    return 100 * hits / total, 100 * ends[0], 100 * ends[1]


def errors(rows: Rows, made_for: str, network: str, condition: str, size: float) -> list[float]:
    """Percent misread, seed by seed."""
    found = {
        row["seed"]: 100 * row["count"] / row["total"]  # type: ignore[operator]
        for row in rows
        if (row["analysis"], row["metric"]) == ("claims on transfer", "error")
        and (row["made_for"], row["network"]) == (made_for, network)
        and (row["condition"], row["size"]) == (condition, size)
    }
    return [found[seed] for seed in sorted(found)]  # type: ignore[type-var]


def net(rows: Rows, made_for: str, network: str, size: float = 1.0) -> list[float]:
    """Examples less noise."""
    fooled = errors(rows, made_for, network, "adversarial", size)
    luck = errors(rows, made_for, network, "noise", size)
    return [a - b for a, b in zip(fooled, luck, strict=True)]


def noise_harmless(rows: Rows) -> Result:
    some = [
        r for r in rows
        if (r["analysis"], r["made_for"], r["network"]) == ("claims on transfer", "base", "base")
        and (r["condition"], r["size"], r["metric"]) == ("noise", 1.0, "error")
    ]  # fmt: skip
    return share([r["count"] for r in some], [r["total"] for r in some])  # type: ignore[misc]


def every_sample(rows: Rows) -> Result:
    counts: dict[object, int] = defaultdict(int)
    totals: dict[object, int] = defaultdict(int)
    for r in rows:
        about = r["analysis"], r["metric"]
        if about == ("claims on closeness", "fooled") and r["network"] in TABLE1:
            counts[r["seed"]] += r["count"]  # type: ignore[operator]
            totals[r["seed"]] += r["total"]  # type: ignore[operator]
    hits, total = [*counts.values()], [*totals.values()]
    if len({h / t for h, t in zip(hits, total, strict=True)}) > 1:
        return share(hits, total)
    low = 100 * stats.beta.ppf(0.025, sum(hits), sum(total) - sum(hits) + 1)
    return 100 * sum(hits) / sum(total), low, 100.0


def units_last(rows: Rows) -> Result:
    values: dict[object, dict[object, float]] = defaultdict(dict)
    for r in rows:
        about = r["analysis"], r["metric"], r["network"], r["layer"]
        if about == ("claims on units", "coherence", "plain", "4"):
            values[r["seed"]][r["setting"]] = r["value"]  # type: ignore[assignment]
    return student([one["natural"] - one["random"] for one in values.values()])


def amplified(rows: Rows) -> Result:
    pairs = zip(net(rows, "base", "seed", 2.0), net(rows, "base", "seed"), strict=True)
    return student([twice - once for twice, once in pairs])


def sets_below_models(rows: Rows) -> Result:
    pairs = zip(net(rows, "P1", "P1 other"), net(rows, "P1", "P2"), strict=True)
    return student([model - other for model, other in pairs])


AGAIN: dict[str, tuple[Callable[[Rows], Result], float, float]] = {
    "every-sample": (every_sample, 99.0, math.inf),
    "units-last": (units_last, -0.05, 0.05),
    "noise-harmless": (noise_harmless, -math.inf, 2.0),
    "transfer-seed": (lambda rows: student(net(rows, "base", "seed")), 2.0, math.inf),
    "transfer-sets": (lambda rows: student(net(rows, "P1", "P2")), 2.0, math.inf),
    "sets-below-models": (sets_below_models, 0.0, math.inf),
    "amplified": (amplified, 10.0, math.inf),
}
"""How each is computed here, and where it has to be."""


def verdict(found: Result, low: float, high: float) -> str:
    """Where the interval lies."""
    if low < found[1] and found[2] < high:
        return "holds"
    return "does not hold" if found[2] < low or found[1] > high else "open"


def main() -> int:
    """Print both, and count differences."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    rows = pq.read_table(folder / "rows" / "measurements.parquet").to_pylist()
    said = {r["claim"]: r for r in pq.read_table(folder / "rows" / "verdicts.parquet").to_pylist()}
    differ = 0
    for name, (compute, low, high) in AGAIN.items():
        found = compute(rows)
        ours, theirs = verdict(found, low, high), said[name]["verdict"]
        near = all(
            math.isclose(a, said[name][key], rel_tol=1e-6, abs_tol=1e-6)
            for a, key in zip(found, ("value", "low", "high"), strict=True)
        )
        differ += ours != theirs or not near
        print(f"{name:<18} {found[0]:8.3f} [{found[1]:8.3f}, {found[2]:8.3f}]  {ours:<14} {theirs}")
    return int(differ > 0)


if __name__ == "__main__":
    raise SystemExit(main())
