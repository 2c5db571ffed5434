"""The rows of `intriguing transfer`: examples of each network, amplified, and equal noise."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.results.schema import Cell, Shown
from intriguing.runs.attacking import Outcome
from intriguing.transfer import amplify, error_matrix
from intriguing.transfer.matrix import Batches, ErrorCount

NOTES = (
    "Amplified examples are x + s·√n·(x′ − x)/‖x′ − x‖₂, of distortion s exactly. The paper prints "
    "the formula without √n, but its text and its Table 4 say that 0.1 is the standard deviation.",
    "Noise and amplified examples are not clipped to [0, 1], so that their size is exact.",
)


def transfer_cells(
    networks: Mapping[str, nn.Module],
    outcomes: Mapping[str, Outcome],
    images: ImageSet,
    stddevs: Sequence[float],
    seed: int,
) -> list[Cell]:
    """Errors of every network (a column) on every set of distorted images (a row)."""
    sets: dict[Shown, Batches] = {}
    sizes = {name: float(outcome.found.double().mean()) for name, outcome in outcomes.items()}
    for name, outcome in outcomes.items():
        sets[Shown("examples", name)] = _changed(outcome, None)
    found = [size for size in sizes.values() if size == size]
    if found:
        _add_noise(sets, images, sum(found) / len(found), seed)
    for stddev in stddevs:
        for name, outcome in outcomes.items():
            sets[Shown("amplified", name, stddev)] = _changed(outcome, stddev)
        _add_noise(sets, images, stddev, seed)
    counts = error_matrix(networks, sets)
    rows, columns = list(sets), list(networks)
    return [
        _cell(
            shown, _title(shown, sizes.get(shown.made_for, 0.0)), column, rows.index(shown),
            columns.index(column), count,
        )
        for (shown, column), count in counts.items()
        if count.total
    ]  # fmt: skip


def _title(shown: Shown, length: float) -> str:
    """The row of these images, for people; `length` is the mean of examples as they are."""
    if shown.condition == "noise":
        return f"Gaussian noise with stddev={shown.size:.3g}"
    if shown.condition == "amplified":
        return f"Distorted for {shown.made_for} amplified to stddev={shown.size:g}"
    return f"Distorted for {shown.made_for} (av. stddev={length:.3g})"


def _cell(
    shown: Shown, title: str, network: str, row_order: int, column_order: int, error: ErrorCount
) -> Cell:
    low, high = error.interval
    return Cell(
        "transfer", title, network, row_order, column_order, "%",
        100 * error.rate, 100 * low, 100 * high, error.count, error.total, network=network,
        made_for=shown.made_for, condition=shown.condition, size=shown.size,
    )  # fmt: skip


def _changed(outcome: Outcome, stddev: float | None) -> Iterator[tuple[Tensor, Tensor]]:
    for original, adversarial, labels in outcome.pairs():
        changed = adversarial.to(original.dtype)
        yield (changed if stddev is None else amplify(original, changed, stddev)), labels


def _add_noise(sets: dict[Shown, Batches], images: ImageSet, stddev: float, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    noisy = gaussian_noise(images.images, stddev, generator)
    sets[Shown("noise", size=stddev)] = [(noisy, images.labels)]
