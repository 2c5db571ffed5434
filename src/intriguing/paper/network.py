"""One network of the reproduction from its training set to its adversarial examples."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import DataPair
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.load import load_model
from intriguing.models.weights import read_model, save_model
from intriguing.paper.config import Job, ReproduceConfig, Scale, draw
from intriguing.results.schema import ModelRecord, Stage
from intriguing.runs.provenance import record_model
from intriguing.scale.attack import Attacked, attack_in_shards
from intriguing.training.recipe import Recipe, train_network
from intriguing.transfer.matrix import count_errors


@dataclass(frozen=True)
class Sets:
    """The images of one seed: P1 and P2 are its random halves of the training set.

    attacked: the "train" and "test" images to distort; all of them, unless the scale has a limit.
    """

    train: ImageSet
    test: ImageSet
    p1: ImageSet
    p2: ImageSet
    attacked: Mapping[str, ImageSet]

    def training(self, job: Job) -> ImageSet:
        """What the job's network learns from."""
        return {"train": self.train, "P1": self.p1, "P2": self.p2}[job.trained_on]


@dataclass(frozen=True)
class Network:
    """A job done: the model in evaluation mode, its record, what it cost, and its examples."""

    job: Job
    model: nn.Module
    record: ModelRecord
    stages: tuple[Stage, ...]
    attacked: Attacked | None


def split_sets(scale: Scale, data: DataPair, seed: int) -> Sets:
    """The images of one seed."""
    generator = torch.Generator().manual_seed(draw("split", data.name, seed))
    p1, p2 = data.train.split(scale.split, generator)
    attacked = {"train": data.train, "test": data.test}
    if scale.limit is not None:
        attacked = {name: images.first(scale.limit) for name, images in attacked.items()}
    return Sets(data.train, data.test, p1, p2, attacked)


def make_network(
    job: Job,
    sets: Sets,
    scale: Scale,
    config: ReproduceConfig,
    folder: Path,
    progress: ProgressCallback | None = None,
) -> Network:
    """Train the job's network and attack it; what `folder` holds of either is not done again."""
    training = sets.training(job)
    recipe = shortened(job.recipe, scale.max_iterations)
    model, report = trained(job, recipe, training, folder, config.device, progress)
    errors = {
        name: count_errors({"": model}, [(images.images, images.labels)])[""].rate
        for name, images in (("train_error", training), ("test_error", sets.test))
    }
    record = record_model(job.label, model, job.seed, training=report, **errors)
    stages = [_training_stage(job, recipe, report, len(training))]
    attacked = None
    if job.attacked_on is not None:
        images = sets.attacked[job.attacked_on]
        attacked = attack_in_shards(
            model,
            images,
            attack_targets(job, images),
            folder / "shards" / job.key,
            shard_size=config.images_per_shard,
            method="paper",
            config=config.attack,
            stage=f"attack {job.title}",
            progress=progress,
        )
        passes = (attacked.forward_passes.sum().item(), attacked.backward_passes.sum().item())
        seconds = attacked.shards.wall_seconds
        stages.append(Stage(f"attack {job.title}", seconds, int(passes[0]), int(passes[1])))
    return Network(job, model, record, tuple(stages), attacked)


def trained(
    job: Job,
    recipe: Recipe,
    data: ImageSet,
    folder: Path,
    device: str,
    progress: ProgressCallback | None = None,
) -> tuple[nn.Module, dict[str, Any]]:
    """The job's network in evaluation mode, and its training report as JSON-able values.

    It is read from folder/models when this very training has finished before, goes on from its
    checkpoint when it was interrupted, and starts otherwise.
    """
    path = folder / "models" / f"{job.key}.safetensors"
    key = derive_key(recipe, job.draw("training"), data.sha256, device)
    report = _finished(path, key)
    if report is None:
        model, outcome = train_network(
            recipe,
            data,
            job.draw("training"),
            device=device,
            checkpoint=path.with_suffix(".checkpoint"),
            progress=_renamed(progress, f"train {job.title}"),
        )
        report = asdict(outcome)
        save_model(path, model, recipe.architecture, {"key": key, "report": report})
    for used in (".checkpoint", ".autoencoder.checkpoint"):
        path.with_suffix(used).unlink(missing_ok=True)
    return load_model(path).to(device), report


def attack_targets(job: Job, images: ImageSet) -> Int64[Tensor, " image"]:
    """A random wrong class for every image of a whole set, drawn for this network alone."""
    generator = torch.Generator().manual_seed(job.draw("targets"))
    return choose_targets(images.labels, images.classes, generator)


def shortened(recipe: Recipe, iterations: int | None) -> Recipe:
    """The recipe with at most so many iterations, or one epoch; None leaves it."""
    if iterations is None:
        return recipe
    return replace(
        recipe,
        stop=replace(recipe.stop, max_iterations=iterations),
        schedule=recipe.schedule and recipe.schedule.shortened,
        autoencoder_stop=replace(recipe.autoencoder_stop, max_iterations=iterations),
    )


def _finished(path: Path, key: str) -> dict[str, Any] | None:
    """The report of the finished training in `path`; None if there is none, or another's."""
    if not path.exists():
        return None
    try:
        _, _, metadata = read_model(path)
    except InputError:
        return None
    if metadata.get("key") != key:
        return None
    report: dict[str, Any] = metadata["report"]
    return report


def _renamed(progress: ProgressCallback | None, stage: str) -> ProgressCallback | None:
    """Progress under a stage name that no other network's training has."""
    if progress is None:
        return None

    def report(step: Progress) -> None:
        part = " (autoencoder)" if "autoencoder" in step.stage else ""
        progress(replace(step, stage=stage + part))

    return report


def _training_stage(job: Job, recipe: Recipe, report: dict[str, Any], images: int) -> Stage:
    """Time and passes of a training, its interruptions added up by its report."""
    before = report["pretraining"] or {"wall_seconds": 0.0, "evaluations": 0}
    passes = report["evaluations"] * images
    passes += before["evaluations"] * min(images, recipe.sparsity.images)
    seconds = report["wall_seconds"] + before["wall_seconds"]
    return Stage(f"train {job.title}", seconds, passes, passes)
