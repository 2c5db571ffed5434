"""Training by minibatches to a schedule, resumable at every epoch: convolutions and hardening."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import Progress, ProgressCallback
from intriguing.models.backward import MODEL_FAILS, in_own_words
from intriguing.models.initial import weight_layers
from intriguing.models.schedule import Schedule
from intriguing.training.batches import Batch, Batches
from intriguing.training.checkpoint import load_epoch, save_epoch
from intriguing.training.decay import Convention, check_decay, weight_decay
from intriguing.training.dropout import dropping
from intriguing.training.report import TrainingReport


def _nothing(model: nn.Module, epoch: int, generator: torch.Generator) -> None:
    """What happens before an epoch when nothing is asked for."""


@dataclass(frozen=True)
class Extra:
    """What the loss has beside cross-entropy and weight decay: pools, penalties, noisy copies.

    Attributes:
        loss: A scalar that is added to the loss of a step; the network is in training mode.
        before_epoch: Called before each epoch with its number and the epoch's generator; may put
            the network into evaluation mode.
        memory: Tensors that these two change in place.  They are in every checkpoint, and are
            filled from it before training goes on.
        name: Which extra this is; a checkpoint of a training with another one is refused.
    """

    loss: Callable[[nn.Module, Batch], Tensor]
    before_epoch: Callable[[nn.Module, int, torch.Generator], None] = _nothing
    memory: Mapping[str, Tensor] = field(default_factory=dict)
    name: str = "extra"


def train_minibatch(
    model: nn.Module,
    inputs: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    decay: Sequence[float],
    schedule: Schedule,
    seed: int = 0,
    *,
    convention: Convention = "half",
    extra: Extra | None = None,
    identity: str = "",
    checkpoint: Path | None = None,
    save_every: int = 1,
    stage: str = "training",
    progress: ProgressCallback | None = None,
) -> TrainingReport:
    """Lower mean cross-entropy + Σ λ Σ w² / k (+ `extra`), in place, by steps over minibatches.

    The order of the images and every other draw depend on `seed` and the epoch only.  After each
    `save_every`-th epoch weights, optimiser and report go to `checkpoint`; the same call after an
    interruption continues there and ends with the same bits, on a GPU as far as its kernels allow.

    Args:
        model: From inputs to logits, with its initial weights; trained where it lies.
        inputs: The training images; they go to the model batch by batch if they lie elsewhere.
        labels: Their classes.
        decay: One λ for each linear and convolutional layer, in the order of `model.modules()`.
        schedule: Optimiser, learning rates, dropout, shifts.
        seed: Of the order, the dropout and the shifts.
        convention: What k is.
        extra: More for the loss.
        identity: Which training this is, beside what is said here.
        checkpoint: The safetensors file to write and continue from; None keeps nothing.
        save_every: Epochs between two saves; more where the extra's memory is as large as the data.
        stage: How progress calls this training.
        progress: Called about ten times an epoch.

    Raises:
        InputError: If decay does not fit the layers, the checkpoint is another training's, or the
            loss is not finite.
    """
    layers = weight_layers(model)
    check_decay(layers, decay, convention)
    if not len(inputs) or len(inputs) != len(labels):
        raise InputError(f"{len(inputs)} images and {len(labels)} labels; give as many, at least 1")
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = _optimizer(parameters, schedule)
    batches = Batches(inputs, labels, schedule, seed, like=parameters[0])
    memory = {} if extra is None else extra.memory
    name = None if extra is None else extra.name
    if checkpoint is not None:
        given = derive_key(inputs, labels, tuple(decay), schedule, seed, convention, name)
        identity = f"{identity}, {given}" if identity else given
    report = load_epoch(checkpoint, identity, model, optimizer, memory) if checkpoint else None
    report = report or TrainingReport()

    def loss(batch: Batch) -> Tensor:
        value = cross_entropy(model(batch.images), batch.labels)
        value = value + weight_decay(layers, decay, convention)
        return value if extra is None else value + extra.loss(model, batch)

    def tell(step: int, detail: str) -> None:
        if progress is not None:
            progress(Progress(stage, step, schedule.epochs * batches.per_epoch, detail))

    was_training = model.training
    for epoch in range(report.evaluations, schedule.epochs):
        start = time.perf_counter()
        generator = batches.generator(epoch)
        if extra is not None:
            with in_own_words(*MODEL_FAILS):
                extra.before_epoch(model, epoch, generator)
        model.train()
        with (
            batches.drawing(epoch),
            dropping(
                model, layers, generator, images=schedule.input_dropout, hidden=schedule.dropout
            ),
        ):
            mean = _one_epoch(loss, optimizer, batches, epoch, generator, tell)
        report = replace(
            _after(report, mean, parameters, schedule, batches.per_epoch),
            wall_seconds=report.wall_seconds + time.perf_counter() - start,
        )
        if checkpoint is not None and ((epoch + 1) % save_every == 0 or report.reason):
            save_epoch(checkpoint, identity, model, optimizer, memory, report)
        tell(report.iterations, report.reason or f"mean loss {mean:.4g}")
    model.train(was_training)
    return report


def _optimizer(parameters: list[nn.Parameter], schedule: Schedule) -> torch.optim.Optimizer:
    """Weight decay is part of the loss, so that λ means the same here as everywhere."""
    if schedule.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=schedule.rate, betas=(schedule.momentum, 0.999))
    return torch.optim.SGD(
        parameters, lr=schedule.rate, momentum=schedule.momentum, nesterov=schedule.momentum > 0
    )


def _one_epoch(
    loss: Callable[[Batch], Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Batches,
    epoch: int,
    generator: torch.Generator,
    tell: Callable[[int, str], None],
) -> float:
    """Step over every batch; the mean loss over the images.  Nothing waits for a GPU meanwhile."""
    total = torch.zeros((), device=batches.device)
    often = math.ceil(batches.per_epoch / 10)
    # cuDNN's fastest kernels add in an order that changes from run to run.
    with torch.backends.cudnn.flags(enabled=True, deterministic=True):
        for batch in batches.of(epoch, generator):
            for group in optimizer.param_groups:
                group["lr"] = batches.schedule.rate_at(batch.step, batches.per_epoch)
            optimizer.zero_grad()
            with in_own_words(*MODEL_FAILS):
                value = loss(batch)
                value.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += value.detach() * len(batch.labels)
            done = batch.step + 1
            if done % often == 0 and done % batches.per_epoch:
                tell(done, f"epoch {epoch + 1}")
    return float(total) / len(batches.inputs)


def _after(
    report: TrainingReport,
    mean: float,
    parameters: Sequence[nn.Parameter],
    schedule: Schedule,
    steps: int,
) -> TrainingReport:
    """The report of one epoch more."""
    epochs = report.evaluations + 1
    if not math.isfinite(mean):
        raise InputError(
            f"the loss is not finite in epoch {epochs}; lower the learning rate ({schedule.rate}), "
            "or look for NaN in the images"
        )
    steepest = max(float(p.grad.abs().max()) for p in parameters if p.grad is not None)
    return replace(
        report,
        iterations=epochs * steps,
        evaluations=epochs,
        objective=mean,
        gradient_norm=steepest,
        reason=f"{epochs} epochs done" if epochs == schedule.epochs else "",
        history=(*report.history, mean),
    )
