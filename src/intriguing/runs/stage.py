"""A stage: one question, with everything that its answer depends on.

A stage is a frozen dataclass. Its fields are all that its computation is given: networks, images,
settings, and the stages whose results it goes on with. So the key under which its result is kept
is derived from the stage itself, and nobody lists what counts.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import nn

from intriguing import __version__
from intriguing.keys import counted, derive_digest, derive_key
from intriguing.models.classifier import device_of
from intriguing.results.audit import Finding, Warned
from intriguing.results.measured import Measurement
from intriguing.results.rows import Row
from intriguing.results.schema import ModelRecord

if TYPE_CHECKING:
    from intriguing.runs.run import Run


@dataclass(frozen=True)
class Network:
    """A network in evaluation mode, by the name that people gave it."""

    name: str
    model: nn.Module

    @cached_property
    def sha256(self) -> str:
        """Digest of all it computes with, and of the kind of device that does."""
        return derive_key(self.model, device_of(self.model).type)

    @property
    def called(self) -> str:
        """As tables call it."""
        return self.name

    @property
    def slug(self) -> str:
        """Of the names of its files."""
        return self.name


@dataclass(frozen=True)
class Made:
    """What a stage found out.

    Attributes:
        rows: Of any dataclass of `results.rows`; their order is that of the report.
        warnings: What looks wrong with a network, each with its consequence.
        words: Sentences for people about this stage; nothing reads them back.
        finding: The answer to its question, where an audit asks it.
        notes: Sentences for people about the whole run.
        remarks: Sentences for people about one analysis, by its key.
        models: Records of networks that were trained.
        passes: Images forward and backward, where they were counted.
        seconds: Of work done by earlier processes, where that is known.
    """

    rows: tuple[Row, ...] = ()
    warnings: tuple[Warned, ...] = ()
    words: tuple[str, ...] = ()
    finding: Finding | None = None
    notes: tuple[str, ...] = ()
    remarks: dict[str, tuple[str, ...]] = field(default_factory=dict)
    models: tuple[ModelRecord, ...] = ()
    passes: tuple[int, int] = (0, 0)
    seconds: float | None = None

    @property
    def measured(self) -> tuple[Measurement, ...]:
        """The rows of measured values."""
        return tuple(row for row in self.rows if isinstance(row, Measurement))


class Stage(ABC):
    """One question; subclasses are frozen dataclasses.

    Attributes:
        name: What stages of this kind are called, in files and records.
        question: In the reader's words.
        network: Whom it is about; a stage about several has no such field.
        apart: Whether it is worth a process of its own, where several can be done at once.
        cut: Whether its work is in parts that workers share (`Run.in_parts`): then it is done by
            one of them only where there are as many such stages as workers.
    """

    name: ClassVar[str]
    question: ClassVar[str] = ""
    apart: ClassVar[bool] = False
    cut: ClassVar[bool] = False

    @abstractmethod
    def compute(self, run: "Run") -> Made:
        """The answer: rows, with tensors and shards written below `run.folder` on the way.

        It is pure but for these files: the same stage makes the same rows and files.
        """

    def expected(self, run: "Run") -> float | None:
        """Seconds that it is thought to take whom it is given to whole; None where nobody knows."""
        return None

    def load(self, run: "Run") -> Any:
        """What `compute` left on disk, for stages that go on with it; None where it is all rows."""
        return None

    def columns(self, run: "Run", kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """Rows too many to be kept one by one, as columns: read again from what is on disk.

        Args:
            run: The run.
            kind: The dataclass of the rows that are asked for.
        """
        return iter(())

    @property
    def about(self) -> str:
        """The name of the network it is about, given or trained; empty for several."""
        network = getattr(self, "network", None)
        if isinstance(network, Network | Trained):
            return network.name if isinstance(network, Network) else network.about
        return ""

    @property
    def identity(self) -> tuple[str, ...]:
        """What tells it from the other stages of a run; its files are named after it."""
        return (self.name, self.about) if self.about else (self.name,)

    @property
    def title(self) -> str:
        """As the record of the run calls it."""
        return " ".join(self.identity)

    @cached_property
    def key(self) -> str:
        """Of all that the answer depends on: every field, and the versions of what computes."""
        return derive_key(self.identity, self, __version__, str(torch.__version__))

    @cached_property
    def digest(self) -> str:
        """Of every field, which is taken once: a stage is needed by many, and these by others."""
        if "__dataclass_fields__" not in vars(type(self)):  # a field of it would not be counted
            raise TypeError(f"{type(self).__name__} is no dataclass; decorate it")
        return derive_digest(self)

    @property
    def on_gpu(self) -> bool:
        """Whether a network that it was given is on a GPU, or it trains on one."""
        if str(getattr(self, "device", "")).startswith("cuda"):
            return True
        given = [getattr(self, field.name) for field in fields(self)]  # type: ignore[arg-type]
        networks = [one.model for one in given if isinstance(one, Network)]
        asked = any(device_of(one).type == "cuda" for one in networks)
        return asked or any(one.on_gpu for one in self.needs)

    @property
    def needs(self) -> tuple["Stage", ...]:
        """The stages among its fields."""
        given = (getattr(self, field.name) for field in fields(self) if counted(field))  # type: ignore[arg-type]
        return tuple(
            one
            for value in given
            for one in (value if isinstance(value, tuple) else (value,))
            if isinstance(one, Stage)
        )


class Trained(Stage):
    """A stage that trains a network, which its `load` gives.

    Attributes:
        called: What tables call it; trainings with other seeds are called the same.
        number: Which of these it is.
    """

    name: ClassVar[str] = "train"
    called: str
    number: int

    @property
    @abstractmethod
    def slug(self) -> str:
        """Of the names of its files."""

    def file(self, run: "Run") -> Path:
        """Where its weights are."""
        return run.folder / "models" / f"{self.slug}.safetensors"

    @property
    def about(self) -> str:
        return self.called + (f", seed {self.number}" if self.number else "")

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.slug

    @property
    def title(self) -> str:
        return f"{self.name} {self.about}"


def with_needs(stages: Iterable[Stage]) -> list[Stage]:
    """Every stage behind all that it needs, each once."""
    found: dict[str, Stage] = {}

    def visit(stage: Stage) -> None:
        if stage.key not in found:
            for need in stage.needs:
                visit(need)
            found[stage.key] = stage

    for stage in stages:
        visit(stage)
    return list(found.values())
