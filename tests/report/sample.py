"""A results folder made by hand: the paper's numbers, moved a little, in every kind of run."""

import json
import math
from pathlib import Path

import numpy as np

from intriguing.results.schema import Cell, DataRecord, ImageRow, ModelRecord, RunRecord, Stage
from intriguing.results.store import (
    image_columns,
    write_cells,
    write_images,
    write_run,
    write_tensors,
)
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
    cells = {"reproduce": _paper_cells, "attack": _attack_cells, "transfer": _transfer_cells,
             "train": _train_cells, "compare": compared.cells, "spectrum": lambda generator: [],
             "certify": bounded.certify_cells}[kind](generator)  # fmt: skip
    write_cells(folder, cells)
    if kind == "compare":
        compared.write_rows(folder)
    elif kind == "spectrum":
        bounded.write_spectrum(folder)
    elif kind == "certify":
        bounded.write_certified(folder)
    elif kind != "train":
        networks = NETWORKS if kind == "reproduce" else NETWORKS[3:4]
        write_images(folder, (_image_columns(n, generator) for n in networks))
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
    write_run(folder, _run(kind, cells))
    return folder


def _cell(table: str, places: tuple[str, str, int, int], ours: float, **more: object) -> Cell:
    row, column, i, j = places
    unit = more.pop("unit", "%")
    half = 0.4 if unit == "%" else 0.0007
    low, high = (
        (ours - half, ours + half) if unit != "%" else (max(ours - half, 0), min(ours + half, 100))
    )
    return Cell(table, row, column, i, j, unit, ours, low, high, round(ours * 40), 4000, **more)  # type: ignore[arg-type]


def _near(paper: float, generator: np.random.Generator) -> float:
    return paper if paper in (0, 100) else float(min(100, paper * generator.lognormal(0, 0.25)))


def _paper_cells(generator: np.random.Generator) -> list[Cell]:
    cells = []
    for i, network in enumerate(NETWORKS):
        for j, column in enumerate(("Training error", "Test error")):
            paper = TABLE1[i][j]
            ours = _near(paper, generator)
            cells.append(_cell("table1", (network, column, i, j), ours, paper=paper))
        for table, column, j in (
            ("table1", "Av. min. distortion", 2),
            ("table2", "Av. distortion", 6),
        ):
            paper = DISTORTIONS[i]
            ours = float(paper * generator.normal(0.97, 0.05))
            cells.append(_cell(table, (network, column, i, j), ours, paper=paper, unit="distortion",
                               seeds=3, seed_low=ours - 0.002, seed_high=ours + 0.003))  # fmt: skip
    noise = ("Gaussian noise, stddev=0.1", "Gaussian noise, stddev=0.3")
    for i, row in enumerate((*NETWORKS, *noise)):
        for j, column in enumerate(NETWORKS):
            paper = TABLE2[i][j]
            cells.append(_cell("table2", (row, column, i, j), _near(paper, generator), paper=paper))
    for i, network in enumerate(SPLIT):
        for j, column in enumerate(("Error on P1", "Error on P2", "Error on Test")):
            cells.append(_cell("table3", (network, column, i, j), 2.1, paper=2.0))
    plain = [f"Distorted for {n} (av. stddev=0.06)" for n in SPLIT]
    loud = [f"Distorted for {n} amplified to stddev=0.1" for n in SPLIT]
    rows = (*plain, "Gaussian noise with stddev=0.06", *loud, "Gaussian noise with stddev=0.1")
    for i, row in enumerate(rows):
        for j, column in enumerate(SPLIT):
            paper = TABLE4[i][j]
            cells.append(_cell("table4", (row, column, i, j), _near(paper, generator), paper=paper))
    return cells


def _attack_cells(generator: np.random.Generator) -> list[Cell]:
    values = {
        "Error before": 1.9,
        "Fooled": 100.0,
        "Mean distortion": 0.058,
        "Median distortion": 0.055,
    }
    return [
        _cell("attack", ("FC100-100-10", column, 0, j), value,
              unit="distortion" if "distortion" in column else "%")
        for j, (column, value) in enumerate(values.items())
    ]  # fmt: skip


def _transfer_cells(generator: np.random.Generator) -> list[Cell]:
    rows = (*(f"Distorted for {n}" for n in NETWORKS[:2]), "Gaussian noise, stddev=0.1")
    return [
        _cell("transfer", (row, column, i, j), TABLE2[i][j])
        for i, row in enumerate(rows)
        for j, column in enumerate(NETWORKS[:2])
    ]


def _train_cells(generator: np.random.Generator) -> list[Cell]:
    return [
        _cell("train", ("FC10(1e-4)", column, 0, j), value)
        for j, (column, value) in enumerate({"Training error": 6.9, "Test error": 7.4}.items())
    ]


def _image_columns(network: str, generator: np.random.Generator) -> dict[str, list[object]]:
    mean = DISTORTIONS[NETWORKS.index(network)]
    rows = []
    for index in range(200):
        value = float(mean * generator.gamma(9, 1 / 9))
        rows.append(
            ImageRow(network, 0, "paper", f"mnist-5k/{index:05d}", index % 10, (index + 3) % 10,
                     True, "FOUND", value, 28 * value, 0.3, math.nan, math.nan, 400, 380)
        )  # fmt: skip
    return image_columns(rows)


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


def _run(kind: str, cells: list[Cell]) -> RunRecord:
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
        tables=("layers",) if kind == "spectrum" else tuple(sorted({c.table for c in cells})),
        figures=("figure7", "filters"),
        notes=("Weight decay is λ Σ w², undivided: it lands nearest the paper.",
               "A note with <b>markup</b> & an ampersand, shown as it stands."),
    )  # fmt: skip
