"""run.json: everything that was needed to make a results folder, and how far it is."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

SCHEMA_VERSION = 5
"""Of run.json and of the rows; a folder of another one is refused."""

Kind: TypeAlias = Literal[
    "reproduce",
    "attack",
    "transfer",
    "train",
    "compare",
    "spectrum",
    "certify",
    "units",
    "hardening",
    "audit",
    "claims",
    "fool",
    "gate",
]
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
        remarks: Further ones that belong to one analysis, by its key.
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
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION
