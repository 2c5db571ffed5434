"""A spectral analysis and a certification made by hand."""

import json
import math
from pathlib import Path

import numpy as np

from intriguing.results.measured import Measurement, Metric
from intriguing.results.parquet import write_columns, write_rows
from intriguing.results.rows import CertificateRow, LayerRow
from intriguing.results.store import write_tensors

NETWORK = "alexnet"
IMAGES = 60


def layers(unknown: bool = False) -> list[LayerRow]:
    """Two that amplify, one that passes on, a pool, and the whole; or one that is unknown."""
    nan, inf = math.nan, math.inf
    rows = [
        ("conv1", "convolution", "3×11×11×96", "4", 2.75, 1.9, "polyphase, 64×64 grid", True, ""),
        ("relu1", "activation", "", "–", 1.0, 1.0, "slope in [0, 1]", True, ""),
        ("pool1", "pool", "3×3", "2", 2.0, nan, "sqrt of copies", True, "windows overlap"),
        ("fc", "linear", "9216×4096", "–", 3.12, 2.0, "largest singular value", True, ""),
        ("network", "network", "", "–", 12.5, 2.5, "composition", True, ""),
        ("product", "product", "", "–", 17.16, nan, "product", True, ""),
    ]
    if unknown:
        note = "no bound for erfinv; register one"
        rows[1] = ("erfinv", "other", "", "–", inf, 1.5, "unknown", False, note)
        rows[4] = ("network", "network", "", "–", inf, 2.5, "composition", False, "")
        rows[5] = ("product", "product", "", "–", inf, nan, "product", False, "")
    return [LayerRow(NETWORK, 0, order, *row) for order, row in enumerate(rows)]


def write_spectrum(folder: Path, unknown: bool = False) -> None:
    """Layers, and the singular values of the two that have some."""
    write_rows(folder, LayerRow, layers(unknown))
    write_tensors(
        folder, "spectrum",
        {"0": np.linspace(2.7, 0.0, 200), "1": np.geomspace(3.1, 1e-9, 10)},
        {"kind": "spectrum", "title": "Singular values", "layers": '["conv1", "fc"]'},
    )  # fmt: skip


def write_certified(
    folder: Path, searched: bool = True, violated: bool = False, guaranteed: bool = True
) -> None:
    """Sixty images, ten of them misclassified; half of what was found is certified."""
    generator = np.random.default_rng(2)
    correct = np.arange(IMAGES) >= 10
    found = np.where(correct, generator.gamma(9, 0.1, IMAGES), 0.0)
    certified = found / 2
    found[20] = np.inf
    if violated:
        certified[30] = 1.25 * found[30]
    status = np.where(correct, "FOUND", "ALREADY").astype(object)
    status[20] = "NOT_FOUND"
    columns = {
        "network": NETWORK, "seed": 0, "image_id": [f"digits/{i:04d}" for i in range(IMAGES)],
        "label": np.arange(IMAGES) % 10,
        "predicted": (np.arange(IMAGES) + ~correct) % 10,
        "margin": np.where(correct, 8 * certified, -1.0), "against": (np.arange(IMAGES) + 3) % 10,
        "certified": certified,
        "found": found if searched else np.full(IMAGES, np.nan),
        "status": status.tolist() if searched else "NOT_SEARCHED", "pixels": 64,
    }  # fmt: skip
    write_columns(folder, CertificateRow, [columns])
    write_tensors(
        folder, "certificate", {"pair_bounds": np.ones((10, 10))},
        {"kind": "certificate", "formula": "pairwise, semidefinite",
         "guaranteed": "yes" if guaranteed else "no", "about": json.dumps({})},
    )  # fmt: skip


def certified(generator: np.random.Generator) -> list[Measurement]:
    """Both tables of a certification, not those of the rows above to the digit."""
    places = (
        (Metric.ACCURACY, "%", 83.3, 72.0, 90.7),
        (Metric.MEDIAN_CERTIFIED, "l2", 0.44, 0.41, 0.48),
        (Metric.MEDIAN_L2, "l2", 0.88, 0.82, 0.96),
        (Metric.CERTIFIED_RATIO, "ratio", 0.5, 0.49, 0.51),
        (Metric.VIOLATIONS, "images", 0.0, None, None),
    )
    rows = [
        Measurement("certify", metric, unit, value, low, high, 50, IMAGES, network=NETWORK,
                    images="correct")
        for metric, unit, value, low, high in places
    ]  # fmt: skip
    rows.append(Measurement("robust", Metric.PIXELS, "numbers", 64.0, network=NETWORK))
    for epsilon, sure, left in ((0.2, 80.0, 83.3), (0.5, 30.0, 78.0), (1.0, 0, 26)):
        for metric, value in ((Metric.CERTIFIED, sure), (Metric.WITHSTOOD, left)):
            count = round(value * IMAGES / 100)
            rows.append(
                Measurement("robust", metric, "%", value, max(value - 9, 0), value + 9, count,
                            IMAGES, network=NETWORK, size=epsilon)
            )  # fmt: skip
    return rows
