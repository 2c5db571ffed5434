"""Stages that train a network by a recipe, and that say how it errs and what it looks for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar

import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.estimates import Rows
from intriguing.hardening.hardened import Hardened
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.family import find_trainable
from intriguing.models.initial import weight_layers
from intriguing.models.load import load_model
from intriguing.models.pass_time import pass_seconds
from intriguing.models.weights import save_model
from intriguing.results.measured import Condition, Metric
from intriguing.results.store import write_tensors
from intriguing.runs.expecting import FEW
from intriguing.runs.provenance import record_model
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage, Trained
from intriguing.training.recipe import Recipe, train_network
from intriguing.training.report import TrainingReport
from intriguing.transfer.matrix import count_errors


@dataclass(frozen=True)
class Training(Trained):
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

    def expected(self, run: Run) -> float | None:
        """As many passes as there may be; unknown where it hardens, or learns without labels."""
        recipe, shape = self.recipe, tuple(self.images.images.shape[1:])
        family = find_trainable(recipe.architecture)
        model = family.make(recipe.architecture, shape).to(self.device)
        first = family.pretraining(model, torch.Generator(), recipe.sparsity)
        if first is not None or self.hardened:
            return None
        passes = recipe.schedule.epochs if recipe.schedule else recipe.stop.max_iterations
        each = pass_seconds(model.eval(), self.images.images[:FEW])
        return passes * len(self.images) * each

    def load(self, run: Run) -> nn.Module:
        """The network in evaluation mode."""
        return load_model(self.file(run)).to(self.device)

    @property
    def slug(self) -> str:
        return self.recipe.slug + (f"-seed{self.number}" if self.number else "")

    def _spent(self, report: TrainingReport) -> tuple[int, float]:
        """Passes and seconds, interruptions and what was learned without labels added up."""
        passes, seconds = report.evaluations * len(self.images), report.wall_seconds
        if (before := report.pretraining) is not None:
            passes += before.evaluations * min(len(self.images), self.recipe.sparsity.images)
            seconds += before.wall_seconds
        return passes, seconds


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
    network: Trained
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
    network: Trained
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
