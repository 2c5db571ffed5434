"""What a report needs of a results folder, read once."""

import json
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from intriguing.report.attacked import Attacked, read_attacked
from intriguing.report.certified import Certified, read_certified
from intriguing.report.figures import Panel, as_pictures
from intriguing.report.layouts import gather
from intriguing.report.views import Table
from intriguing.results.audit import StageRecord, read_audit
from intriguing.results.gate import FlawRow, GateRow, RulingRow
from intriguing.results.measured import Measurement
from intriguing.results.parquet import read_columns, read_rows
from intriguing.results.rows import (
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

COMPARED = ("seed", "method", "success", "l2", "forward_passes", "backward_passes")


@dataclass(frozen=True)
class TensorFile:
    """One file of tensors with its metadata."""

    name: str
    tensors: dict[str, np.ndarray]
    metadata: dict[str, str]


@dataclass(frozen=True)
class Contents:
    """A results folder in memory: record, rows, what many rows come to, pictures, …"""

    folder: Path
    run: RunRecord
    measured: tuple[Measurement, ...]
    attacked: Attacked
    files: tuple[TensorFile, ...]
    curves: tuple[CurvePoint, ...] = ()
    losses: tuple[LossRow, ...] = ()
    layers: tuple[LayerRow, ...] = ()
    certified: dict[str, Certified] = field(default_factory=dict)
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

    def of_kind(self, kind: str) -> list[TensorFile]:
        """Tensor files whose metadata say `kind`, in the order of their names."""
        return [file for file in self.files if file.metadata.get("kind") == kind]

    def lengths(self) -> dict[str, np.ndarray]:
        """‖r‖₂ of every method's images, first seed; NaN where none was found."""
        images = self.images
        found = np.where(images["success"], images["l2"], np.nan)
        return {name: found[rows] for name, rows in self._rows().items()}

    def passes(self) -> dict[str, np.ndarray]:
        """Passes of the same images, a pass being half a forward and a backward one."""
        images = self.images
        both = images["forward_passes"] + images["backward_passes"]
        return {name: both[rows] / 2 for name, rows in self._rows().items()}

    @cached_property
    def images(self) -> dict[str, np.ndarray]:
        """Columns of all attacked images, for a comparison, which is image by image."""
        return read_columns(self.folder, ImageRow, COMPARED)

    def _rows(self) -> dict[str, np.ndarray]:
        """Which rows are each method's of the first seed."""
        column = self.images["method"]
        if not len(column):
            return {}
        first = self.images["seed"] == self.images["seed"].min()
        return {str(name): first & (column == name) for name in dict.fromkeys(column[first])}


def series(run: RunRecord) -> str:
    """The column of images that tells the lines of a chart apart."""
    return "method" if run.kind == "compare" else "network"


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
        attacked=read_attacked(folder, series(run)),
        files=tuple(TensorFile(name, *read_tensors(folder, name)) for name in list_tensors(folder)),
        curves=tuple(read_rows(folder, CurvePoint)),
        losses=tuple(read_rows(folder, LossRow)),
        layers=tuple(read_rows(folder, LayerRow)),
        certified=read_certified(folder),
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
