"""What `intriguing train` needs beside the training: decay of each layer, errors, filters."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from intriguing.data.named import DataPair
from intriguing.errors import InputError
from intriguing.measures import wilson_interval
from intriguing.models.family import Family
from intriguing.models.initial import weight_layers
from intriguing.results.schema import Cell
from intriguing.results.store import write_tensors
from intriguing.transfer.matrix import count_errors


def decay_of(asked: Sequence[float], family: Family, model: nn.Module) -> tuple[float, ...]:
    """One λ for each layer that is trained, from one for all or one for each; or the usual ones."""
    layers = len(weight_layers(family.head(model)))
    return _spread(asked, layers) if asked else family.decay(layers)


def _spread(decay: Sequence[float], layers: int) -> tuple[float, ...]:
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
    """The first layer's weights as pictures, where they are squares of one channel."""
    first = weight_layers(model)[0]
    weights = first.weight.detach().cpu().float()
    side = round(weights[0].numel() ** 0.5)
    if side**2 == weights[0].numel():
        filters = weights.view(-1, side, side).numpy()
        metadata = {"kind": "filters", "title": f"{name}: first-layer filters"}
        write_tensors(folder, "filters", {"filters": filters}, metadata)
