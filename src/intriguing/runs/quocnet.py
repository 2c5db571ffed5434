"""The stage that trains a QuocNet: without labels, then a linear classifier of one class."""

from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch.distributed as dist

from intriguing.data.dataset import ImageSet
from intriguing.data.patches import Patches
from intriguing.errors import InputError
from intriguing.keys import APART
from intriguing.measures import ProgressCallback
from intriguing.models.families.quocnet import QuocNetClassifier, QuocNetConfig
from intriguing.models.weights import read_model, save_model
from intriguing.runs.provenance import record_model
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Trained
from intriguing.training.engines import Engine
from intriguing.training.quocnet import Plan, train_unsupervised, with_classifier
from intriguing.training.report import TrainingReport
from intriguing.training.sharded_checkpoint import remove_sharded

POINTS = 50
"""Of each stage's objective that a record keeps, evenly spaced: a curve needs no more."""


@dataclass(frozen=True)
class QuocNetTraining(Trained):
    """A QuocNet from nothing to a classifier; a training that was interrupted goes on.

    With torchrun every process computes it, inside `engines.processes`; the first one writes.

    Attributes:
        called: What tables call it.
        file_name: What its files are called.
        config: The size.
        plan: Steps, λ, classifier.
        patches: What it learns from without labels; apart, as a file of them may be huge:
        seen: their fingerprint counts.
        classified: What the classifier learns from.
        seed: Of the weights and all draws.
        device: Where.
        number: Always 0: there is no other of its name.
        engine: How processes share the work; apart, because all train alike.
    """

    called: str
    file_name: str
    config: QuocNetConfig
    plan: Plan
    patches: Patches = field(metadata=APART)
    seen: str
    classified: ImageSet
    seed: int
    device: str = "cpu"
    engine: Engine = field(default="alone", metadata=APART)
    number: int = 0

    def compute(self, run: Run) -> Made:
        """Its record; the weights are in a file."""
        kept = run.folder / "models" / f"{self.slug}.checkpoints"
        told = _called(run.progress, self.called)
        network, reports = train_unsupervised(
            self.config, self.patches, self.plan, self.seed, engine=self.engine,
            device=self.device, folder=kept, progress=told,
        )  # fmt: skip
        if dist.is_initialized() and dist.get_rank():
            return Made()
        model, report, decay = with_classifier(
            network, self.classified.images, self.classified.labels, self.plan, self.seed,
            progress=told,
        )  # fmt: skip
        settings = {"data": self.classified.name, "seed": self.seed, "decay": decay}
        save_model(self.file(run), model, model.describe(), settings)
        for used in kept.glob("stage*"):
            remove_sharded(used)
        said = {
            "stages": [asdict(_short(one)) for one in reports], "decay": decay,
            "classifier": asdict(replace(report, history=())),
        }  # fmt: skip
        seconds = sum(one.wall_seconds for one in (*reports, report))
        record = record_model(self.called, model, self.seed, training=said)
        return Made(models=(record,), seconds=seconds)

    def load(self, run: Run) -> QuocNetClassifier:
        """The network in evaluation mode."""
        return load_classifier(self.file(run), self.config, self.device)

    @property
    def slug(self) -> str:
        return self.file_name


def load_classifier(path: Path, config: QuocNetConfig, device: str) -> QuocNetClassifier:
    """A saved network.

    Raises:
        InputError: If the file holds another architecture.
    """
    weights, architecture, _ = read_model(path)
    model = QuocNetClassifier(config)
    if architecture != model.describe():
        raise InputError(f"{path} holds {architecture}, not {model.describe()}")
    model.load_state_dict(weights)
    return model.to(device).eval()


def _short(report: TrainingReport) -> TrainingReport:
    return replace(report, history=report.history[:: max(1, len(report.history) // POINTS)])


def _called(progress: ProgressCallback | None, name: str) -> ProgressCallback | None:
    if progress is None:
        return None
    return lambda told: progress(replace(told, stage=f"{name}: {told.stage}"))
