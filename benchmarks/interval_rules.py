"""Intervals that a verdict could follow, for five values that are skewed: is any better?

    python benchmarks/interval_rules.py

Of many made studies with five seeds: how often an interval leaves the true mean out (a verdict at
the margin, which is wrong), and how often it shows a mean of 2, in standard deviations, to be above
0 (power). Student's; Student's at 99 %; Hall's transformation (1992, J. R. Stat. Soc. B 54), which
takes the skewness off that the five values have; whatever covers both; Johnson's t (1978, J. Am.
Stat. Assoc. 73); and the bootstrap-t (Hall 1988, Ann. Stat. 16). Into `figures/interval_rules.csv`.
"""

import csv
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy import stats

OUT = Path(__file__).parent / "figures" / "interval_rules.csv"
SEEDS, STUDIES, RESAMPLES = 5, 20_000, 400
Ends = tuple[np.ndarray, np.ndarray]
RNG = np.random.default_rng(0)
DRAWS = {
    "normal": RNG.standard_normal((STUDIES, SEEDS)),
    "a little skewed": RNG.gamma(4, 0.5, (STUDIES, SEEDS)) - 2,
    "as an exponential": RNG.exponential(1, (STUDIES, SEEDS)) - 1,
    "heavy": RNG.standard_t(3, (STUDIES, SEEDS)) / 3**0.5,
}


def student(x: np.ndarray, level: float = 0.05) -> Ends:
    half = stats.t.ppf(1 - level / 2, SEEDS - 1) * x.std(1, ddof=1) / SEEDS**0.5
    return x.mean(1) - half, x.mean(1) + half


def hall(x: np.ndarray) -> Ends:
    """W = (mean − μ)/s solved from T(W), which is less skewed than W."""
    mean, s = x.mean(1), x.std(1, ddof=1)
    skew = ((x - mean[:, None]) ** 3).mean(1) / x.std(1) ** 3
    skew = np.where(np.abs(skew) < 1e-9, 1e-9, skew)

    def solved(t: float) -> np.ndarray:
        return 3 / skew * (np.cbrt(1 + skew * (t - skew / (6 * SEEDS))) - 1)

    t = stats.t.ppf(0.975, SEEDS - 1) / SEEDS**0.5
    return mean - s * solved(t), mean - s * solved(-t)


def both(x: np.ndarray) -> Ends:
    (a, b), (c, d) = student(x), hall(x)
    return np.minimum(a, c), np.maximum(b, d)


def johnson(x: np.ndarray) -> Ends:
    third = ((x - x.mean(1, keepdims=True)) ** 3).sum(1) * SEEDS / ((SEEDS - 1) * (SEEDS - 2))
    moved = third / (6 * x.var(1, ddof=1) * SEEDS)
    low, high = student(x)
    return low + moved, high + moved


def bootstrap(x: np.ndarray) -> Ends:
    x = x[: STUDIES // 5]
    which = RNG.integers(0, SEEDS, (len(x), RESAMPLES, SEEDS))
    drawn = x[np.arange(len(x))[:, None, None], which]
    error = drawn.std(2, ddof=1) / SEEDS**0.5
    t = (drawn.mean(2) - x.mean(1, keepdims=True)) / np.where(error > 0, error, np.nan)
    low, high = np.nanquantile(t, (0.025, 0.975), axis=1)
    own = x.std(1, ddof=1) / SEEDS**0.5
    return x.mean(1) - high * own, x.mean(1) - low * own


RULES: dict[str, Callable[[np.ndarray], Ends]] = {
    "Student, 95 %": student,
    "Student, 99 %": lambda x: student(x, 0.01),
    "Hall": hall,
    "Student and Hall": both,
    "Johnson": johnson,
    "bootstrap-t": bootstrap,
}


def main() -> None:
    lines = []
    for name, rule in RULES.items():
        wrong, power = [], []
        for drawn in DRAWS.values():
            low, high = rule(drawn)
            wrong.append(((low > 0) | (high < 0)).mean())
            power.append((rule(drawn + 2)[0] > 0).mean())
        lines.append([name, *(f"{one:.3f}" for one in (*wrong, *power))])
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        heads = [f"{what}, {kind}" for what in ("wrong", "power") for kind in DRAWS]
        writer.writerow(["rule", *heads])
        writer.writerows(lines)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", "All-NaN")
    main()
