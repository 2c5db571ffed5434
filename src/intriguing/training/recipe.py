"""From a recipe and images to a trained network: the one way the paper's networks are made."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.keys import APART, derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.family import find_trainable
from intriguing.models.pretraining import PEN_STROKES, Sparsity
from intriguing.models.requirements import check_classifier
from intriguing.models.schedule import Schedule
from intriguing.training.classifier import train_classifier
from intriguing.training.decay import Convention
from intriguing.training.draws import drawing_from
from intriguing.training.lbfgs import UNTIL_CONVERGED, LBFGSConfig
from intriguing.training.minibatch import Extra, train_minibatch
from intriguing.training.pretraining import pretrain
from intriguing.training.report import TrainingReport

# An autoencoder has so many weights that a hundred pairs of them would fill half a gigabyte.
AUTOENCODER_STOP = LBFGSConfig(history=20)
_SAVE_EVERY = 5
"""Epochs between checkpoints of a hardened training, whose pools are as large as the data."""

Hardening: TypeAlias = Callable[[nn.Module, Tensor, Tensor], Extra | None]
"""What is added to the loss of a network, once it, its images and their labels are at hand."""


@dataclass(frozen=True)
class Recipe:
    """Everything about a network's training but the images and the seed.

    Attributes:
        name: As the paper writes it, "FC10(10^-4)".
        slug: The name of its files.
        architecture: As `build_network` reads it.
        decay: One λ for each layer that is trained as a classifier.
        convention: How λ and Σ w² make the penalty.
        gain: Scale of the initial weights, where the family has one (`Family.initialise`).
        stop: When the classifier has converged.
        schedule: If there is one, the classifier is trained by minibatches to it, not by L-BFGS.
        sparsity: The objective of what is learned without labels first, if anything is.
        autoencoder_stop: When that has converged.
    """

    name: str = field(metadata=APART)
    slug: str = field(metadata=APART)
    architecture: str
    decay: tuple[float, ...]
    convention: Convention = "half"
    gain: float = 2.0
    stop: LBFGSConfig = UNTIL_CONVERGED
    schedule: Schedule | None = None
    sparsity: Sparsity = PEN_STROKES
    autoencoder_stop: LBFGSConfig = AUTOENCODER_STOP


def train_network(
    recipe: Recipe,
    data: ImageSet,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    harden: Hardening | None = None,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[nn.Module, TrainingReport]:
    """Train a network of a family (§4.2: to convergence); it comes back in evaluation mode.

    Args:
        recipe: Which network, and how.
        data: The training set.
        seed: Of the initial weights, of the images that are learned from without labels, and of
            all that is drawn for minibatches.
        device: Where to train; the model stays there.
        dtype: Of the weights.
        harden: Makes what the loss has besides (`intriguing.hardening`); of recipes with a
            schedule only.
        checkpoint: A .safetensors file to keep the state in and to continue from; what is learned
            without labels has a second one beside it.
        progress: Called after each chunk of iterations, or some ten times an epoch.

    Raises:
        InputError: If the recipe does not fit the images, or the checkpoint is another training's.
    """
    family = find_trainable(recipe.architecture)
    with drawing_from(seed):
        model = family.make(recipe.architecture, tuple(data.images.shape[1:]))
    _check(recipe, model, data, harden)
    model = model.to(device=device, dtype=dtype)
    # Cloned, as BLAS sums in another order where memory is not aligned as torch aligns it.
    images = data.images.to(device, dtype).clone(memory_format=torch.contiguous_format)
    labels = data.labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    identity = f"{recipe.name}, seed {seed}: {derive_key(recipe, seed, dtype, data.sha256)}"
    first = family.pretraining(model, generator, recipe.sparsity)
    pretraining = None
    if first is not None:
        pretraining = pretrain(
            first, data, generator, recipe.autoencoder_stop, identity=identity,
            checkpoint=checkpoint and checkpoint.with_suffix(f".autoencoder{checkpoint.suffix}"),
            progress=progress,
        )  # fmt: skip
    with torch.no_grad():
        images = family.inputs(model, images)
    trained = family.head(model)
    family.initialise(trained, generator, recipe.gain)
    if recipe.schedule is None:
        train = partial(train_classifier, config=recipe.stop)
    else:
        extra = None if harden is None else harden(trained, images, labels)
        train = partial(
            train_minibatch, schedule=recipe.schedule, seed=seed, extra=extra,
            save_every=1 if extra is None else _SAVE_EVERY,
        )  # fmt: skip
    with drawing_from(seed, device):
        report = train(
            trained, images, labels, recipe.decay, convention=recipe.convention, identity=identity,
            checkpoint=checkpoint, stage=f"training {recipe.name}", progress=progress,
        )  # fmt: skip
    return model.eval(), replace(report, pretraining=pretraining)


def _check(recipe: Recipe, model: nn.Module, data: ImageSet, harden: Hardening | None) -> None:
    if harden is not None and recipe.schedule is None:
        raise InputError(
            f"{recipe.name} is trained by L-BFGS on the whole set, which no pool fits in; give the "
            "recipe a schedule"
        )
    classes = check_classifier(model.eval(), data.images[:1])
    model.train()
    if classes < data.classes:
        raise InputError(
            f"{recipe.name} has {classes} classes but {data.name} has {data.classes}; "
            f"choose an architecture that ends in {data.classes}"
        )
