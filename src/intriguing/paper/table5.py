"""Table 5: bounds of AlexNet's layers as the paper prints them, by Eq. 1 as printed, and corrected.

The same for any network, without the paper's column.  Nothing is trained and no data is needed:
the bounds are properties of the weights.
"""

import math
import time
from dataclasses import dataclass
from pathlib import Path, PurePath

import torch
from torch import nn

from intriguing import __version__
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.keys import derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.classifier import Normalized
from intriguing.models.families.alexnet import AlexNet, initialise
from intriguing.models.load import load_model
from intriguing.names import file_name
from intriguing.paper.config import SCALES, ReproduceConfig
from intriguing.paper.errata import errata, errata_of_any, mended, papers_name
from intriguing.paper.layers import Layers, read_layers, recall, remember
from intriguing.results.published import published
from intriguing.results.rows import Measurement, Metric
from intriguing.results.schema import ModelRecord, Stage
from intriguing.runs.provenance import record_model


@dataclass(frozen=True)
class Subject:
    """A network to be measured.

    Attributes:
        analysis: "table5" of the paper's network, "bounds" of any other.
        words: What it is, for the notes.
    """

    analysis: str
    words: str
    model: nn.Module
    shape: tuple[int, ...]
    record: ModelRecord


@dataclass(frozen=True)
class Measured:
    """Table 5 of a network: rows, remarks, the network's record, and what it cost."""

    rows: tuple[Measurement, ...]
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
        chosen.append(_subject("bounds", name, name, given, config))
    return chosen


RANDOM = (
    "AlexNet with Krizhevsky's groups, overlapping pools and response normalisation, its weights "
    "random as before its training (normal, deviation 0.01, seed 0): they show what the formulas "
    "make of one network, not what the paper's trained one had"
)


def measure(subject: Subject, folder: Path, progress: ProgressCallback | None = None) -> Measured:
    """Bounds of every layer of a network, and of the whole; kept in `folder` for the next call."""
    parts = ("table5",) if subject.analysis == "table5" else ("table5", subject.record.name)
    path = folder / "stages" / f"{file_name(*parts)}.json"
    key = derive_key(subject.model, subject.shape, __version__)
    kept = recall(path, key)
    if kept is None:
        start = time.perf_counter()
        layers = read_layers(subject.model, subject.shape, progress)
        seconds = time.perf_counter() - start
        remember(path, key, layers, seconds)
    else:
        layers, seconds = kept
    table = Rows(subject.analysis, network=subject.record.name)
    if subject.analysis == "table5":
        _beside_paper(table, layers)
        notes = errata(subject.words, layers)
    else:
        _alone(table, layers)
        notes = errata_of_any(subject.words, layers)
    stage = Stage(f"bound {subject.record.name}", seconds)
    return Measured(tuple(table.made), tuple(notes), subject.record, stage)


def _subject(
    analysis: str, name: str, words: str, model: nn.Module, config: ReproduceConfig | None
) -> Subject:
    shape = (config and config.input) or getattr(model, "shape", None)
    if shape is None:
        raise InputError(
            f"{words} does not say what shape its images have; give it: --input 3,224,224 for "
            "photographs, channels first and without the batch"
        )
    return Subject(analysis, words, model, tuple(shape), record_model(name, model))


def short_name(spec: str) -> str:
    """ "squeezenet:a/b.safetensors" is squeezenet, "nets/mine.py:build" mine-build."""
    before, _, after = spec.rpartition(":")
    if before.endswith(".py"):
        return f"{PurePath(before).stem}-{after}"
    return before or PurePath(after).stem


def _beside_paper(table: Rows, layers: Layers) -> None:
    """The paper's bounds without its slips, and ours, layer by layer under the paper's names."""
    papers = {row.layer: row.value for row in published("table5")}
    whole = 1.0
    for layer in layers.layers:
        if not layer.matters:
            continue
        name = papers_name(layer)
        bound = mended(layer, papers.get(name))
        whole *= bound
        table.add(Metric.MENDED_BOUND, "norm", bound, layer=name, setting=layer.shape)
        _bounds(table, layer.printed, layer.bound.upper, layer.bound.lower, name, layer.shape)
    table.add(Metric.MENDED_BOUND, "norm", whole)
    _whole(table, layers)


def _alone(table: Rows, layers: Layers) -> None:
    before: list[tuple[str, str]] = []
    for layer in layers.layers:
        if layer.matters:
            name, shape = layer.name, layer.shape
            if again := before.count((name, shape)):
                said = f" (again {again})"
                name, shape = (name, shape + said) if shape else (name + said, shape)
            before.append((layer.name, layer.shape))
            _bounds(table, layer.printed, layer.bound.upper, layer.bound.lower, name, shape)
    _whole(table, layers)


def _whole(table: Rows, layers: Layers) -> None:
    printed = math.prod(layer.printed for layer in layers.layers) if layers.is_chain else math.nan
    _bounds(table, printed, layers.upper, layers.lower)


def _bounds(
    table: Rows, printed: float, upper: float, lower: float, layer: str = "", shape: str = ""
) -> None:
    """Of a layer, or of the whole network, by §4.3 and right; what is not known has no row."""
    for metric, value in (
        (Metric.PRINTED_BOUND, printed), (Metric.UPPER_BOUND, upper), (Metric.LOWER_BOUND, lower),
    ):  # fmt: skip
        if not math.isnan(value):
            table.add(metric, "norm", value, layer=layer, setting=shape)
