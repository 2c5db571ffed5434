"""The sparse autoencoder of AE400-10, trained until its filters are pen strokes (§4.2)."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback
from intriguing.models.autoencoder import SparseAutoencoder
from intriguing.models.fully_connected import initialise
from intriguing.training.lbfgs import UNTIL_CONVERGED, LBFGSConfig, minimise
from intriguing.training.report import TrainingReport


@dataclass(frozen=True)
class Sparsity:
    """The terms of the objective beside the reconstruction error (Ng, 2011, "Sparse autoencoder").

    Attributes:
        activation: ρ, the mean activation every hidden unit should have.
        weight: β, the weight of Σⱼ KL(ρ ‖ ρ̂ⱼ).
        decay: λ, the weight of ½ Σ w² over both layers.
        images: How many images, drawn by the seed, it learns from; all when there are fewer.
    """

    activation: float = 0.1
    weight: float = 0.5
    decay: float = 3e-3
    images: int = 10_000

    def __post_init__(self) -> None:
        if not 0 < self.activation < 1:
            raise InputError(f"mean activation {self.activation} must lie between 0 and 1")


PEN_STROKES = Sparsity()


def sparse_loss(
    autoencoder: SparseAutoencoder, images: Float[Tensor, "batch pixels"], sparsity: Sparsity
) -> Tensor:
    """½ mean ‖x̂ − x‖² + β Σⱼ KL(ρ ‖ ρ̂ⱼ) + ½ λ Σ w², with ρ̂ the mean code over these images."""
    code = autoencoder.encode(images)
    error = (autoencoder.decode(code) - images).square().sum() / len(images)
    rho, mean = sparsity.activation, code.mean(0).clamp(1e-6, 1 - 1e-6)
    divergence = rho * (rho / mean).log() + (1 - rho) * ((1 - rho) / (1 - mean)).log()
    squares = sum(
        (layer.weight.square().sum() for layer in (autoencoder.encoder, autoencoder.decoder)),
        start=error.new_zeros(()),
    )
    return 0.5 * error + sparsity.weight * divergence.sum() + 0.5 * sparsity.decay * squares


def train_autoencoder(
    autoencoder: SparseAutoencoder,
    data: ImageSet,
    generator: torch.Generator,
    sparsity: Sparsity = PEN_STROKES,
    config: LBFGSConfig = UNTIL_CONVERGED,
    *,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> TrainingReport:
    """Minimise `sparse_loss` over an autoencoder, in place, by full-batch L-BFGS.

    Args:
        autoencoder: Redrawn from `generator` first.
        data: Images of as many pixels as it has visible units.
        generator: Draws the initial weights, then the images to learn from.
        sparsity: The objective, and from how many images.
        config: When to stop.
        identity, checkpoint, progress: As in `minimise`.

    Raises:
        InputError: If the images have another size.
    """
    visible = autoencoder.encoder.in_features
    if data.images[0].numel() != visible:
        raise InputError(f"images of {data.images[0].numel()} pixels, {visible} visible units")
    initialise([autoencoder.encoder, autoencoder.decoder], generator)
    drawn = torch.randperm(len(data), generator=generator)[: sparsity.images].sort().values
    like = autoencoder.encoder.weight
    images = data.images[drawn].flatten(1).to(like.device, like.dtype)
    return minimise(
        list(autoencoder.parameters()),
        _objective(autoencoder, images, sparsity),
        config,
        identity=f"{identity} {sparsity}",
        checkpoint=checkpoint,
        stage="sparse autoencoder",
        progress=progress,
    )


def _objective(
    autoencoder: SparseAutoencoder, images: Tensor, sparsity: Sparsity
) -> Callable[[], float]:
    def objective() -> float:
        loss = sparse_loss(autoencoder, images, sparsity)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())

    return objective
