"""What `intriguing train` needs beside the training: decay of each layer, errors, filters."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from intriguing.data.named import DataPair
from intriguing.errors import InputError
from intriguing.measures import wilson_interval
from intriguing.models.autoencoder import AutoencoderClassifier
from intriguing.models.fully_connected import FullyConnected
from intriguing.results.schema import Cell
from intriguing.results.store import write_tensors
from intriguing.transfer.matrix import count_errors

Trainable = FullyConnected | AutoencoderClassifier


def default_decay(model: Trainable) -> tuple[float, ...]:
    """The paper's λ (§4.2): 1e-4 for a softmax classifier, else 1e-5, the last layer 1e-6."""
    layers = _layers(model)
    if isinstance(model, FullyConnected) and layers == 1:
        return (1e-4,)
    return (*[1e-5] * (layers - 1), 1e-6)


def spread(decay: Sequence[float], model: Trainable) -> tuple[float, ...]:
    """One λ a layer from one for all or one for each."""
    layers = _layers(model)
    if len(decay) not in (1, layers):
        raise InputError(
            f"--decay has {len(decay)} values, but {layers} layer(s) are trained; give one for "
            f"all or {layers}"
        )
    if not all(0 <= value < float("inf") for value in decay):
        raise InputError(f"--decay {' '.join(map(str, decay))}: every λ must be 0 or more")
    return tuple(decay) if len(decay) == layers else tuple(decay) * layers


def error_cells(name: str, model: nn.Module, pair: DataPair) -> list[Cell]:
    """Training and test error with their intervals."""
    cells = []
    sets = (("Training error", pair.train), ("Test error", pair.test))
    for order, (column, images) in enumerate(sets):
        error = count_errors({name: model}, [(images.images, images.labels)])[name]
        low, high = wilson_interval(error.count, error.total)
        cells.append(
            Cell("train", name, column, 0, order, "%", 100 * error.rate, 100 * low, 100 * high,
                 error.count, error.total)
        )  # fmt: skip
    return cells


def write_filters(folder: Path, name: str, model: nn.Module) -> None:
    """The first layer's weights as pictures, where images are squares."""
    first = next(module for module in model.modules() if isinstance(module, nn.Linear))
    side = round(first.in_features**0.5)
    if side**2 == first.in_features:
        filters = first.weight.detach().cpu().float().view(-1, side, side).numpy()
        metadata = {"kind": "filters", "title": f"{name}: first-layer filters"}
        write_tensors(folder, "filters", {"filters": filters}, metadata)


def _layers(model: Trainable) -> int:
    return len(model.layers) if isinstance(model, FullyConnected) else 1
