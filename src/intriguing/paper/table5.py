"""Table 5: bounds of AlexNet's layers as the paper prints them, by Eq. 1 as printed, and corrected.

The same for any network, without the paper's column.  Nothing is trained and no data is needed:
the bounds are properties of the weights.
"""

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from torch import nn

from intriguing import __version__
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.classifier import Normalized
from intriguing.models.families.alexnet import AlexNet, initialise
from intriguing.models.load import load_model
from intriguing.names import file_name
from intriguing.paper.config import SCALES, ReproduceConfig
from intriguing.paper.layers import Layer, Layers, read_layers, recall, remember
from intriguing.paper.slips import mended, papers_name, slips, slips_of_any
from intriguing.results.published import published_table
from intriguing.results.schema import Cell, ModelRecord, Stage
from intriguing.runs.provenance import record_model

PAPER, PRINTED, CORRECTED, REACHED = (
    "Paper, mended", "As printed", "Corrected", "At least",
)  # fmt: skip
PRODUCT = "Product"


@dataclass(frozen=True)
class Subject:
    """A network to be measured.

    Attributes:
        table: Name of its table in the results: "table5" beside the paper's, else "table5-" and
            the network's.
        words: What it is, for the notes.
    """

    table: str
    words: str
    model: nn.Module
    shape: tuple[int, ...]
    record: ModelRecord


@dataclass(frozen=True)
class Measured:
    """Table 5 of a network: cells, remarks, the network's record, and what it cost."""

    cells: tuple[Cell, ...]
    notes: tuple[str, ...]
    record: ModelRecord
    stage: Stage


def subjects(config: ReproduceConfig) -> list[Subject]:
    """AlexNet with Krizhevsky's groups, and the given network, which may be its weights.

    Raises:
        InputError: If the given network cannot be had, or nobody says what its images are like.
    """
    if "table5" not in config.items:
        return []
    spec = config.network
    given = None if spec is None else load_model(spec)
    inner = given.model if isinstance(given, Normalized) else given
    if isinstance(inner, AlexNet):
        return [_subject("table5", "AlexNet", f"AlexNet with weights from {spec}", inner, config)]
    scale = SCALES[config.scale]
    ours = initialise(AlexNet(width=scale.alexnet_width), torch.Generator().manual_seed(0)).eval()
    words = RANDOM if scale.alexnet_width == 96 else f"a narrow {RANDOM}"
    chosen = [_subject("table5", "AlexNet", words, ours, None)]
    if given is not None:
        name = short_name(str(spec))
        chosen.append(_subject(f"table5-{name}", name, name, given, config))
    return chosen


RANDOM = (
    "AlexNet with Krizhevsky's groups, overlapping pools and response normalisation, its weights "
    "random as before its training (normal, deviation 0.01, seed 0): they show what the formulas "
    "make of one network, not what the paper's trained one had"
)


def measure(subject: Subject, folder: Path, progress: ProgressCallback | None = None) -> Measured:
    """Bounds of every layer of a network, and of the whole; kept in `folder` for the next call."""
    path = folder / "stages" / f"{file_name(subject.table)}.json"
    key = derive_key(subject.model, subject.shape, __version__)
    kept = recall(path, key)
    if kept is None:
        start = time.perf_counter()
        layers = read_layers(subject.model, subject.shape, progress)
        seconds = time.perf_counter() - start
        remember(path, key, layers, seconds)
    else:
        layers, seconds = kept
    if subject.table == "table5":
        table, notes = _beside_paper(layers), slips(subject.words, layers)
    else:
        table, notes = _alone(layers), slips_of_any(subject.words, layers)
    cells = tuple(_cells(subject.table, table))
    stage = Stage(f"bound {subject.record.name}", seconds)
    return Measured(cells, tuple(notes), subject.record, stage)


def _subject(
    table: str, name: str, words: str, model: nn.Module, config: ReproduceConfig | None
) -> Subject:
    shape = (config and config.input) or getattr(model, "shape", None)
    if shape is None:
        raise InputError(
            f"{words} does not say what shape its images have; give it: --input 3,224,224 for "
            "photographs, channels first and without the batch"
        )
    return Subject(table, words, model, tuple(shape), record_model(name, model))


def short_name(spec: str) -> str:
    """ "squeezenet:a/b.safetensors" is squeezenet, "nets/mine.py:build" mine-build."""
    before, _, after = spec.rpartition(":")
    if before.endswith(".py"):
        return f"{PurePath(before).stem}-{after}"
    return before or PurePath(after).stem


Values = dict[str, tuple[float, float | None]]
"""Ours and the paper's by column."""


def _beside_paper(layers: Layers) -> dict[str, Values]:
    table = published_table("table5")
    rows: dict[str, Values] = {}
    for layer in layers.layers:
        if not layer.matters:
            continue
        name = papers_name(layer)
        printed = 1.0 if layer.bound.kind == "pool" else table.at(name, "Upper bound")
        rows[f"{name}: {layer.shape}" if layer.shape else name] = {
            PAPER: (mended(layer, printed), printed),
            **_ours(layer),
        }
    product = math.prod(value for (value,) in table.values)
    whole = math.prod(values[PAPER][0] for values in rows.values())
    rows[PRODUCT] = {PAPER: (whole, product), **_whole(layers)}
    return rows


WHOLE = "Whole network"


def _alone(layers: Layers) -> dict[str, Values]:
    rows: dict[str, Values] = {}
    for layer in layers.layers:
        row, times = layer.label, 0
        while row in (*rows, WHOLE):
            times += 1
            row = f"{layer.label} (again {times})"
        if layer.matters:
            rows[row] = _ours(layer)
    return rows | {WHOLE: _whole(layers)}


def _ours(layer: Layer) -> Values:
    return {
        PRINTED: (layer.printed, None),
        CORRECTED: (layer.bound.upper, None),
        REACHED: (layer.bound.lower, None),
    }


def _whole(layers: Layers) -> Values:
    printed = math.prod(layer.printed for layer in layers.layers) if layers.is_chain else math.nan
    return {
        PRINTED: (printed, None),
        CORRECTED: (layers.upper, None),
        REACHED: (layers.lower, None),
    }


def _cells(table: str, rows: Mapping[str, Values]) -> Iterator[Cell]:
    for i, (row, values) in enumerate(rows.items()):
        for j, (column, (ours, paper)) in enumerate(values.items()):
            if not math.isnan(ours):
                yield Cell(table, row, column, i, j, "norm", ours, None, None, 0, 0, paper)
