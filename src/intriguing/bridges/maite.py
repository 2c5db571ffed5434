"""MAITE's protocols of image classification, both ways.

MAITE's are structural, so nothing of it is imported here: what has their methods is one of them
(maite.protocols.image_classification, version 0.7 and later).

    maite.tasks.evaluate(
        model=MaiteModel(network, "my-network"), dataset=MaiteDataset(images), metric=ErrorRate()
    )
    run_gate(from_maite_model(model), from_maite_dataset(dataset), ...)
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.errors import InputError
from intriguing.measures import wilson_interval
from intriguing.models.classifier import Classifier


class Predicts(Protocol):
    """A model of MAITE's: scores of a batch of images, each (channels, height, width)."""

    def __call__(self, batch: Sequence[Any], /) -> Sequence[Any]:
        """A row of scores an image."""


class Indexed(Protocol):
    """A data set of MAITE's: an image, its one-hot class, and what is known of it."""

    def __getitem__(self, index: int, /) -> tuple[Any, Any, Mapping[str, Any]]:
        """One of them."""

    def __len__(self) -> int:
        """How many."""


class MaiteModel:
    """A network as a model of MAITE's."""

    def __init__(
        self, network: nn.Module, name: str, class_names: Sequence[str] | None = None
    ) -> None:
        self.network = network
        self.metadata: dict[str, Any] = {"id": name}
        if class_names is not None:
            self.metadata["index2label"] = dict(enumerate(class_names))

    def __call__(self, batch: Sequence[Any]) -> Sequence[Tensor]:
        """Logits of each image."""
        images = torch.stack([torch.as_tensor(np.asarray(one)) for one in batch])
        with torch.no_grad():
            return list(Classifier.of(self.network).each(images.float()).cpu())


class MaiteDataset:
    """Images as a data set of MAITE's."""

    def __init__(self, images: ImageSet) -> None:
        self.images = images
        self.metadata = {"id": images.name, "index2label": dict(enumerate(images.class_names))}

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """The image, its class one-hot, and its id."""
        if not 0 <= index < len(self):
            raise IndexError(index)  # how a loop over it ends
        label = nn.functional.one_hot(self.images.labels[index], self.images.classes)
        return self.images.images[index], label.float(), {"id": self.images.ids[index]}

    def __len__(self) -> int:
        """How many."""
        return len(self.images)


class ErrorRate:
    """The share of misclassified images with its 95 % interval, as a metric of MAITE's."""

    def __init__(self) -> None:
        self.metadata = {"id": "error rate, Wilson's interval"}
        self.reset()

    def reset(self) -> None:
        """Forget all images."""
        self.wrong, self.total = 0, 0

    def update(
        self, predictions: Sequence[Any], targets: Sequence[Any], metadata: Sequence[Any]
    ) -> None:
        """Count a batch; scores and one-hot classes, a row an image."""
        for scores, target in zip(predictions, targets, strict=True):
            self.wrong += int(np.argmax(np.asarray(scores)) != np.argmax(np.asarray(target)))
            self.total += 1

    def compute(self) -> dict[str, Any]:
        """error, low, high and images; without images, an interval from 0 to 1."""
        low, high = wilson_interval(self.wrong, self.total)
        rate = self.wrong / self.total if self.total else float("nan")
        return {"error": rate, "low": low, "high": high, "images": self.total}


class NearestExamples:
    """The nearest adversarial example of every image, as an augmentation of MAITE's.

    `evaluate` with it gives the accuracy under this attack; an image without one stays as it is.
    """

    def __init__(self, network: nn.Module, budget: int = 200) -> None:
        self.network, self.budget = network, budget
        self.metadata = {"id": f"nearest adversarial examples, {budget} passes"}

    def __call__(self, batch: tuple[Sequence[Any], ...]) -> tuple[Sequence[Any], ...]:
        """The batch with its images replaced."""
        given, targets, metadata = batch
        images = torch.stack([torch.as_tensor(np.asarray(one)) for one in given]).float()
        labels = torch.tensor([int(np.argmax(np.asarray(one))) for one in targets])
        found = minimum_distortion(self.network, images, labels, "untargeted", budget=self.budget)
        kept = found.success.view(-1, *[1] * (images.ndim - 1))
        return list(torch.where(kept, found.adversarial, images)), targets, metadata


def from_maite_model(model: Predicts) -> nn.Module:
    """A model of MAITE's as a network.

    Where it answers in torch tensors that have gradients, every search is possible; else those
    without, such as method="square".
    """
    return _Wrapped(model).eval()


class _Wrapped(nn.Module):
    def __init__(self, model: Predicts) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        """Its scores, a row an image."""
        rows = self.model(list(images))
        return torch.stack(
            [one if isinstance(one, Tensor) else torch.as_tensor(np.asarray(one)) for one in rows]
        ).to(images)


def from_maite_dataset(dataset: Indexed, name: str | None = None) -> ImageSet:
    """A data set of MAITE's as images; one-hot classes, or scores, become their largest.

    Raises:
        InputError: If it is empty, or its images have different shapes.
    """
    items = [dataset[index] for index in range(len(dataset))]
    if not items:
        raise InputError("the data set is empty; give at least one image")
    images = [torch.as_tensor(np.asarray(image)) for image, _, _ in items]
    if len({one.shape for one in images}) > 1:
        raise InputError("the images have different shapes; resize them to one")
    targets = [np.asarray(target) for _, target, _ in items]
    known: Mapping[str, Any] = getattr(dataset, "metadata", {})
    names: Mapping[int, str] = known.get("index2label") or {}
    classes = max(len(targets[0]), *(number + 1 for number in names), 0)
    return ImageSet(
        name or str(known.get("id", "data")), _pixels(images),
        torch.tensor([int(target.argmax()) for target in targets]),
        tuple(_ids(one for _, _, one in items)),
        tuple(str(names.get(number, number)) for number in range(classes)),
    )  # fmt: skip


def _pixels(images: Sequence[Tensor]) -> Tensor:
    """In [0, 1]; whole numbers are taken for 8-bit ones."""
    stacked = torch.stack(list(images))
    return stacked.float() / 255 if stacked.dtype == torch.uint8 else stacked.float()


def _ids(metadata: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for number, one in enumerate(metadata):
        yield str(one.get("id", number))
