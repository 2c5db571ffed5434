"""A comparison made by hand: one method always finds, one mostly, one hardly ever."""

from pathlib import Path

import numpy as np

from intriguing.results.measured import Measurement, Metric
from intriguing.results.parquet import write_rows
from intriguing.results.rows import CurvePoint, ImageRow, LossRow

METHODS = ("closest", "ddn", "noise")
IMAGES = 40


def write_compared(folder: Path) -> None:
    """Images, curves and losses."""
    generator = np.random.default_rng(1)
    shortest = generator.gamma(9, 0.2, IMAGES)
    worse = {"closest": np.zeros(IMAGES), "ddn": generator.exponential(0.01, IMAGES)}
    lengths = {name: shortest * (1 + excess) for name, excess in worse.items()}
    lengths["closest"][0] *= 1.02
    lengths["ddn"][1] = np.inf
    lengths["noise"] = np.where(np.arange(IMAGES) < 5, 8 * shortest, np.inf)
    rows = [row for name, l2 in lengths.items() for row in _rows(name, l2)]
    write_rows(folder, ImageRow, rows)
    write_rows(
        folder, CurvePoint, [point for name in METHODS for point in _curve(name, lengths[name])]
    )
    write_rows(
        folder,
        LossRow,
        [LossRow("closest", "mnist-5k/00000", 3, 5, 2.04, "ddn", 2.0)]
        + [
            LossRow("noise", f"mnist-5k/{i:05d}", 3, 5, np.inf, "closest", 2.0)
            for i in range(5, IMAGES)
        ],
    )


def measured(generator: np.random.Generator) -> list[Measurement]:
    """Of both tables; noise has no median."""
    rows = []
    for i, name in enumerate(METHODS):
        for metric, unit, value, low, high in (
            (Metric.FOOLED, "%", (100.0, 97.5, 12.5)[i], (91.2, 87.1, 5.5)[i], (100, 99.6, 26)[i]),
            (Metric.SHORTEST, "%", (97.5, 12.5, 0.0)[i], 5.5, 99.6),
            (Metric.MEDIAN_L2, "l2", 1.7, 1.5, (1.9, np.inf, 2.0)[i]),
            (Metric.PASSES, "passes", (66.0, 1000.0, 50.0)[i], None, None),
            (Metric.TIME, "ms", 0.61, None, None),
            (Metric.PROVED, "%", 30.0, 18.1, 45.4),
        ):
            if (name, metric) == ("noise", Metric.MEDIAN_L2) or (metric is Metric.PROVED and i):
                continue
            count = round(0.4 * value) if unit == "%" else 40
            rows.append(
                Measurement("compare", metric, unit, value, low, high, count, 40, method=name)
            )
    for i, name in enumerate(METHODS[1:]):
        both = (39, 5)[i]
        rows += [
            Measurement("paired", metric, unit, value, low, high, count, 40, method=name,
                        reference="closest")
            for metric, unit, value, low, high, count in (
                (Metric.L2_DIFFERENCE, "l2 more", 0.02, -0.01, 0.03, both),
                (Metric.RELATIVE_DIFFERENCE, "% more", (1.0, 700.0)[i], (0.8, 650.0)[i],
                 (1.2, 750.0)[i], both),
                (Metric.SHORTER, "%", (2.5, 0.0)[i], 0, 9, (1, 0)[i]),
                (Metric.LONGER, "%", (75.0, 100.0)[i], 60, 100, 30),
            )
        ]  # fmt: skip
    return rows


def _rows(method: str, lengths: np.ndarray) -> list[ImageRow]:
    cost = {"closest": 66, "ddn": 1000, "noise": 50}[method]
    rows = []
    for i, l2 in enumerate(lengths.tolist()):
        found = bool(np.isfinite(l2))
        status = "FOUND" if found else "NOT_FOUND"
        size = l2 if found else np.nan
        rows.append(
            ImageRow("fc", 0, method, f"mnist-5k/{i:05d}", 3, 5, found, status, size / 28, size,
                     np.nan, np.nan, 1e-6, cost, cost)
        )  # fmt: skip
    return rows


def _curve(method: str, lengths: np.ndarray) -> list[CurvePoint]:
    points = []
    for passes in (1, 8, 64, 512, 4096):
        factor = 1 + 10 / passes
        reached = np.where(np.arange(IMAGES) < 4 * passes, factor * lengths, np.inf)
        middle, mean = float(np.median(reached)), float(reached.mean())
        found = int(np.isfinite(reached).sum())
        excess = factor - 1 if np.isfinite(middle) else np.inf
        points.append(
            CurvePoint(method, passes, found, found // 4, IMAGES, middle, middle, middle, mean,
                       excess)
        )  # fmt: skip
    return points
