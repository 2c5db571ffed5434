"""Stages that look for adversarial examples of one network, and what these come to."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.png import shown_as, write_png
from intriguing.distortion.result import Status, status_names
from intriguing.distortion.search import Search
from intriguing.estimates import Rows
from intriguing.keys import APART
from intriguing.models.classifier import Classifier
from intriguing.names import file_name
from intriguing.results.measured import Condition, Measurement, Metric
from intriguing.results.rows import ImageRow, Row
from intriguing.results.store import write_tensors
from intriguing.runs.attacking import Plan, shard_size
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage, Trained
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.transfer.matrix import count_errors

GALLERY = 8
PIECE = 50_000
"""Rows of images that are put together at a time."""


@dataclass(frozen=True)
class Examples(Stage):
    """The nearest adversarial example of every image for one network, by one search.

    Attributes:
        network: Whom the examples are to fool; given, or trained by a stage.
        plan: The images, and what each is to be taken for.
        search: How.
        shard_size: Images between two saves; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "examples"
    network: Network | Trained
    plan: Plan
    search: Search
    shard_size: int | None = field(default=None, metadata=APART)

    def __post_init__(self) -> None:
        # What the method takes where nothing is said is asked for, too.
        object.__setattr__(self, "search", self.search.complete)

    def compute(self, run: Run) -> Made:
        """What it cost; the examples are in shards."""
        found: Attacked = run.loaded(self)
        return Made(passes=found.passes, seconds=found.wall_seconds)

    def load(self, run: Run) -> Attacked:
        """The examples, which stay on disk, searched in shards as far as they are not there."""
        return attack_in_shards(
            run.model(self.network), self.plan.images, self.plan.targets, run.shards(self),
            shard_size=self.shard_size or shard_size(self.plan), method=self.search,
            engine=run.engine, stage=self.title, progress=run.progress,
        )  # fmt: skip

    def columns(self, run: Run, kind: type[Row]) -> Iterator[Mapping[str, Any]]:
        """A row an image."""
        if kind is not ImageRow:
            return
        network = self.network
        seed = network.number if isinstance(network, Trained) else self.search.seed
        for images, columns in run.loaded(self).rows(PIECE):
            yield image_columns(network.called, self.search.method, images, columns, seed)

    @property
    def identity(self) -> tuple[str, ...]:
        return self.name, self.network.slug

    @property
    def title(self) -> str:
        return f"attack {self.about}"


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


def summary(name: str, model: nn.Module, outcome: Attacked, seed: int) -> list[Measurement]:
    """Of one network: its error before, how many it fooled, how far away, how surely."""
    images, total = outcome.images, len(outcome)
    before = count_errors({name: model}, ((b.images, b.labels) for b in images.batches(1000)))[name]
    rows = Rows("attack", network=name, seed=seed)
    rows.share(Metric.ERROR, before.count, before.total, condition=Condition.CLEAN)
    rows.share(Metric.FOOLED, int(outcome.columns["success"].sum()), total)
    rows.mean(Metric.MEAN_DISTORTION, "distortion", outcome.sizes, total)
    rows.median(Metric.MEDIAN_DISTORTION, "distortion", outcome.sizes, total)
    rows.mean(Metric.PASSES, "passes", outcome.cost, total)
    add_certainty(rows, outcome)
    return rows.made


def add_certainty(rows: Rows, outcome: Attacked) -> None:
    """How many answers are proved optimal, where a gap is known; else how far from stationary.

    An image that is adversarial as it is, at distance 0, needs no other proof.
    """
    found = outcome.columns["success"]
    if bool(outcome.columns["gap"].isfinite().any()):
        status = outcome.columns["status"]
        proved = (status == int(Status.OPTIMAL)) | (status == int(Status.ALREADY))
        rows.share(Metric.PROVED, int(proved.sum()), len(outcome))
    local = outcome.columns["local_gap"][found]
    rows.median(Metric.LOCAL_GAP, "gap", local[~local.isnan()], len(outcome))


def image_columns(
    name: str, method: str, images: ImageSet, columns: Mapping[str, Tensor], seed: int
) -> dict[str, Any]:
    """Columns of `ImageRow`."""
    lost = ~columns["success"]
    numbers = ("distortion", "l2", "c", "gap", "local_gap")
    whole = ("success", "forward_passes", "backward_passes")
    return {
        "network": name,
        "seed": seed,
        "method": method,
        "image_id": list(images.ids),
        "label": images.labels.numpy(),
        "target": columns["targets"].numpy(),
        "status": status_names(columns["status"]),
        **{key: columns[key].masked_fill(lost, torch.nan).numpy() for key in numbers},
        **{key: columns[key].numpy() for key in whole},
    }


@torch.no_grad()
def write_gallery(folder: Path, name: str, model: nn.Module, outcome: Attacked) -> None:
    """The first images for which one was found: original and adversarial, for the report."""
    rows = outcome.columns["success"].nonzero()[:GALLERY, 0]
    if not len(rows):
        return
    adversarial = outcome.columns["adversarial"][rows]
    says = Classifier.of(model).each(adversarial).argmax(1).tolist()
    names = outcome.images.class_names
    labels = outcome.images.labels[rows].tolist()
    words = [
        f"{names[label]} → {names[said] if said < len(names) else said}"
        for label, said in zip(labels, says, strict=True)
    ]
    tensors = {
        "original": shown_as(outcome.images.images[rows]).float().numpy(),
        "distorted": shown_as(adversarial).float().numpy(),
    }
    metadata = {"kind": "gallery", "title": f"{name}: the first images", "words": json.dumps(words)}
    write_tensors(folder, file_name("gallery", name), tensors, metadata)


def write_pngs(folder: Path, outcome: Attacked) -> None:
    """Every adversarial image as an 8-bit PNG under its id, to be read back without any change."""
    for row in outcome.columns["success"].nonzero()[:, 0].tolist():
        target = int(outcome.columns["targets"][row])
        path = folder / f"{file_name(outcome.images.ids[row])}-as-{target}.png"
        write_png(path, outcome.columns["adversarial"][row])
