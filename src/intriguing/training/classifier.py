"""Training a classifier: mean cross-entropy plus weight decay over the whole set at once."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import Float, Int64
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.backward import MODEL_FAILS, in_own_words
from intriguing.models.initial import weight_layers
from intriguing.training.decay import Convention, check_decay, weight_decay
from intriguing.training.lbfgs import UNTIL_CONVERGED, LBFGSConfig, minimise
from intriguing.training.report import TrainingReport

_BLOCK = 10_000
"""Images of one forward pass: bounds the memory, and a block is large enough to fill a machine."""


def train_classifier(
    model: nn.Module,
    inputs: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
    decay: Sequence[float],
    config: LBFGSConfig = UNTIL_CONVERGED,
    *,
    convention: Convention = "half",
    identity: str = "",
    checkpoint: Path | None = None,
    stage: str = "training",
    progress: ProgressCallback | None = None,
) -> TrainingReport:
    """Minimise mean cross-entropy + Σ λ Σ w² / k over all parameters of `model`, in place.

    Args:
        model: From inputs to logits; its linear and convolutional layers decay.
        inputs: All of them, on the device and in the dtype of the model.
        labels: Their classes.
        decay: One λ for each such layer, from the input to the logits.
        config: When to stop.
        convention: What k is.
        identity, checkpoint, stage, progress: As in `minimise`.

    Raises:
        InputError: If decay does not fit the layers, or the checkpoint is another training's.
    """
    layers = weight_layers(model)
    check_decay(layers, decay, convention)
    if not len(inputs) or len(inputs) != len(labels):
        raise InputError(f"{len(inputs)} images and {len(labels)} labels; give as many, at least 1")

    def penalty() -> Tensor:
        return weight_decay(layers, decay, convention)

    objective = full_batch(model, inputs, labels, penalty)
    if checkpoint is not None:
        given = derive_key(inputs, labels, tuple(decay), convention)
        identity = f"{identity}, {given}" if identity else given
    return minimise(
        list(model.parameters()),
        objective,
        config,
        identity=identity,
        checkpoint=checkpoint,
        stage=stage,
        progress=progress,
    )


def full_batch(
    model: nn.Module, inputs: Tensor, labels: Tensor, penalty: Callable[[], Tensor]
) -> Callable[[], float]:
    """Mean cross-entropy + penalty as `minimise` wants it; blocks, always in one order, bound the
    memory and make every evaluation of a point the same to the bit."""

    def objective() -> float:
        total = 0.0
        for start in range(0, len(inputs), _BLOCK):
            block = slice(start, start + _BLOCK)
            with in_own_words(*MODEL_FAILS):
                logits = model(inputs[block])
                loss = cross_entropy(logits, labels[block], reduction="sum") / len(inputs)
                loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
        decay = penalty()
        decay.backward()  # type: ignore[no-untyped-call]
        return total + float(decay.detach())

    return objective
