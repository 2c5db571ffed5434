"""What a reproduction would run, and how long it would take: measured on a few images and steps."""

import time
from dataclasses import dataclass, replace

from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.measures import Progress, ProgressCallback
from intriguing.paper.config import SCALES, Job, ReproduceConfig, jobs
from intriguing.paper.network import Sets, split_sets
from intriguing.training.recipe import Recipe, train_network
from intriguing.training.report import TrainingReport

BOUND = 60.0
"""Seconds of processor time that the bounds of AlexNet's layers take."""

IMAGES, ATTACKED, ITERATIONS = 1000, 128, 20

EVALUATIONS = {"softmax": 150, "sigmoid": 450, "autoencoder": 400}
"""Passes over the data until a training converges, about what both scales need."""


@dataclass(frozen=True)
class Speeds:
    """Seconds an image: to train to the end, to pretrain an autoencoder, and to attack."""

    train: float
    pretrain: float
    attack: float


@dataclass(frozen=True)
class Planned:
    """One network of the plan: what is done for it, and about how many seconds it takes."""

    title: str
    trained_on: int
    attacked_on: int
    seconds: float


def plan(config: ReproduceConfig, progress: ProgressCallback | None = None) -> list[Planned]:
    """The networks a run would train and attack; each architecture is probed once.

    Raises:
        InputError: If the data cannot be had.
    """
    scale = SCALES[config.scale]
    bounds = [Planned("AlexNet (Table 5)", 0, 0, BOUND)] if "table5" in config.items else []
    todo = jobs(config)
    if not todo:
        return bounds
    sets = split_sets(scale, load_data(scale.data, config.data_root, progress), 0)
    planned: list[Planned] = []
    speeds: dict[str, Speeds] = {}
    for done, job in enumerate(todo):
        if job.recipe.slug not in speeds:
            speeds[job.recipe.slug] = _speeds(job, sets.train, config)
        planned.append(_planned(job, sets, speeds[job.recipe.slug]))
        if progress is not None:
            progress(Progress("probing", done + 1, len(todo)))
    return planned + bounds


def _planned(job: Job, sets: Sets, speeds: Speeds) -> Planned:
    learned = len(sets.training(job))
    attacked = len(sets.attacked[job.attacked_on]) if job.attacked_on else 0
    seconds = (
        speeds.train * learned
        + speeds.pretrain * min(learned, job.recipe.sparsity.images)
        + speeds.attack * attacked
    )
    return Planned(job.title, learned, attacked, seconds)


def _speeds(job: Job, train: ImageSet, config: ReproduceConfig) -> Speeds:
    few, recipe = train.first(IMAGES), job.recipe
    stop = replace(recipe.stop, max_iterations=ITERATIONS, chunk=ITERATIONS)
    schedule = recipe.schedule and recipe.schedule.shortened
    short = replace(recipe, stop=stop, autoencoder_stop=stop, schedule=schedule)
    model, report = train_network(short, few, device=config.device)
    limit = SCALES[config.scale].max_iterations
    return Speeds(
        train=_training(report, _passes(recipe, limit)),
        pretrain=_training(report.pretraining, _until("autoencoder", limit)),
        attack=_attack(model, few.first(ATTACKED), config) if job.attacked_on else 0.0,
    )


def _attack(model: nn.Module, images: ImageSet, config: ReproduceConfig) -> float:
    start = time.perf_counter()
    minimum_distortion(model, images.images, images.labels, method="paper", config=config.attack)
    return (time.perf_counter() - start) / len(images)


def _passes(recipe: Recipe, limit: int | None) -> int:
    """How often the classifier's training will pass over the data."""
    if recipe.schedule is not None:
        return recipe.schedule.epochs if limit is None else 1
    return _until("sigmoid" if len(recipe.decay) > 1 else "softmax", limit)


def _until(kind: str, limit: int | None) -> int:
    return min(EVALUATIONS[kind], limit or EVALUATIONS[kind])


def _training(report: TrainingReport | None, passes: int) -> float:
    if report is None or not report.evaluations:
        return 0.0
    return passes * report.wall_seconds / report.evaluations / IMAGES
