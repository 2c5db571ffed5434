"""Tables 1 to 4: what each cell measures, and the cells beside the paper's.

A measurement is a mapping from (row, column), in the paper's names, to a `Value`; the cells of
several seeds' measurements show the first seed with its interval, and the range over seeds.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.noise import gaussian_noise
from intriguing.measures import distortion, mean_interval
from intriguing.results.published import published_table
from intriguing.results.schema import Cell, Shown
from intriguing.scale.attack import Attacked
from intriguing.transfer.amplify import amplify
from intriguing.transfer.matrix import ErrorCount, count_errors

Networks: TypeAlias = Mapping[str, nn.Module]
Attacks: TypeAlias = Mapping[str, Attacked]
"""For each network, by its name in the table, the images distorted for it."""


@dataclass(frozen=True)
class Value:
    """A measured cell: an error in percent or a mean distortion, with its 95 % interval.

    network: Which one was judged, where it is an error.
    shown: On which images.
    """

    ours: float
    low: float
    high: float
    count: int
    total: int
    network: str = ""
    shown: Shown = field(default_factory=Shown)


Values: TypeAlias = dict[tuple[str, str], Value]
Changed: TypeAlias = Iterable[tuple[Tensor, Tensor, Tensor]]
"""Originals x, changed images x′ and true labels, piece by piece."""


def table1(networks: Networks, train: ImageSet, test: ImageSet, attacks: Attacks) -> Values:
    """Training error, test error, and average minimum distortion over the training set."""
    values: Values = {}
    for column, images in (("Training error", train), ("Test error", test)):
        for row, value in errors(networks, images).items():
            values[row, column] = value
    for row, attacked in attacks.items():
        values[row, "Av. min. distortion"] = replace(found_distortion(attacked), network=row)
    return values


def table2(
    networks: Networks, train: ImageSet, attacks: Attacks, generator: torch.Generator
) -> Values:
    """Error of every network on the training images distorted for each, and on noisy ones.

    Only images for which an adversarial one was found are shown.  Noise is not clipped to the
    box, so that its distortion is the stated standard deviation.
    """
    values: Values = {}
    for row, attacked in attacks.items():
        shown = Shown("examples", row)
        values |= _row(networks, row, attacked.found(), len(attacked), shown)
    for stddev in (0.1, 0.3):
        noisy = _noisy(train, stddev, generator)
        shown = Shown("noise", size=stddev)
        values |= _row(networks, f"Gaussian noise, stddev={stddev}", noisy, len(train), shown)
    return values


def table3(networks: Networks, sets: Mapping[str, ImageSet], attacks: Attacks) -> Values:
    """Error of the split experiment's networks on P1, P2 and the test set, before distortion.

    Args:
        networks: By row.
        sets: "P1", "P2" and "Test".
        attacks: On the test set.
    """
    values: Values = {}
    for name, images in sets.items():
        for row, value in errors(networks, images).items():
            values[row, f"Error on {name}"] = value
    for row, attacked in attacks.items():
        values[row, "Min Av. Distortion"] = replace(found_distortion(attacked), network=row)
    return values


def table4(
    networks: Networks, test: ImageSet, attacks: Attacks, generator: torch.Generator
) -> Values:
    """Error of the split experiment's networks on test images distorted for each; then amplified.

    Neither noise nor amplified images are clipped, so that their distortion is as stated.
    """
    values: Values = {}
    for network, attacked in attacks.items():
        row = f"Distorted for {network}"
        shown = Shown("examples", network)
        values |= _row(networks, row, attacked.found(), len(attacked), shown)
        row, amplified = f"{row} amplified to stddev=0.1", _amplified(attacked, 0.1)
        shown = Shown("amplified", network, 0.1)
        values |= _row(networks, row, amplified, len(attacked), shown)
    for stddev in (0.06, 0.1):
        row, noisy = f"Gaussian noise with stddev={stddev}", _noisy(test, stddev, generator)
        shown = Shown("noise", size=stddev)
        values |= _row(networks, row, noisy, len(test), shown)
    return values


def to_cells(name: str, seeds: Sequence[Values]) -> list[Cell]:
    """Cells of table `name` in the paper's order, from the measurements of each seed."""
    table = published_table(name)
    cells = []
    for i, row in enumerate(table.rows):
        for j, (column, unit) in enumerate(zip(table.columns, table.units, strict=True)):
            first = seeds[0][row, column]
            over = [values[row, column].ours for values in seeds]
            cells.append(
                Cell(
                    table=name,
                    row=row,
                    column=column,
                    row_order=i,
                    column_order=j,
                    unit="%" if unit == "%" else "distortion",
                    ours=first.ours,
                    low=first.low,
                    high=first.high,
                    count=first.count,
                    total=first.total,
                    paper=table.at(row, column),
                    seeds=len(seeds),
                    seed_low=min(over) if len(seeds) > 1 else None,
                    seed_high=max(over) if len(seeds) > 1 else None,
                    network=first.network,
                    made_for=first.shown.made_for,
                    condition=first.shown.condition,
                    size=first.shown.size,
                )
            )
    return cells


def errors(networks: Networks, images: ImageSet) -> dict[str, Value]:
    """Each network's error on images as they are."""
    counts = count_errors(networks, [(images.images, images.labels)])
    return {
        name: replace(error_value(count), network=name, shown=Shown("clean"))
        for name, count in counts.items()
    }


def error_value(count: ErrorCount) -> Value:
    """An error in percent with Wilson's interval."""
    low, high = count.interval
    return Value(100 * count.rate, 100 * low, 100 * high, count.count, count.total)


def found_distortion(attacked: Attacked) -> Value:
    """Average minimum distortion of the images for which an adversarial image was found."""
    return mean_value(attacked.distortion[attacked.success], len(attacked))


def mean_value(distortions: Tensor, total: int) -> Value:
    """A mean distortion with Student's interval; `total` counts the images not found, too."""
    sizes = distortions.double()
    return Value(float(sizes.mean()), *mean_interval(sizes), len(sizes), total)


def _row(networks: Networks, row: str, changed: Changed, total: int, shown: Shown) -> Values:
    """Every network's error on changed images, which `shown` describes, and their mean change."""
    sizes = [torch.empty(0)]

    def batches() -> Iterable[tuple[Tensor, Tensor]]:
        for x, x_changed, labels in changed:
            sizes.append(distortion(x, x_changed))
            yield x_changed, labels

    counts = count_errors(networks, batches())
    values = {
        (row, name): replace(error_value(count), network=name, shown=shown)
        for name, count in counts.items()
    }
    change = replace(mean_value(torch.cat(sizes), total), shown=shown)
    return values | {(row, "Av. distortion"): change}


def _noisy(images: ImageSet, stddev: float, generator: torch.Generator) -> Changed:
    for batch in images.batches(10_000):
        yield batch.images, gaussian_noise(batch.images, stddev, generator), batch.labels


def _amplified(attacked: Attacked, stddev: float) -> Changed:
    for x, adversarial, labels in attacked.found():
        yield x, amplify(x, adversarial, stddev), labels
