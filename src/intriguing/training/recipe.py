"""From a recipe and images to a trained network: the one way the paper's networks are made."""

from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.autoencoder import AutoencoderClassifier, SparseAutoencoder
from intriguing.models.fully_connected import initialise
from intriguing.models.load import build
from intriguing.training.autoencoder import PEN_STROKES, Sparsity, train_autoencoder
from intriguing.training.classifier import train_classifier
from intriguing.training.decay import Convention
from intriguing.training.lbfgs import UNTIL_CONVERGED, LBFGSConfig
from intriguing.training.report import TrainingReport

# An autoencoder has so many weights that a hundred pairs of them would fill half a gigabyte.
AUTOENCODER_STOP = LBFGSConfig(history=20)


@dataclass(frozen=True)
class Recipe:
    """Everything about a network's training but the images and the seed.

    Attributes:
        name: As the paper writes it, "FC10(10^-4)".
        slug: The name of its files.
        architecture: As `build` reads it.
        decay: One λ for each layer that is trained as a classifier.
        convention: How λ and Σ w² make the penalty.
        gain: Scale of the initial weights, see `initialise`.
        stop: When the classifier has converged.
        sparsity: The objective of the autoencoder, if the architecture has one.
        autoencoder_stop: When the autoencoder has converged.
    """

    name: str
    slug: str
    architecture: str
    decay: tuple[float, ...]
    convention: Convention = "half"
    gain: float = 2.0
    stop: LBFGSConfig = UNTIL_CONVERGED
    sparsity: Sparsity = PEN_STROKES
    autoencoder_stop: LBFGSConfig = AUTOENCODER_STOP

    @property
    def essence(self) -> str:
        """All of it that decides the weights, and nothing else: what tells trainings apart."""
        essence = (
            f"{self.architecture} decay={self.decay} {self.convention} gain={self.gain} {self.stop}"
        )
        if self.architecture.startswith("ae"):
            essence += f" {self.sparsity} {self.autoencoder_stop}"
        return essence


def train_network(
    recipe: Recipe,
    data: ImageSet,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> tuple[nn.Module, TrainingReport]:
    """Train a network of the paper to convergence (§4.2); the model comes back in evaluation mode.

    Args:
        recipe: Which network, and how.
        data: The training set.
        seed: Of the initial weights, and of the images that the autoencoder learns from.
        device: Where to train; the model stays there.
        dtype: Of the weights.
        checkpoint: A .safetensors file to keep the state in and to continue from; an autoencoder
            has a second one beside it.
        progress: Called after each chunk of iterations.

    Raises:
        InputError: If the recipe does not fit the images, or the checkpoint is another training's.
    """
    model = build(recipe.architecture, pixels=data.images[0].numel())
    _check(recipe, data)
    model = model.to(device=device, dtype=dtype)
    # Cloned, as BLAS sums in another order where memory is not aligned as torch aligns it.
    images = data.images.to(device, dtype).flatten(1).clone()
    labels = data.labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    identity = f"{recipe.essence} seed={seed} {dtype} data={data.sha256}"
    pretraining = None
    trained: nn.Module = model
    if isinstance(model, AutoencoderClassifier):
        pretraining = _pretrain(model, recipe, data, generator, identity, checkpoint, progress)
        with torch.no_grad():
            images = model.encode(images)
        trained = model.softmax
    initialise(_linear_layers(trained), generator, recipe.gain)
    report = train_classifier(
        trained,
        images,
        labels,
        recipe.decay,
        recipe.stop,
        convention=recipe.convention,
        identity=identity,
        checkpoint=checkpoint,
        stage=f"training {recipe.name}",
        progress=progress,
    )
    return model.eval(), replace(report, pretraining=pretraining)


def _pretrain(
    model: AutoencoderClassifier,
    recipe: Recipe,
    data: ImageSet,
    generator: torch.Generator,
    identity: str,
    checkpoint: Path | None,
    progress: ProgressCallback | None,
) -> TrainingReport:
    """Train a sparse autoencoder and move its encoding half into `model`."""
    like = model.encoder.weight
    autoencoder = SparseAutoencoder(model.encoder.in_features, model.encoder.out_features)
    autoencoder.to(like.device, like.dtype)
    report = train_autoencoder(
        autoencoder,
        data,
        generator,
        recipe.sparsity,
        recipe.autoencoder_stop,
        identity=identity,
        checkpoint=checkpoint and checkpoint.with_suffix(f".autoencoder{checkpoint.suffix}"),
        progress=progress,
    )
    model.encoder.load_state_dict(autoencoder.encoder.state_dict())
    return report


def _check(recipe: Recipe, data: ImageSet) -> None:
    classes = int(recipe.architecture.rpartition("-")[2].removeprefix("fc"))
    if classes < data.classes:
        raise InputError(
            f"{recipe.name} has {classes} classes but {data.name} has {data.classes}; "
            f"choose an architecture that ends in {data.classes}"
        )


def _linear_layers(model: nn.Module) -> list[nn.Linear]:
    return [module for module in model.modules() if isinstance(module, nn.Linear)]
