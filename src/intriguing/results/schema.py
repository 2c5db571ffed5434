"""What a results folder holds, version 2: one run record, table cells, one row an image, curves.

Version 1, which is still read, had one method, "paper", and no gaps, curves or losses.
"""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import pyarrow as pa

SCHEMA_VERSION = 2
READABLE = (1, 2)

Kind: TypeAlias = Literal["reproduce", "attack", "transfer", "train", "compare"]
Unit: TypeAlias = Literal["%", "distortion", "l2", "passes", "ms", "gap", "l2 more", "% more"]
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
        unit: "%" (ours is in percent), "distortion" (sqrt(mean r²)), "l2" (‖r‖₂), "passes" and "ms"
            (of an image), "gap" (a share); "l2 more" and "% more" are differences with a sign.
        ours, low, high: The value of the first seed with its 95 % interval: Wilson's for a share,
            Student's for a mean, order statistics for a median; None where there is none.
        count, total: Misclassified of all images; or images that the value is about of all.
        paper: The paper's value, None where it gives none.
        seeds: How many seeds were run.
        seed_low, seed_high: Least and greatest value over the seeds; None for one seed.
    """

    table: str
    row: str
    column: str
    row_order: int
    column_order: int
    unit: Unit
    ours: float
    low: float | None
    high: float | None
    count: int
    total: int
    paper: float | None = None
    seeds: int = 1
    seed_low: float | None = None
    seed_high: float | None = None


@dataclass(frozen=True)
class ImageRow:
    """What became of one image attacked for one network by one method; l2 in pixel units.

    Distortion and l2 of an image whose adversarial was not found are infinite or NaN; gap and
    local_gap, as in `Distortions`, are NaN where the method gives none.
    """

    network: str
    seed: int
    method: str
    image_id: str
    label: int
    target: int
    success: bool
    status: str
    distortion: float
    l2: float
    c: float
    gap: float
    local_gap: float
    forward_passes: int
    backward_passes: int


@dataclass(frozen=True)
class CurvePoint:
    """How far a method is after so many passes an image; one row of rows/curves.parquet.

    Attributes:
        passes: A pass is half a forward and a backward one.
        found: Images with an adversarial found within them.
        within: Images where it is then as short as any method's answer in the end, up to 0.1 %.
        images: All of them.
        median, median_low, median_high: Of ‖r‖₂ over all images with its 95 % interval; what is
            not found counts as infinitely far.
        mean: Of ‖r‖₂ over all images; infinite before each is found.
        excess: Median over the images of how much longer r is than the shortest any method ends
            with, as a share of it; infinite before half are found.
    """

    method: str
    passes: int
    found: int
    within: int
    images: int
    median: float
    median_low: float
    median_high: float
    mean: float
    excess: float


@dataclass(frozen=True)
class LossRow:
    """An image that `method` loses: `shorter` finds an r shorter by more than 0.1 % of it."""

    method: str
    image_id: str
    label: int
    target: int
    l2: float
    shorter: str
    shorter_l2: float


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
        pa.field("low", pa.float64()),
        pa.field("high", pa.float64()),
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
        pa.field("method", _TEXT, nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("success", pa.bool_(), nullable=False),
        pa.field("status", _TEXT, nullable=False),
        pa.field("distortion", pa.float32(), nullable=False),
        pa.field("l2", pa.float32(), nullable=False),
        pa.field("c", pa.float32(), nullable=False),
        pa.field("gap", pa.float32(), nullable=False),
        pa.field("local_gap", pa.float32(), nullable=False),
        pa.field("forward_passes", pa.int32(), nullable=False),
        pa.field("backward_passes", pa.int32(), nullable=False),
    ]
)

ADDED: dict[str, Any] = {"method": "paper", "gap": float("nan"), "local_gap": float("nan")}
"""What the columns of `IMAGES` that version 1 lacks would hold there."""

CURVES = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        *(
            pa.field(name, pa.int64(), nullable=False)
            for name in ("passes", "found", "within", "images")
        ),
        *(
            pa.field(name, pa.float64(), nullable=False)
            for name in ("median", "median_low", "median_high", "mean", "excess")
        ),
    ]
)

LOSSES = pa.schema(
    [
        pa.field("method", pa.string(), nullable=False),
        pa.field("image_id", pa.string(), nullable=False),
        pa.field("label", pa.int32(), nullable=False),
        pa.field("target", pa.int32(), nullable=False),
        pa.field("l2", pa.float32(), nullable=False),
        pa.field("shorter", pa.string(), nullable=False),
        pa.field("shorter_l2", pa.float32(), nullable=False),
    ]
)
