"""What a reproduction would run, and how long it would take: measured on a few images and steps."""

import time
from dataclasses import dataclass, replace

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.distortion.minimum import minimum_distortion
from intriguing.measures import Progress, ProgressCallback
from intriguing.paper.config import SCALES, Job, ReproduceConfig, jobs
from intriguing.paper.network import Sets, split_sets
from intriguing.training.recipe import Recipe, train_network
from intriguing.training.report import TrainingReport

IMAGES, ATTACKED, ITERATIONS = 1000, 64, 20

EVALUATIONS = {"fc10": 330, "fc": 560, "ae": 560}
"""Passes over the data until a training converges, as seen at both scales."""


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
    sets = split_sets(scale, load_data(scale.data, config.data_root, progress), 0)
    planned: list[Planned] = []
    speeds: dict[str, tuple[float, float]] = {}
    todo = jobs(config)
    for done, job in enumerate(todo):
        if job.recipe.slug not in speeds:
            speeds[job.recipe.slug] = _speeds(job.recipe, sets.train, config)
        planned.append(_planned(job, sets, *speeds[job.recipe.slug]))
        if progress is not None:
            progress(Progress("probing", done + 1, len(todo)))
    return planned


def _planned(job: Job, sets: Sets, training: float, attack: float) -> Planned:
    learned = len(sets.training(job))
    attacked = len(sets.attacked[job.attacked_on]) if job.attacked_on else 0
    return Planned(job.title, learned, attacked, training * learned + attack * attacked)


def _speeds(recipe: Recipe, train: ImageSet, config: ReproduceConfig) -> tuple[float, float]:
    """Seconds to train an image to the end, and to attack one."""
    few = train.first(IMAGES)
    stop = replace(recipe.stop, max_iterations=ITERATIONS, chunk=ITERATIONS)
    short = replace(recipe, stop=stop, autoencoder_stop=stop)
    model, report = train_network(short, few, device=config.device)
    limit = SCALES[config.scale].max_iterations
    kind = recipe.architecture if recipe.architecture in EVALUATIONS else recipe.architecture[:2]
    evaluations = min(EVALUATIONS[kind], limit or EVALUATIONS[kind])
    training = evaluations * (_per_image(report) + _per_image(report.pretraining))
    images = few.first(ATTACKED)
    start = time.perf_counter()
    minimum_distortion(model, images.images, images.labels, config=config.attack)
    if torch.device(config.device).type == "cuda":
        torch.cuda.synchronize()
    return training, (time.perf_counter() - start) / len(images)


def _per_image(report: TrainingReport | None) -> float:
    if report is None or not report.evaluations:
        return 0.0
    return report.wall_seconds / report.evaluations / IMAGES
