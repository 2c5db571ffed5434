"""What a results folder holds, version 1: one run record, table cells, and one row an image."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa

SCHEMA_VERSION = 1

Kind: TypeAlias = Literal["reproduce", "attack", "transfer", "train"]
RunStatus: TypeAlias = Literal["running", "complete"]


@dataclass(frozen=True)
class Stage:
    """One step of a run: its wall time in seconds and passes, interruptions added up."""

    name: str
    wall_seconds: float = 0.0
    forward_passes: int = 0
    backward_passes: int = 0


@dataclass(frozen=True)
class DataRecord:
    """A set of images that was used."""

    name: str
    images: int
    sha256: str


@dataclass(frozen=True)
class ModelRecord:
    """A network that was trained or given; errors are fractions, None where not measured.

    `training` is the training's report as JSON-able values, empty for a network that was given.
    """

    name: str
    seed: int
    sha256: str
    parameters: int
    architecture: str
    training: dict[str, Any] = field(default_factory=dict)
    train_error: float | None = None
    test_error: float | None = None


@dataclass(frozen=True)
class RunRecord:
    """run.json: everything that was needed to make the folder, and how far it is.

    Attributes:
        kind: The command's verb.
        command: The whole shell command.
        config: The verb's configuration, JSON-able; a folder serves one configuration only.
        status: "complete" once every row and tensor is written.
        versions: Of python, intriguing, torch, numpy.
        machine: platform, processor, cores, device.
        notes: Remarks in plain language that a reader of the tables needs.
    """

    kind: Kind
    command: str
    config: dict[str, Any]
    status: RunStatus = "running"
    seeds: tuple[int, ...] = (0,)
    versions: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    data: tuple[DataRecord, ...] = ()
    models: tuple[ModelRecord, ...] = ()
    stages: tuple[Stage, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION


@dataclass(frozen=True)
class Cell:
    """One cell of a table beside the paper's.

    Attributes:
        row, column: Display names as in the paper, "FC10(1e-4)".
        row_order, column_order: Place in the table, from 0.
        unit: "%" (ours is in percent) or "distortion" (ours is sqrt(mean r²)).
        ours, low, high: The value of the first seed with its 95 % interval, Wilson's for an error,
            Student's for a mean.
        count, total: Misclassified of all images; or images with an adversarial found of all.
        paper: The paper's value, None where it gives none.
        seeds: How many seeds were run.
        seed_low, seed_high: Least and greatest value over the seeds; None for one seed.
    """

    table: str
    row: str
    column: str
    row_order: int
    column_order: int
    unit: Literal["%", "distortion"]
    ours: float
    low: float
    high: float
    count: int
    total: int
    paper: float | None = None
    seeds: int = 1
    seed_low: float | None = None
    seed_high: float | None = None


@dataclass(frozen=True)
class ImageRow:
    """What became of one image attacked for one network; l2 in pixel units.

    Distortion and l2 of an image whose adversarial was not found are infinite.
    """

    network: str
    seed: int
    image_id: str
    label: int
    target: int
    success: bool
    status: str
    distortion: float
    l2: float
    c: float
    forward_passes: int
    backward_passes: int


_TEXT = pa.dictionary(pa.int32(), pa.string())

CELLS = pa.schema(
    [
        pa.field("table", pa.string(), nullable=False),
        pa.field("row", pa.string(), nullable=False),
        pa.field("column", pa.string(), nullable=False),
        pa.field("row_order", pa.int32(), nullable=False),
        pa.field("column_order", pa.int32(), nullable=False),
        pa.field("unit", pa.string(), nullable=False),
        pa.field("ours", pa.float64(), nullable=False),
        pa.field("low", pa.float64(), nullable=False),
        pa.field("high", pa.float64(), nullable=False),
        pa.field("count", pa.int64(), nullable=False),
        pa.field("total", pa.int64(), nullable=False),
        pa.field("paper", pa.float64()),
        pa.field("seeds", pa.int32(), nullable=False),
        pa.field("seed_low", pa.float64()),
        pa.field("seed_high", pa.float64()),
    ]
)

IMAGES = pa.schema(
    [
        pa.field("network", _TEXT, nullable=False),
        pa.field("seed", pa.int32(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("status", _TEXT, nullable=False),
        pa.field("distortion", pa.float32(), nullable=False),
        pa.field("l2", pa.float32(), nullable=False),
        pa.field("c", pa.float32(), nullable=False),
        pa.field("forward_passes", pa.int32(), nullable=False),
        pa.field("backward_passes", pa.int32(), nullable=False),
    ]
)
