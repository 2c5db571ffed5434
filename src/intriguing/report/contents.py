"""What a report needs of a results folder, read once."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from intriguing.report.figures import Panel, as_pictures
from intriguing.report.layouts import gather
from intriguing.report.views import Table
from intriguing.results.audit import StageRecord, read_audit
from intriguing.results.gate import FlawRow, GateRow, RulingRow
from intriguing.results.measured import Measurement
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import (
    CertificateRow,
    ClaimRow,
    CoherenceRow,
    CurvePoint,
    ImageRow,
    LayerRow,
    LossRow,
    TopRow,
)
from intriguing.results.schema import RunRecord
from intriguing.results.store import list_tensors, read_run, read_tensors
from intriguing.results.verdicts import VerdictRow

COLUMNS = (
    "network", "seed", "method", "success", "status", "distortion", "l2", "forward_passes",
    "backward_passes",
)  # fmt: skip


@dataclass(frozen=True)
class TensorFile:
    """One file of tensors with its metadata."""

    name: str
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Contents:
    """A results folder in memory: record, rows, one array a column of images, pictures, …"""

    folder: Path
    run: RunRecord
    measured: tuple[Measurement, ...]
    images: dict[str, np.ndarray]
    files: tuple[TensorFile, ...]
    curves: tuple[CurvePoint, ...] = ()
    losses: tuple[LossRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    certificates: dict[str, np.ndarray] = field(default_factory=dict)
    tops: dict[str, np.ndarray] = field(default_factory=dict)
    coherence: dict[str, np.ndarray] = field(default_factory=dict)
    claims: tuple[ClaimRow, ...] = ()
    verdicts: tuple[VerdictRow, ...] = ()
    audit: tuple[StageRecord, ...] = ()
    gate: tuple[GateRow, ...] = ()
    rulings: tuple[RulingRow, ...] = ()
    flaws: tuple[FlawRow, ...] = ()

    @cached_property
    def tables(self) -> list[Table]:
        """What was measured, as tables."""
        return gather(self.measured)

    def tables_of(self, *analyses: str) -> list[Table]:
        """The tables of some analyses, in their order."""
        return [table for name in analyses for table in self.tables if table.analysis == name]

    def table(self, analysis: str) -> Table | None:
        """The first table of an analysis; None where it has none."""
        return next(iter(self.tables_of(analysis)), None)

    @property
    def series(self) -> str:
        """The image column that tells the lines of a chart apart."""
        return "method" if self.run.kind == "compare" else "network"

    def of_kind(self, kind: str) -> list[TensorFile]:
        """Tensor files whose metadata say `kind`, in the order of their names."""
        return [file for file in self.files if file.metadata.get("kind") == kind]

    def distortions(self) -> dict[str, np.ndarray]:
        """Distortions of every network's or method's images, first seed; NaN where none found."""
        return self._by_series("distortion")

    def lengths(self) -> dict[str, np.ndarray]:
        """‖r‖₂ of the same images."""
        return self._by_series("l2")

    def passes(self) -> dict[str, np.ndarray]:
        """Passes of the same images, a pass being half a forward and a backward one."""
        return {
            name: (self.images["forward_passes"][rows] + self.images["backward_passes"][rows]) / 2
            for name, rows in self._rows().items()
        }

    def statuses(self) -> dict[str, dict[str, int]]:
        """How many images of each network or method ended with each status, all seeds."""
        counts: dict[str, dict[str, int]] = {}
        column = self.images[self.series]
        for name in dict.fromkeys(column):
            names, many = np.unique(
                self.images["status"][column == name].astype(str), return_counts=True
            )
            counts[str(name)] = dict(zip(names.tolist(), many.tolist(), strict=True))
        return counts

    def _by_series(self, measure: str) -> dict[str, np.ndarray]:
        found = np.where(self.images["success"], self.images[measure], np.nan)
        return {name: found[rows] for name, rows in self._rows().items()}

    def _rows(self) -> dict[str, np.ndarray]:
        """Which rows are each network's or method's of the first seed."""
        column = self.images[self.series]
        if not len(column):
            return {}
        first = self.images["seed"] == self.images["seed"].min()
        return {str(name): first & (column == name) for name in dict.fromkeys(column[first])}


def read_contents(folder: Path) -> Contents:
    """Read a results folder.

    Raises:
        InputError: If it is none, damaged, or of another schema version.
    """
    run = read_run(folder)
    return Contents(
        folder=folder,
        run=run,
        measured=tuple(read_rows(folder, Measurement)),
        images=read_columns(folder, ImageRow, COLUMNS),
        files=tuple(TensorFile(name, *read_tensors(folder, name)) for name in list_tensors(folder)),
        curves=tuple(read_rows(folder, CurvePoint)),
        losses=tuple(read_rows(folder, LossRow)),
        layers=tuple(read_rows(folder, LayerRow)),
        certificates=read_columns(folder, CertificateRow),
        tops=read_columns(folder, TopRow),
        coherence=read_columns(folder, CoherenceRow),
        claims=tuple(read_rows(folder, ClaimRow)),
        verdicts=tuple(read_rows(folder, VerdictRow)),
        audit=read_audit(folder),
        gate=tuple(read_rows(folder, GateRow)),
        rulings=tuple(read_rows(folder, RulingRow)),
        flaws=tuple(read_rows(folder, FlawRow)),
    )


def panel(file: TensorFile) -> Panel:
    """The pairs of images in a "panel" or "gallery" file."""
    letter = file.metadata.get("letter", "")
    title = file.metadata.get("title", file.name)
    return Panel(
        title=f"({letter}) {title}" if letter else title,
        original=as_pictures(file.tensors["original"]),
        distorted=as_pictures(file.tensors["distorted"]),
        words=tuple(json.loads(file.metadata.get("words", "[]"))),
    )
