"""Stages that look for adversarial examples: of one network, by one search."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from intriguing.distortion.search import Search
from intriguing.keys import APART
from intriguing.results.rows import ImageRow, Row
from intriguing.runs.attacking import Outcome, Plan, shard_size
from intriguing.runs.pictures import write_gallery, write_pngs
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.runs.summary import image_columns, summary
from intriguing.scale.attack import COLUMNS, attack_in_shards


@dataclass(frozen=True)
class Examples(Stage):
    """The nearest adversarial example of every image for one network, by one search.

    Attributes:
        network: Whom the examples are to fool.
        plan: The images, and what each is to be taken for.
        search: How.
        shard_size: Images between two saves; apart, because no answer depends on it.
        read: Columns that are read into memory, the others stay on disk; they decide nothing.
    """

    name: ClassVar[str] = "examples"
    network: Network
    plan: Plan
    search: Search
    shard_size: int | None = field(default=None, metadata=APART)
    read: tuple[str, ...] = field(default=COLUMNS, metadata=APART)

    def __post_init__(self) -> None:
        # What the method takes where nothing is said is asked for, too.
        object.__setattr__(self, "search", self.search.complete)

    def compute(self, run: Run) -> Made:
        """What it cost; the examples are in shards."""
        outcome: Outcome = run.loaded(self)
        return Made(passes=outcome.passes, seconds=outcome.wall_seconds)

    def load(self, run: Run) -> Outcome:
        """The examples, searched in shards as far as they are not on disk."""
        images, search = self.plan.images, self.search
        attacked = attack_in_shards(
            self.network.model, images, self.plan.targets, run.shards(self),
            shard_size=self.shard_size or shard_size(self.plan), method=search,
            stage=self.working, progress=run.progress,
        )  # fmt: skip
        read = {name: attacked.shards.column(name) for name in self.read}
        return Outcome(images, search.method, read, attacked.shards.wall_seconds)

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        if kind is ImageRow:
            yield image_columns(self.network.name, run.loaded(self), self.search.seed)

    @property
    def title(self) -> str:
        return f"attack {self.network.name}"

    @property
    def working(self) -> str:
        """How progress calls it."""
        return f"attacking {self.network.name}"


@dataclass(frozen=True)
class Summary(Stage):
    """What the examples found for a network come to."""

    name: ClassVar[str] = "summary"
    network: Network
    examples: Examples

    def compute(self, run: Run) -> Made:
        """A row of the table."""
        outcome = run.loaded(self.examples)
        return Made(
            tuple(
                summary(self.network.name, self.network.model, outcome, self.examples.search.seed)
            )
        )


@dataclass(frozen=True)
class Pictures(Stage):
    """The first of the examples for the report, or every one as an 8-bit PNG file."""

    name: ClassVar[str] = "pictures"
    network: Network
    examples: Examples
    save_all: bool = False

    def compute(self, run: Run) -> Made:
        """Files."""
        outcome = run.loaded(self.examples)
        write_gallery(run.folder, self.network.name, self.network.model, outcome)
        if self.save_all:
            write_pngs(run.folder / "pictures", outcome)
        return Made()
