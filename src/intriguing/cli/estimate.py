"""What a reproduction would run, and how long it would take: measured on a few images and steps."""

import time
from dataclasses import dataclass, replace

from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.measures import Progress, ProgressCallback
from intriguing.paper.config import ReproduceConfig
from intriguing.paper.materials import Materials
from intriguing.paper.reproduce import stages_of
from intriguing.runs.examples import Examples
from intriguing.runs.training import Training
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.recipe import Recipe, train_network
from intriguing.training.report import TrainingReport

BOUND = 60.0
"""Seconds of processor time that the bounds of AlexNet's layers take."""

IMAGES, ATTACKED, ITERATIONS = 1000, 128, 20
"""What a network is probed with: a second or two of a core, at the cost an image has later."""

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
    stages = stages_of(Materials(config, progress))
    attacked = {one.network.slug: one for one in stages if isinstance(one, Examples)}
    todo = [one for one in stages if isinstance(one, Training)]
    planned: list[Planned] = []
    speeds: dict[str, Speeds] = {}
    for done, training in enumerate(todo):
        attack = attacked.get(training.slug)
        known = training.recipe.slug
        if known not in speeds:
            speeds[known] = _speeds(training, attack)
        planned.append(_planned(training, attack, speeds[known]))
        if progress is not None:
            progress(Progress("probing", done + 1, len(todo)))
    bounds = [Planned("AlexNet (Table 5)", 0, 0, BOUND)] if "table5" in config.items else []
    return planned + bounds


def _planned(training: Training, attack: Examples | None, speeds: Speeds) -> Planned:
    learned, attacked = len(training.images), len(attack.plan.images) if attack else 0
    seconds = (
        speeds.train * learned
        + speeds.pretrain * min(learned, training.recipe.sparsity.images)
        + speeds.attack * attacked
    )
    return Planned(training.about, learned, attacked, seconds)


def _speeds(training: Training, attack: Examples | None) -> Speeds:
    few, recipe = training.images.first(IMAGES), training.recipe
    stop = replace(recipe.stop, max_iterations=ITERATIONS, chunk=ITERATIONS)
    schedule = recipe.schedule and recipe.schedule.shortened
    short = replace(recipe, stop=stop, autoencoder_stop=stop, schedule=schedule)
    model, report = train_network(short, few, device=training.device)
    return Speeds(
        train=_training(report, _passes(recipe), len(few)),
        pretrain=_training(
            report.pretraining, _until("autoencoder", recipe.autoencoder_stop), len(few)
        ),
        attack=_attack(model, few.first(ATTACKED), attack) if attack else 0.0,
    )


def _attack(model: nn.Module, images: ImageSet, attack: Examples) -> float:
    start = time.perf_counter()
    minimum_distortion(model, images.images, images.labels, method=attack.search)
    return (time.perf_counter() - start) / len(images)


def _passes(recipe: Recipe) -> int:
    """How often the classifier's training will pass over the data."""
    if recipe.schedule is not None:
        return recipe.schedule.epochs
    return _until("sigmoid" if len(recipe.decay) > 1 else "softmax", recipe.stop)


def _until(kind: str, stop: LBFGSConfig) -> int:
    return min(EVALUATIONS[kind], stop.max_iterations)


def _training(report: TrainingReport | None, passes: int, images: int) -> float:
    if report is None or not report.evaluations:
        return 0.0
    return passes * report.wall_seconds / report.evaluations / images
