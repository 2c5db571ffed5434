"""How far each layer of a network, and the whole, can carry a small change: rows of layers, and
singular values."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError, UnsoundBound
from intriguing.graph.precision import precise_graph
from intriguing.measures import Box
from intriguing.models.classifier import device_of
from intriguing.names import file_name
from intriguing.results.rows import LayerRow
from intriguing.results.store import write_tensors
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.spectral.certificates.claimed_constant import check_constant
from intriguing.spectral.certificates.lipschitz import (
    LipschitzReport,
    layer_spectra,
    lipschitz_report,
)

POINTS = 1024
"""Singular values of one layer that are kept: evenly spaced by rank, the ends among them."""

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Spectrum(Stage):
    """Bounds and singular values of every layer.

    Attributes:
        network: Whose layers.
        shape: Of one image.
        images: Near which lower bounds are taken; random points when None.
        domain: The interval that pixels lie in, for operations bounded on a bounded domain only.
        semidefinite: Whether a bound better than products is searched.
        seed: Draws the random points.
    """

    name: ClassVar[str] = "spectrum"
    apart: ClassVar[bool] = True
    network: Network
    shape: Shape
    images: ImageSet | None
    domain: Box | None
    semidefinite: bool
    seed: int

    def compute(self, run: Run) -> Made:
        """A row a layer, of the network, and of the product; singular values as tensors."""
        name, model = self.network.name, self.network.model
        check_traceable(name, model, self.shape)
        try:
            report = lipschitz_report(
                model, self.shape, data=None if self.images is None else self.images.images,
                domain=self.domain, semidefinite=self.semidefinite, seed=self.seed,
                progress=run.progress,
            )  # fmt: skip
        except (InputError, UnsoundBound) as error:
            raise type(error)(f"{name}: {error}") from error
        write_spectra(run.folder, name, layer_spectra(model, self.shape))
        return Made(tuple(layer_rows(name, report, self.seed)), notes=report.notes)


@dataclass(frozen=True)
class StatedConstant(Stage):
    """Whether a stated Lipschitz constant of the network is refuted or proved.

    Attributes:
        spectrum: As the bounds of the layers are asked for.
        claimed: L2.
    """

    name: ClassVar[str] = "constant"
    network: Network
    spectrum: Spectrum
    claimed: float

    def compute(self, run: Run) -> Made:
        """A sentence, and the witness pair."""
        asked, name = self.spectrum, self.network.name
        found = check_constant(
            self.network.model, asked.shape, self.claimed,
            data=None if asked.images is None else asked.images.images, domain=asked.domain,
            semidefinite=asked.semidefinite, seed=asked.seed, progress=run.progress,
        )  # fmt: skip
        words = {
            "kind": "witness", "title": f"{name}: a witness pair", "network": name,
            "verdict": found.verdict, "said": str(found),
        }  # fmt: skip
        write_tensors(run.folder, self.file, {"witness": found.witness.numpy()}, words)
        return Made(words=(str(found),), notes=(f"{name}: {found}.",))

    @property
    def file(self) -> str:
        """Its name in tensors/."""
        return file_name("witness", self.network.name)


def check_traceable(spec: str, model: nn.Module, shape: Shape) -> None:
    """Refuse a network whose graph cannot be had, before a folder is made and time is spent."""
    example = torch.full((1, *shape), 0.5, dtype=torch.float64, device=device_of(model))
    try:
        precise_graph(model, example)
    except InputError as error:
        raise InputError(f"{spec}: {error}") from error


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
    kept = {str(place): _thinned(values) for place, values in enumerate(spectra.values())}
    metadata = {
        "kind": "spectrum", "title": f"{name}: singular values of each layer", "network": name,
        "layers": json.dumps(list(spectra)),
    }  # fmt: skip
    write_tensors(folder, file_name("spectrum", name), kept, metadata)


def _thinned(values: Tensor) -> np.ndarray:
    exact = values.detach().cpu().double().numpy()
    count = min(len(exact), POINTS)
    kept: np.ndarray = exact[np.linspace(0, len(exact) - 1, count).round().astype(int)]
    return kept


def shape_of(spec: str, model: nn.Module, given: Shape | None = None) -> Shape:
    """The shape of one image: as given, or as the network says.

    Raises:
        InputError: If nobody says it.
    """
    shape = given or getattr(model, "shape", None)
    if not isinstance(shape, tuple):
        raise InputError(
            f"{spec} does not say what shape its images have; give it: --input 3,224,224 for "
            "photographs, channels first and without the batch"
        )
    return shape
