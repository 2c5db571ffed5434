"""What `intriguing spectrum` needs beside the analysis: shapes, domains, rows and spectra."""

import copy
import io
import logging
import math
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import Box, ProgressCallback
from intriguing.models.autoencoder import AutoencoderClassifier
from intriguing.models.fully_connected import FullyConnected
from intriguing.results.schema import LayerRow, Stage
from intriguing.results.store import write_tensors
from intriguing.spectral.lipschitz import LipschitzReport, layer_spectra, lipschitz_report
from intriguing.spectral.tracing import trace

POINTS = 1024
"""Singular values of one layer that are kept: evenly spaced by rank, the ends among them."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Analysed:
    """A spectral analysis as a results folder keeps it."""

    rows: list[LayerRow]
    spectra: dict[str, Tensor]
    notes: tuple[str, ...]
    stage: Stage


def parse_shape(text: str) -> Shape:
    """ "3,224,224" or "3x224x224" as sizes."""
    parts = re.split(r"[,x×]", text.replace(" ", "").strip("()[]"))
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(
            f"--input {text} is no shape; give the sizes of one image with commas between, "
            "channels first and without the batch, such as --input 3,224,224"
        )
    return tuple(map(int, parts))


def parse_domain(text: str) -> Box:
    """ "0,1" as an interval."""
    try:
        lower, upper = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            f"--domain {text} is no interval; give two numbers with a comma between, such as "
            "--domain 0,1 (and --domain=-1,1 where the first is negative)"
        ) from error
    return Box(lower, upper)


def choose_shape(
    spec: str, model: nn.Module, given: Shape | None, images: ImageSet | None
) -> Shape:
    """The shape of one input: as given, else of the images, else what the network says of itself.

    Raises:
        InputError: If nobody says it, two say otherwise, or the network cannot take it.
    """
    _check_finite(spec, model)
    seen = None if images is None else tuple(images.images.shape[1:])
    if given is not None and seen is not None and given != seen:
        raise InputError(
            f"--input {_comma(given)}, but the images of {images.name if images else ''} have "
            f"shape {_comma(seen)}; leave --input out, or --data"
        )
    shape = given or seen or own_shape(model)
    if shape is None:
        raise InputError(
            f"{spec} does not say what shape its images have; give it: --input 3,224,224 for "
            "photographs, channels first and without the batch"
        )
    _try(spec, model, shape)
    check_traceable(spec, model, shape)
    return shape


def check_traceable(spec: str, model: nn.Module, shape: Shape) -> None:
    """Refuse a network whose graph cannot be had, before a folder is made and time is spent."""
    like = next(model.parameters(), torch.zeros(()))
    precise = copy.deepcopy(model).double().requires_grad_(False)
    example = torch.full((1, *shape), 0.5, dtype=torch.float64, device=like.device)
    try:
        with _quiet():
            trace(precise, example)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what torch.export prints and logs about a network it refuses away from the user."""
    logging.disable(logging.WARNING)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(logging.NOTSET)


def analyse(
    name: str,
    model: nn.Module,
    shape: Shape,
    *,
    images: ImageSet | None,
    domain: Box | None,
    semidefinite: bool,
    seed: int,
    progress: ProgressCallback | None = None,
) -> Analysed:
    """Bounds and singular values of a network."""
    start = time.perf_counter()
    try:
        report = lipschitz_report(
            model, shape, data=None if images is None else images.images, domain=domain,
            semidefinite=semidefinite, seed=seed, progress=progress,
        )  # fmt: skip
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
    spectra = layer_spectra(model, shape)
    stage = Stage(f"bound {name}", time.perf_counter() - start)
    return Analysed(layer_rows(name, report, seed), spectra, report.notes, stage)


def layer_rows(name: str, report: LipschitzReport, seed: int) -> list[LayerRow]:
    """The rows of every layer, of the network, and of the product."""
    rows = [
        LayerRow(name, seed, order, layer.name, layer.kind, layer.size, layer.stride,
                 layer.upper, layer.lower, layer.formula, layer.guaranteed, layer.note)
        for order, layer in enumerate(report.layers)
    ]  # fmt: skip
    end = len(rows)
    said = "" if any(row.note for row in rows) else " ".join(report.notes)
    rows.append(
        LayerRow(name, seed, end, name, "network", "–", "–", report.upper, report.lower,
                 report.formula, report.guaranteed, said)
    )  # fmt: skip
    rows.append(
        LayerRow(name, seed, end + 1, name, "product", "–", "–", report.product, math.nan,
                 "layer by layer", report.guaranteed)
    )  # fmt: skip
    return rows


def write_spectra(folder: Path, name: str, spectra: Mapping[str, Tensor]) -> None:
    """Singular values of each layer, greatest first; of many, evenly spaced ones by rank."""
    if not spectra:
        return
    kept = {layer: _thinned(values) for layer, values in spectra.items()}
    metadata = {"kind": "spectrum", "title": f"{name}: singular values of each layer"}
    write_tensors(folder, "spectrum", kept, metadata)


def _thinned(values: Tensor) -> np.ndarray:
    exact = values.detach().cpu().double().numpy()
    count = min(len(exact), POINTS)
    kept: np.ndarray = exact[np.linspace(0, len(exact) - 1, count).round().astype(int)]
    return kept


def own_shape(model: nn.Module) -> Shape | None:
    """What the network says of itself; None where it says nothing."""
    if isinstance(model, FullyConnected):
        return (model.sizes[0],)
    if isinstance(model, AutoencoderClassifier):
        return (model.encoder.in_features,)
    shape = getattr(model, "shape", None)
    return shape if isinstance(shape, tuple) else None


def _check_finite(spec: str, model: nn.Module) -> None:
    named = [*model.named_parameters(), *model.named_buffers()]
    broken = [name for name, t in named if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise InputError(
            f"{spec} has weights that are NaN or infinite: {', '.join(broken[:3])}"
            f"{f' and {len(broken) - 3} more' if len(broken) > 3 else ''}; train it again"
        )


def _try(spec: str, model: nn.Module, shape: Shape) -> None:
    like = next(model.parameters(), torch.zeros(()))
    try:
        with torch.no_grad():
            model(torch.zeros(1, *shape, device=like.device, dtype=like.dtype))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        raise InputError(
            f"{spec} does not take an image of shape {_comma(shape)} "
            f"({str(error).splitlines()[0]}); give the shape it was made for: --input SIZES"
        ) from error


def _comma(shape: Shape) -> str:
    return ",".join(map(str, shape))
