"""Training with pools of adversarial examples: §4.2's claim, for any network with named layers."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.checks import check_images, check_labels
from intriguing.errors import InputError
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.extras import joined, penalty_extra, pools_extra
from intriguing.hardening.places import IMAGES, Place
from intriguing.hardening.pool import Pool, PoolSummary
from intriguing.measures import UNIT_BOX, Box, ProgressCallback, as_box
from intriguing.models.initial import weight_layers
from intriguing.models.requirements import check_classifier
from intriguing.models.schedule import Schedule
from intriguing.training.decay import Convention
from intriguing.training.minibatch import Extra, train_minibatch
from intriguing.training.report import TrainingReport

SCHEDULE = Schedule(30, rate=0.5)
"""What the pools of MNIST's sigmoid networks were tried with."""


@dataclass(frozen=True)
class HardenedTraining:
    """What became of a training with pools.

    Attributes:
        report: Of the training itself; its objective has all terms in it.
        pools: What each pool held in the end.
    """

    report: TrainingReport
    pools: tuple[PoolSummary, ...]


def train_with_pools(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    layers: Sequence[str | int | Place] = (IMAGES,),
    *,
    config: PoolConfig | None = None,
    decay: float | Sequence[float] = 0.0,
    convention: Convention = "sum",
    schedule: Schedule = SCHEDULE,
    penalty: float = 0.0,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    seed: int = 0,
    identity: str = "",
    checkpoint: Path | None = None,
    progress: ProgressCallback | None = None,
) -> HardenedTraining:
    """Train `model` in place on images and on pools of adversarial examples (§4.2).

    For each of `layers` a pool holds one example for every image: activations of that layer, near
    the image's own and within the layer's range, that the layers above find hard. Before each
    epoch a random part of each pool is replaced by examples of the network as it is then, and
    every step mixes examples with original images. The loss of a step is

        cross-entropy(images) + Σ weight · cross-entropy(pool) + Σ λ Σw² / k + penalty · Σ L_k.

    Args:
        model: Any network whose layers have names, from inputs to logits, with its initial weights.
        images: The training images, inside `box`; they may lie on another device than the model.
        labels: Their classes; an example has the label of its image.
        layers: Where to keep pools: "input", numbers or names (see `Place`); none is plain
            training.
        config: How pools are made and mixed.
        decay: λ of each linear and convolutional layer, or one for all.
        convention: What k is, see `weight_decay`.
        schedule: Optimiser, learning rates, dropout.
        penalty: Weight of the layers' Lipschitz bounds; 0 for none (§4.3).
        box: The range of the images.
        seed: Of all that is drawn; the weights are yours.
        identity: Which training this is, beside what is said here, for the checkpoint.
        checkpoint: A safetensors file to write and continue from, pools included.
        progress: Called about ten times an epoch.

    Returns:
        How the training went, and what each pool held in the end.

    Raises:
        InputError: Before any work, for images outside the box, labels out of range, layers that
            do not exist or are passed by, or settings that make no sense.

    >>> import torch
    >>> images, labels = torch.rand(40, 4), torch.arange(40) % 2
    >>> net = nn.Sequential(nn.Linear(4, 3), nn.Sigmoid(), nn.Linear(3, 2))
    >>> trained = train_with_pools(
    ...     net, images, labels, ["input", 1], config=PoolConfig(start=0), schedule=Schedule(2, 0.1)
    ... )
    >>> [(pool.place, pool.range) for pool in trained.pools]
    [('input', 'as given'), ('2:input', 'sigmoid lies in [0, 1]')]
    """
    box = as_box(box)
    check_images(images, box)
    mode = model.training
    try:
        classes = check_classifier(model.eval(), images[:8])
    finally:
        model.train(mode)
    labels = check_labels(labels, len(images), classes)
    count = len(weight_layers(model))
    lambdas = tuple(decay) if isinstance(decay, Sequence) else (decay,) * count
    extra, pools = hardening(
        model, images, labels, layers, config=config, penalty=penalty, box=box, seed=seed
    )
    report = train_minibatch(
        model, images, labels, lambdas, schedule, seed, convention=convention, extra=extra,
        identity=identity, checkpoint=checkpoint, stage="training with pools", progress=progress,
    )  # fmt: skip
    return HardenedTraining(report, tuple(pool.summary for pool in pools))


def hardening(
    model: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    layers: Sequence[str | int | Place],
    *,
    config: PoolConfig | None = None,
    penalty: float = 0.0,
    box: Box | Sequence[float | Tensor] = UNIT_BOX,
    seed: int = 0,
) -> tuple[Extra | None, list[Pool]]:
    """What `train_minibatch` takes to harden a network, and the pools that it fills.

    Arguments and errors are those of `train_with_pools`.
    """
    config = config or PoolConfig()
    places = [at if isinstance(at, Place) else Place(str(at)) for at in layers]
    pools = [Pool(model, place, images, labels, as_box(box), config) for place in places]
    if len({pool.name for pool in pools}) < len(pools):
        named = ", ".join(f"{pool.place.layer} is {pool.name}" for pool in pools)
        raise InputError(f"two pools are at one place ({named}); name each place once")
    extras = [pools_extra(pools)] if pools else []
    if penalty:
        extras.append(penalty_extra(model, images.shape[1:], penalty, seed))
    return joined(extras), pools
