"""What `intriguing train` needs beside the training: decay of each layer, errors, filters."""

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from intriguing.data.named import DataPair
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.models.family import Family
from intriguing.models.initial import weight_layers
from intriguing.results.rows import Condition, Measurement, Metric
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


def error_rows(name: str, model: nn.Module, pair: DataPair, seed: int) -> list[Measurement]:
    """Training and test error with their intervals."""
    rows = Rows("train", network=name, condition=Condition.CLEAN, seed=seed)
    for which, images in (("train", pair.train), ("test", pair.test)):
        error = count_errors({name: model}, [(images.images, images.labels)])[name]
        rows.share(Metric.ERROR, error.count, error.total, images=which)
    return rows.made


def write_filters(folder: Path, name: str, model: nn.Module) -> None:
    """The first layer's weights as pictures, where they are squares of one channel."""
    first = weight_layers(model)[0]
    weights = first.weight.detach().cpu().float()
    side = round(weights[0].numel() ** 0.5)
    if side**2 == weights[0].numel():
        filters = weights.view(-1, side, side).numpy()
        metadata = {"kind": "filters", "title": f"{name}: first-layer filters"}
        write_tensors(folder, "filters", {"filters": filters}, metadata)
