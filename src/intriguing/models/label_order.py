"""Labels that number the classes in another order than the network does."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Int64
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.measures import wilson_interval
from intriguing.models.warning import ModelWarning

_CONSEQUENCE = (
    "labels are wrong for this network, so nearly every image would count as classified wrongly; "
    "number them as the network does: folders named 0, 1, 2 …, or a labels.csv"
)


def another_order(
    given: Int64[Tensor, " image"], images: ImageSet, classes: int, model: nn.Module
) -> tuple[float, ModelWarning] | None:
    """The order that explains far more than the labels as they are, and its accuracy.

    Args:
        given: The classes the network gives.
        images: With the labels in question.
        classes: Of the network.
        model: Whose `class_names` are compared with the data's, where it has them.
    """
    labels, count = images.labels.cpu(), len(images)
    names = getattr(model, "class_names", None)
    correct = int((given == labels).sum())
    orders = (
        *_by_name(images.class_names, names, labels),
        *_shifted(labels, given),
        *_as_text(labels, min(classes, images.classes)),
    )
    rights = [int((given == wanted).sum()) for _, wanted in orders]
    best = max(range(len(orders)), key=rights.__getitem__, default=None)
    right = correct if best is None else rights[best]
    if fitted := _permuted(given, labels, classes):
        held, pairs = fitted
        if _far_more(*held, right, count):
            return held[0] / held[1], ModelWarning(
                "order of labels",
                f"{correct} of {count} images are classified as labelled, and {held[0]} of "
                f"{held[1]} with the classes in another order, found on as many other images: "
                f"{pairs}",
                _CONSEQUENCE,
            )
    if best is not None and _far_more(right, count, correct, count):
        return right / count, ModelWarning(
            "order of labels",
            f"{correct} of {count} images are classified as labelled, and {right} if "
            f"{orders[best][0]}",
            _CONSEQUENCE,
        )
    return None


def _far_more(right: int, of: int, correct: int, among: int) -> bool:
    return wilson_interval(right, of)[0] > wilson_interval(correct, among)[1]


def _by_name(
    data: Sequence[str], network: Sequence[str] | None, labels: Tensor
) -> Iterator[tuple[str, Tensor]]:
    """Classes of the same names under other numbers."""
    if network is None:
        return
    places = {_plain(name): number for number, name in enumerate(network)}
    if len(places) < len(network):
        return
    to = torch.tensor([places.get(_plain(name), -1) for name in data])
    if bool((to[torch.unique(labels)] >= 0).all()):
        yield "classes are numbered by the network's own names for them", to[labels]


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _shifted(labels: Tensor, given: Tensor) -> Iterator[tuple[str, Tensor]]:
    """All numbers too high or too low by the same, as by a class for the background."""
    offsets, counts = torch.unique(given - labels, return_counts=True)
    offset = int(offsets[counts.argmax()])
    if offset:
        yield (
            f"{abs(offset)} is {'added to' if offset > 0 else 'taken off'} every label",
            labels + offset,
        )


def _as_text(labels: Tensor, classes: int) -> Iterator[tuple[str, Tensor]]:
    """Numbers sorted as words (0, 1, 10, 11, 2 …), by the data or by the network."""
    if classes > 10:
        words = torch.tensor(sorted(range(classes), key=str))
        inside = labels.clamp_max(classes - 1)
        yield "the numbers are sorted as words (0, 1, 10, 11, 2 …)", words[inside]
        yield (
            "the network's numbers are sorted as words (0, 1, 10, 11, 2 …)",
            words.argsort()[inside],
        )


def _permuted(given: Tensor, labels: Tensor, classes: int) -> tuple[tuple[int, int], str] | None:
    """The best order fitted to half of the images: how often it is right on the others."""
    kinds = max(classes, int(labels.max()) + 1)
    present = torch.unique(labels)
    if len(labels) < 8 * len(present):
        return None  # with few images a class an order fits anything
    mixed = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    fitted, held = mixed.tensor_split(2)
    table = np.zeros((kinds, kinds))
    np.add.at(table, (labels[fitted].numpy(), given[fitted].numpy()), 1)
    rows, columns = linear_sum_assignment(table, maximize=True)
    order = torch.empty(kinds, dtype=torch.int64)
    order[torch.from_numpy(rows)] = torch.from_numpy(columns)
    right = int((order[labels[held]] == given[held]).sum())
    pairs = ", ".join(f"{i} → {int(order[i])}" for i in present[:10].tolist())
    return (right, len(labels[held])), pairs + (" …" if len(present) > 10 else "")
