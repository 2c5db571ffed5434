"""What a run is asked for, and the stages that answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from intriguing.data.dataset import ImageSet
from intriguing.results.schema import Kind, ModelRecord, RunRecord
from intriguing.runs import provenance
from intriguing.runs.stage import Network, Stage


@dataclass(frozen=True)
class Request:
    """What a run is asked for, as its record says it.

    Attributes:
        kind: The verb.
        config: JSON-able; a folder serves one configuration.
        may_differ: Entries of it that may change from call to call.
        networks, images: That were given, or are known before the first stage.
        tables, figures, seeds, notes, command: As in `RunRecord`.
        required_bytes: About what the whole run writes.
        device: Where it runs.
        goes_on: Whether a stage that fails becomes a record that says so, and the others go on.
    """

    kind: Kind
    config: Mapping[str, Any]
    may_differ: tuple[str, ...] = ()
    networks: tuple[Network, ...] = ()
    models: tuple[ModelRecord, ...] = ()
    images: tuple[ImageSet, ...] = ()
    tables: tuple[str, ...] = ()
    figures: tuple[str, ...] = ()
    seeds: tuple[int, ...] = (0,)
    notes: tuple[str, ...] = ()
    command: str = ""
    required_bytes: int = 20_000_000
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    goes_on: bool = False

    def record(self) -> RunRecord:
        """The record of a run that has just begun."""
        given = tuple(provenance.record_model(one.name, one.model) for one in self.networks)
        return RunRecord(
            self.kind, self.command, dict(self.config), seeds=self.seeds,
            versions=provenance.versions(), machine=provenance.machine(self.device),
            data=tuple(map(provenance.record_data, self.images)), models=(*given, *self.models),
            tables=self.tables, figures=self.figures, notes=self.notes,
        )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """A run before it begins: what it is asked for, and the stages that answer, in their order.

    Attributes:
        apart: Stages that do not need each other, which workers may do before the rest, each in
            one thread.
        called: How progress calls all of these together.
        steps: How many stages of progress each of them reports, one after the other.
    """

    asked: Request
    stages: Sequence[Stage]
    apart: Sequence[Stage] = ()
    called: str = ""
    steps: int = 1
