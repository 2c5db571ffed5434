"""Error of several networks on several sets of images, as in Tables 2 and 4."""

import sys
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import torch
from jaxtyping import Bool
from torch import Tensor, nn

from intriguing.data.checks import check_labels, check_pixels
from intriguing.errors import InputError
from intriguing.measures import wilson_interval
from intriguing.models.classifier import Classifier, Model

Batches: TypeAlias = Iterable[tuple[Tensor, Tensor]]
"""Images and their true labels, piece by piece, so that a set need not be in memory at once."""


Row = TypeVar("Row", bound=Hashable)


@dataclass(frozen=True)
class ErrorCount:
    """How many of `total` images a network misclassifies."""

    count: int
    total: int

    @property
    def rate(self) -> float:
        """The error, a fraction; NaN of no images."""
        return self.count / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % Wilson interval of the error."""
        return wilson_interval(self.count, self.total)

    def __add__(self, other: "ErrorCount") -> "ErrorCount":
        return ErrorCount(self.count + other.count, self.total + other.total)


def error_matrix(
    models: Mapping[str, nn.Module], sets: Mapping[Row, Batches], batch_size: int = 1000
) -> dict[tuple[Row, str], ErrorCount]:
    """Error of each model (a column of Tables 2 and 4) on each set of images (a row).

    Args:
        models: Classifiers in evaluation mode, by column name; each keeps its device and dtype.
        sets: Pairs of images and labels, by row; every set is read once, in order.
        batch_size: At most so many images pass through a model together.

    Returns:
        The count for every (row, column).

    >>> even = [(torch.eye(2), torch.tensor([0, 0]))]
    >>> error_matrix({"identity": nn.Identity().eval()}, {"even": even})
    {('even', 'identity'): ErrorCount(count=1, total=2)}
    """
    asked = {name: _named(name, model) for name, model in models.items()}
    return {
        (row, column): count
        for row, batches in sets.items()
        for column, count in count_errors(asked, batches, batch_size).items()
    }


@torch.no_grad()
def count_errors(
    models: Mapping[str, Model], batches: Batches, batch_size: int = 1000
) -> dict[str, ErrorCount]:
    """Error of each model on one set of images; see `error_matrix`."""
    return {
        name: ErrorCount(int(wrong.sum()), len(wrong))
        for name, wrong in misread(models, batches, batch_size).items()
    }


@torch.no_grad()
def misread(
    models: Mapping[str, Model], batches: Batches, batch_size: int = 1000
) -> dict[str, Bool[Tensor, " image"]]:
    """Which images each model misclassifies, in the order of the set; see `error_matrix`."""
    wrong: dict[str, list[Tensor]] = {name: [] for name in models}
    asked = {name: _named(name, model) for name, model in models.items()}
    for images, labels in batches:
        check_pixels(images)
        check_labels(labels, len(images), sys.maxsize)
        for start in range(0, len(images), batch_size):
            x, truth = images[start : start + batch_size], labels[start : start + batch_size]
            for name, network in asked.items():
                wrong[name].append((network.each(x).argmax(1) != truth.to(network.device)).cpu())
    none = torch.zeros(0, dtype=torch.bool)
    return {name: torch.cat([none, *parts]) for name, parts in wrong.items()}


def _named(name: str, model: Model) -> Classifier:
    """A network to ask; errors say which."""
    try:
        return Classifier.of(model)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error
