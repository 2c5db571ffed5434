"""A results folder made by hand: the paper's numbers, moved a little, in every kind of run."""

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.results.parquet import write_rows
from intriguing.results.rows import ImageRow
from intriguing.results.schema import DataRecord, ModelRecord, RunRecord, Stage
from intriguing.results.store import write_run, write_tensors
from tests.report import bounded, compared

NETWORKS = ("FC10(1e-4)", "FC10(1e-2)", "FC10(1)", "FC100-100-10", "FC200-200-10", "AE400-10")
DISTORTIONS = (0.062, 0.1, 0.14, 0.058, 0.065, 0.086)
TABLE1 = ((6.7, 7.4), (10, 9.4), (21.2, 20), (0, 1.64), (0, 1.54), (0.57, 1.9))
TABLE2 = (
    (100, 11.7, 22.7, 2, 3.9, 2.7),
    (87.1, 100, 35.2, 35.9, 27.3, 9.8),
    (71.9, 76.2, 100, 48.1, 47, 34.4),
    (28.9, 13.7, 21.1, 100, 6.6, 2),
    (38.2, 14, 23.8, 20.3, 100, 2.7),
    (23.4, 16, 24.8, 9.4, 6.6, 100),
    (5.0, 10.1, 18.3, 0, 0, 0.8),
    (15.6, 11.3, 22.7, 5, 4.3, 3.1),
)
SPLIT = ("FC100-100-10", "FC123-456-10", "FC100-100-10'")
TABLE4 = (
    (100, 26.2, 5.9),
    (6.25, 100, 5.1),
    (8.2, 8.2, 100),
    (2.2, 2.6, 2.4),
    (100, 98, 43),
    (96, 100, 22),
    (27, 50, 100),
    (2.6, 2.8, 2.7),
)


def write_sample(folder: Path, kind: str = "reproduce", images: np.ndarray | None = None) -> Path:
    """Write a finished run of `kind`; `images` (n 28 28) are the originals of the pictures."""
    generator = np.random.default_rng(0)
    pictures = generator.random((50, 28, 28)) if images is None else images
    rows = {"reproduce": _paper_rows, "attack": _attack_rows, "transfer": _transfer_rows,
            "train": _train_rows, "compare": compared.measured, "spectrum": lambda generator: [],
            "certify": bounded.certified}[kind](generator)  # fmt: skip
    write_rows(folder, Measurement, rows)
    if kind == "compare":
        compared.write_compared(folder)
    elif kind == "spectrum":
        bounded.write_spectrum(folder)
    elif kind == "certify":
        bounded.write_certified(folder)
    elif kind != "train":
        networks = NETWORKS if kind == "reproduce" else NETWORKS[3:4]
        images_of = (_image_rows(n, generator) for n in networks)
        write_rows(folder, ImageRow, [row for some in images_of for row in some])
    if kind == "reproduce":
        _write_figure7(folder, pictures, generator)
    if kind in ("reproduce", "train"):
        grid = np.linspace(-1, 1, 28)
        phase = generator.random((60, 1, 1)) * 6
        waves = np.sin(6 * (grid[:, None] * np.cos(phase) + grid * np.sin(phase)) + phase)
        write_tensors(
            folder, "filters", {"filters": waves.astype(np.float32)},
            {"kind": "filters", "title": "Filters of AE400-10's autoencoder"},
        )  # fmt: skip
    if kind == "attack":
        few = pictures[:8]
        distorted = (few + generator.normal(0, 0.04, few.shape)).clip(0, 1)
        write_tensors(
            folder, "gallery", {"original": few, "distorted": distorted},
            {"kind": "gallery", "title": "The first images", "words": json.dumps(["7 → 3"] * 8)},
        )  # fmt: skip
    write_run(folder, _run(kind, rows))
    return folder


def _row(analysis: str, metric: Metric, ours: float, **about: Any) -> Measurement:
    percent = metric not in (Metric.MEAN_DISTORTION, Metric.MEDIAN_DISTORTION)
    half = 0.4 if percent else 0.0007
    low, high = ours - half, ours + half
    if percent:
        low, high = max(low, 0), min(high, 100)
    unit = "%" if percent else "distortion"
    return Measurement(analysis, metric, unit, ours, low, high, round(ours * 40), 4000, **about)  # type: ignore[arg-type]


def _near(paper: float, generator: np.random.Generator) -> float:
    return paper if paper in (0, 100) else float(min(100, paper * generator.lognormal(0, 0.25)))


def _paper_rows(generator: np.random.Generator) -> list[Measurement]:
    rows = []
    for i, network in enumerate(NETWORKS):
        for which, paper in zip(("train", "test"), TABLE1[i], strict=True):
            rows.append(_row("table1", Metric.ERROR, _near(paper, generator), network=network,
                             condition=Condition.CLEAN, images=which))  # fmt: skip
        for analysis, about in (
            ("table1", {"network": network}),
            ("table2", {"made_for": network, "condition": Condition.ADVERSARIAL}),
        ):
            ours = float(DISTORTIONS[i] * generator.normal(0.97, 0.05))
            rows += [
                _row(analysis, Metric.MEAN_DISTORTION, ours + more, images="train", seed=seed,
                     **about)
                for seed, more in enumerate((0, -0.002, 0.003))
            ]  # fmt: skip
    shown = [{"condition": Condition.ADVERSARIAL, "made_for": name} for name in NETWORKS]
    shown += [{"condition": Condition.NOISE, "size": size} for size in (0.1, 0.3)]
    rows += _errors("table2", "train", shown, NETWORKS, TABLE2, generator)
    for network in SPLIT:
        for which in ("P1", "P2", "test"):
            rows.append(_row("table3", Metric.ERROR, 2.1, network=network, images=which,
                             condition=Condition.CLEAN))  # fmt: skip
    shown = [{"condition": Condition.ADVERSARIAL, "made_for": name} for name in SPLIT]
    shown += [{"condition": Condition.NOISE, "size": 0.06}]
    shown += [{"condition": Condition.AMPLIFIED, "made_for": name, "size": 0.1} for name in SPLIT]
    shown += [{"condition": Condition.NOISE, "size": 0.1}]
    return rows + _errors("table4", "test", shown, SPLIT, TABLE4, generator)


def _errors(
    analysis: str, which: str, shown: Sequence[dict[str, Any]], networks: Sequence[str],
    values: Sequence[Sequence[float]], generator: np.random.Generator,
) -> list[Measurement]:  # fmt: skip
    return [
        _row(analysis, Metric.ERROR, _near(values[i][j], generator), network=network, images=which,
             **about)
        for i, about in enumerate(shown)
        for j, network in enumerate(networks)
    ]  # fmt: skip


def _attack_rows(generator: np.random.Generator) -> list[Measurement]:
    values = {
        Metric.ERROR: 1.9,
        Metric.FOOLED: 100.0,
        Metric.MEAN_DISTORTION: 0.058,
        Metric.MEDIAN_DISTORTION: 0.055,
    }
    return [_row("attack", m, value, network="FC100-100-10") for m, value in values.items()]


def _transfer_rows(generator: np.random.Generator) -> list[Measurement]:
    shown = [{"condition": Condition.ADVERSARIAL, "made_for": name} for name in NETWORKS[:2]]
    shown += [{"condition": Condition.NOISE, "size": 0.1}]
    return [
        _row("transfer", Metric.ERROR, TABLE2[i][j], network=network, **about)
        for i, about in enumerate(shown)
        for j, network in enumerate(NETWORKS[:2])
    ]


def _train_rows(generator: np.random.Generator) -> list[Measurement]:
    return [
        _row("train", Metric.ERROR, value, network="FC10(1e-4)", images=which)
        for which, value in {"train": 6.9, "test": 7.4}.items()
    ]


def _image_rows(network: str, generator: np.random.Generator) -> list[ImageRow]:
    mean = DISTORTIONS[NETWORKS.index(network)]
    rows = []
    for index in range(200):
        value = float(mean * generator.gamma(9, 1 / 9))
        rows.append(
            ImageRow(network, 0, "paper", f"mnist-5k/{index:05d}", index % 10, (index + 3) % 10,
                     True, "FOUND", value, 28 * value, 0.3, math.nan, math.nan, 400, 380)
        )  # fmt: skip
    return rows


def _write_figure7(folder: Path, pictures: np.ndarray, generator: np.random.Generator) -> None:
    for letter, title, stddev in (
        ("a", "FC10(1e-4)", 0.06),
        ("b", "FC200-200-10", 0.065),
        ("c", "Gaussian noise, stddev=1", 1.0),
    ):
        distorted = (pictures + generator.normal(0, stddev, pictures.shape)).clip(0, 1)
        write_tensors(
            folder, f"figure7-{letter}",
            {"original": pictures.astype(np.float32), "distorted": distorted.astype(np.float32)},
            {"kind": "panel", "figure": "figure7", "letter": letter, "title": title},
        )  # fmt: skip


def _run(kind: str, rows: list[Measurement]) -> RunRecord:
    training = {
        "iterations": 350,
        "objective": 0.2468,
        "reason": "objective fell by less than 1e-4 in 25 iterations",
        "history": [2.3 * 0.6**k + 0.25 for k in range(15)],
    }
    names = NETWORKS if kind == "reproduce" else NETWORKS[:1]
    return RunRecord(
        kind=kind,  # type: ignore[arg-type]
        command=f"intriguing {kind} --scale quick --out results/{kind}-quick",
        config={"scale": "quick", "seed": 0},
        status="complete",
        versions={"python": "3.11.7", "intriguing": "0.1.0", "torch": "2.13.0", "numpy": "2.4.6"},
        machine={"platform": "Linux", "processor": "x86_64", "cores": 2, "device": "cpu"},
        data=(DataRecord("mnist-5k", 5000, "ab" * 32),),
        models=tuple(
            ModelRecord(n, 0, f"{i:02x}" * 32, 7850, n.lower(), training, 0.069, 0.074)
            for i, n in enumerate(names)
        ),
        stages=(Stage("train", 61.0, 40_000, 40_000), Stage("attack", 183.2, 2_400_000, 2_300_000)),
        tables=("layers",) if kind == "spectrum" else tuple(sorted({row.analysis for row in rows})),
        figures=("figure7", "filters"),
        notes=("Weight decay is λ Σ w², undivided: it lands nearest the paper.",
               "A note with <b>markup</b> & an ampersand, shown as it stands."),
    )  # fmt: skip
