"""Stages that train a network by a recipe, and that attack it; whoever names them needs them."""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.search import Search
from intriguing.estimates import Rows
from intriguing.hardening.hardened import Hardened
from intriguing.keys import APART
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.initial import weight_layers
from intriguing.models.load import load_model
from intriguing.models.weights import save_model
from intriguing.results.rows import Condition, ImageRow, Metric, Row
from intriguing.results.store import write_tensors
from intriguing.runs.attacking import Outcome
from intriguing.runs.examples import image_columns
from intriguing.runs.provenance import record_model
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.scale.attack import Attacked, Goals, attack_in_shards
from intriguing.training.recipe import Recipe, train_network
from intriguing.training.report import TrainingReport
from intriguing.transfer.matrix import count_errors


@dataclass(frozen=True)
class Training(Stage):
    """A network from its recipe to its file; a training that was interrupted goes on.

    Attributes:
        called: What tables call the network; trainings with other seeds are called the same.
        number: Which of these it is.
        recipe: Which network, and how.
        images: What it learns from.
        seed: Of all that is drawn.
        device: Where it is trained, and asked later.
        hardened: What its loss has besides.
        judged: Sets by which its errors are measured; the record's `train_error` and `test_error`.
    """

    name: ClassVar[str] = "train"
    apart: ClassVar[bool] = True
    called: str
    number: int
    recipe: Recipe
    images: ImageSet
    seed: int
    device: str = "cpu"
    hardened: Hardened = field(default_factory=Hardened)
    judged: Mapping[str, ImageSet] = field(default_factory=dict)

    def compute(self, run: Run) -> Made:
        """Its record, with its errors; the weights are in a file."""
        path = self.file(run)
        checkpoint = path.with_suffix(".checkpoint")
        model, report = train_network(
            self.recipe, self.images, self.seed, device=self.device,
            harden=self.hardened.extra(self.seed), checkpoint=checkpoint,
            progress=_called(run.progress, self.title),
        )  # fmt: skip
        settings = {"data": self.images.name, "seed": self.seed, "decay": list(self.recipe.decay)}
        save_model(path, model, self.recipe.architecture, settings)
        for used in (checkpoint, path.with_suffix(".autoencoder.checkpoint")):
            used.unlink(missing_ok=True)
        errors = {
            name: count_errors({"": model}, [(images.images, images.labels)])[""].rate
            for name, images in self.judged.items()
        }
        record = record_model(self.called, model, self.number, training=asdict(report), **errors)
        passes, seconds = self._spent(report)
        return Made(models=(record,), passes=(passes, passes), seconds=seconds)

    def load(self, run: Run) -> nn.Module:
        """The network in evaluation mode."""
        return load_model(self.file(run)).to(self.device)

    def file(self, run: Run) -> Path:
        """Where its weights are."""
        return run.folder / "models" / f"{self.slug}.safetensors"

    @property
    def slug(self) -> str:
        """Of the names of its files."""
        return self.recipe.slug + (f"-seed{self.number}" if self.number else "")

    @property
    def about(self) -> str:
        return self.called + (f", seed {self.number}" if self.number else "")

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.slug

    @property
    def title(self) -> str:
        return f"{self.name} {self.about}"

    def _spent(self, report: TrainingReport) -> tuple[int, float]:
        """Passes and seconds, interruptions and what was learned without labels added up."""
        passes, seconds = report.evaluations * len(self.images), report.wall_seconds
        if (before := report.pretraining) is not None:
            passes += before.evaluations * min(len(self.images), self.recipe.sparsity.images)
            seconds += before.wall_seconds
        return passes, seconds


@dataclass(frozen=True)
class TrainedAttack(Stage):
    """The nearest adversarial example of every image for a network that was trained here.

    Attributes:
        network: Its training.
        images: What is attacked.
        targets: As `attack_in_shards` takes them.
        search: How.
        shard_size: Images between two saves; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "attack"
    network: Training
    images: ImageSet
    targets: Goals
    search: Search
    shard_size: int = field(default=2000, metadata=APART)

    def compute(self, run: Run) -> Made:
        """What it cost; the examples are in shards."""
        found: Attacked = run.loaded(self)
        passes = int(found.forward_passes.sum()), int(found.backward_passes.sum())
        return Made(passes=passes, seconds=found.shards.wall_seconds)

    def load(self, run: Run) -> Attacked:
        """The examples, which stay on disk, searched as far as they are not there."""
        return attack_in_shards(
            run.model(self.network), self.images, self.targets, run.shards(self),
            shard_size=self.shard_size, method=self.search, engine=run.engine,
            stage=self.title, progress=run.progress,
        )  # fmt: skip

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image, a shard in memory at a time."""
        if kind is ImageRow:
            for images, columns in run.loaded(self).parts():
                part = Outcome(images, self.search.method, columns, 0.0)
                yield image_columns(self.network.called, part, self.network.number)

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.network.slug

    @property
    def title(self) -> str:
        return f"{self.name} {self.network.about}"


@dataclass(frozen=True)
class Errors(Stage):
    """How often a trained network errs, on each of several sets.

    Attributes:
        network: Its training.
        sets: The images, by what tables call the set.
        seed: Of the training.
    """

    name: ClassVar[str] = "errors"
    question: ClassVar[str] = "How often does it err?"
    network: Stage
    sets: Mapping[str, ImageSet]
    seed: int

    def compute(self, run: Run) -> Made:
        """A row a set."""
        model = run.model(self.network)
        rows = Rows("train", network=self.about, condition=Condition.CLEAN, seed=self.seed)
        for which, images in self.sets.items():
            error = count_errors({"": model}, [(images.images, images.labels)])[""]
            rows.share(Metric.ERROR, error.count, error.total, images=which)
        return Made(tuple(rows.made), passes=(sum(map(len, self.sets.values())), 0))


@dataclass(frozen=True)
class Filters(Stage):
    """What the units of the first layer look for, where their weights are squares of one channel.

    Attributes:
        network: Its training.
        words: The picture's title.
    """

    name: ClassVar[str] = "filters"
    question: ClassVar[str] = "What do the units of the first layer look for?"
    network: Stage
    words: str

    def compute(self, run: Run) -> Made:
        """A file of tensors."""
        weights = weight_layers(run.model(self.network))[0].weight.detach().cpu().float()
        side = round(weights[0].numel() ** 0.5)
        if side**2 == weights[0].numel():
            filters = weights.view(-1, side, side).numpy()
            words = {"kind": "filters", "title": self.words}
            write_tensors(run.folder, "filters", {"filters": filters}, words)
        return Made()


def _called(progress: ProgressCallback | None, title: str) -> ProgressCallback | None:
    """Progress under a name that no other network's training has."""
    if progress is None:
        return None

    def report(step: Progress) -> None:
        part = " (autoencoder)" if "autoencoder" in step.stage else ""
        progress(replace(step, stage=title + part))

    return report
