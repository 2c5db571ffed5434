"""Clean accuracy before anything else, and what explains it when it looks wrong."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback, wilson_interval
from intriguing.models.classifier import Classifier
from intriguing.models.label_order import another_order
from intriguing.models.normalized import Normalized, with_preprocessing
from intriguing.models.warning import ModelWarning

USUAL: dict[str, dict[str, object]] = {
    "none, pixels in [0, 1]": {},
    "ImageNet's mean and deviation (torchvision, timm)": {
        "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225),
    },
    "pixels in [−1, 1] (TensorFlow, Inception, ViT)": {"scale": 2, "mean": (1.0,) * 3},
    "pixels from 0 to 255": {"scale": 255},
    "0 to 255, blue first, less ImageNet's mean colour (Caffe)": {
        "scale": 255, "mean": (104.0, 117.0, 123.0), "channels": "BGR",
    },
    "0 to 255 less 127, over 128 (TensorFlow Lite)": {
        "scale": 255, "mean": (127.0,) * 3, "std": (128.0,) * 3,
    },
    "ImageNet's mean and deviation, blue first": {
        "mean": (0.406, 0.456, 0.485), "std": (0.225, 0.224, 0.229), "channels": "BGR",
    },
    "CIFAR-10's mean and deviation": {
        "mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616),
    },
    "CLIP's mean and deviation": {
        "mean": (0.48145466, 0.4578275, 0.40821073), "std": (0.26862954, 0.26130258, 0.27577711),
    },
}  # fmt: skip
"""What networks are usually trained on, as a `Preprocessing` says it."""

USUAL_GRAY: dict[str, dict[str, object]] = {
    "none, pixels in [0, 1]": {},
    "MNIST's mean and deviation": {"mean": (0.1307,), "std": (0.3081,)},
    "pixels in [−1, 1]": {"scale": 2, "mean": (1.0,)},
    "pixels from 0 to 255": {"scale": 255},
    "Fashion-MNIST's mean and deviation": {"mean": (0.2860,), "std": (0.3530,)},
}
"""The same of gray images."""

_GOOD = 0.8
"""Accuracy from which nothing else is tried."""

_SCREENED = 48
"""Images on which all usual normalisations are tried; the best of them is then measured on all, if
there it is right more often than the network as it is."""
_STEP = 8
"""After so many it is seen whether a normalisation can still be better."""


@dataclass(frozen=True)
class CleanAccuracy:
    """How often a network is right on a sample, and what looks wrong.

    Attributes:
        count, correct: Images, and those it classifies correctly.
        low, high: 95 % interval of the accuracy (Wilson).
        classes: Logits of the network.
        findings: What looks wrong, most certain first; empty when nothing does.
    """

    count: int
    correct: int
    low: float
    high: float
    classes: int
    findings: tuple[ModelWarning, ...]

    @property
    def accuracy(self) -> float:
        """Share of the sample that it classifies correctly."""
        return self.correct / self.count


def clean_accuracy(
    model: nn.Module,
    images: ImageSet,
    *,
    sample: int = 256,
    seed: int = 0,
    batch_size: int = 32,
    progress: ProgressCallback | None = None,
) -> CleanAccuracy:
    """Measure the accuracy on a random sample; where it is not high, look for the reason.

    Tried are the usual normalisations in place of the network's own, labels shifted by one or in
    another order, and networks with another number of classes than the labels. Something is said
    only where it explains far more images than chance or the present state.

    Args:
        model: From pixels in [0, 1] to logits.
        images: With their true classes.
        sample: How many images are drawn, at most.
        seed: Of the draw.
        batch_size: Images at once.
        progress: Called after each batch.

    Raises:
        InputError: If there are no images.
    """
    if not len(images):
        raise InputError("there are no images; give at least one")
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(images), generator=generator)[:sample].sort().values
    drawn = images.subset(chosen).read()
    asked = _Asked(drawn, batch_size, progress)
    logits = asked.logits(model)
    given, labels, classes = logits.argmax(1), drawn.labels.cpu(), logits.shape[1]
    correct = int((given == labels).sum())
    low, high = wilson_interval(correct, len(drawn))
    found = [*_counts(images, labels, classes), *_collapsed(given, labels)]
    if correct < _GOOD * len(drawn):
        reasons = (
            another_order(given, drawn, classes, model),
            _normalisation(model, asked, given == labels),
        )
        best = max(filter(None, reasons), key=lambda reason: reason[0], default=None)
        found += [] if best is None else [best[1]]
    # Even the interval's upper end is near chance, or below what any use would bear.
    if not found and high < max(2.0 / classes, 0.05):
        found.append(
            ModelWarning(
                "low accuracy",
                f"{correct} of {len(drawn)} images are classified correctly, about what chance "
                f"gives with {classes} classes, and neither a usual normalisation nor an order of "
                "labels explains it",
                "images that are wrong already need no attack, and what is left says little; check "
                "that the weights were loaded and that these are the images it was trained for",
            )
        )
    return CleanAccuracy(len(drawn), correct, low, high, classes, tuple(found))


@dataclass(frozen=True)
class _Asked:
    """Images that several networks are asked about."""

    images: ImageSet
    batch_size: int
    progress: ProgressCallback | None

    def at(self, places: Tensor) -> "_Asked":
        return replace(self, images=self.images.subset(places), batch_size=_STEP)

    def logits(self, model: nn.Module) -> Float[Tensor, "image classes"]:
        return torch.cat(list(self.parts(model)))

    def parts(self, model: nn.Module) -> Iterator[Float[Tensor, "some classes"]]:
        asked, done = Classifier.of(model), 0
        for batch in self.images.batches(self.batch_size):
            with torch.no_grad():
                yield asked.each(batch.images).float().cpu()
            done += len(batch)
            if self.progress is not None:
                self.progress(Progress("clean accuracy", done, len(self.images)))


def _counts(
    images: ImageSet, labels: Int64[Tensor, " image"], classes: int
) -> Iterator[ModelWarning]:
    """Labels that the network cannot give, or classes that nothing has."""
    beyond = int((labels >= classes).sum())
    if beyond:
        yield ModelWarning(
            "too few classes",
            f"the labels go up to {int(labels.max())} and the network has {classes} classes; "
            f"{beyond} of {len(labels)} labels are none of them",
            "it cannot be right on them; are these the network and the data that are meant?",
        )
    elif images.classes < classes and images.classes > 1:
        yield ModelWarning(
            "more classes than labels",
            f"the network has {classes} classes and the data {images.classes}",
            "an error may be a class the data do not have; if the data are a part of the network's "
            "classes, number their labels as the network does (a CSV, or imagenet:PATH)",
        )


def _collapsed(given: Tensor, labels: Tensor) -> Iterator[ModelWarning]:
    """One answer to everything."""
    values, counts = torch.unique(given, return_counts=True)
    share = float(counts.max()) / len(given)
    true = float(labels.bincount().max()) / len(labels)
    # Nine in ten, and clearly more than are of any class; few images may be of one by chance.
    if len(given) >= 16 and share > max(0.9, 1.1 * true):
        yield ModelWarning(
            "one class for nearly all",
            f"{share:.0%} of the images are taken for class {int(values[counts.argmax()])}, and no "
            f"class has more than {true:.0%} of them",
            "its distortions say little; often the pixels come in another range than it was "
            "trained on",
        )


def _normalisation(
    model: nn.Module, asked: _Asked, right: Tensor
) -> tuple[float, ModelWarning] | None:
    """Another usual normalisation under which it would be right far more often; how often."""
    count, correct = len(right), int(right.sum())
    channels = asked.images.images.shape[1]
    usual = {1: USUAL_GRAY, 3: USUAL}.get(channels, {})
    bare = model.model if isinstance(model, Normalized) else model
    size = tuple(int(side) for side in asked.images.images.shape[2:])
    order = "L" if channels == 1 else "RGB"
    spread = torch.arange(0, count, max(count // _SCREENED, 1))[:_SCREENED]
    few, now = asked.at(spread), int(right[spread].sum())

    def under(words: str, on: _Asked, least: int = 0) -> int:
        """Images that it is right on; not to the end where these would be less than `least`."""
        how = Preprocessing(size, **({"channels": order} | usual[words]))  # type: ignore[arg-type]
        labels, correct, seen = on.images.labels.cpu(), 0, 0
        for logits in on.parts(with_preprocessing(bare, how)):
            correct += int((logits.argmax(1) == labels[seen : seen + len(logits)]).sum())
            seen += len(logits)
            if correct + len(labels) - seen < least:
                break
        return correct

    screened = {words: under(words, few, now + 1) for words in usual}
    name = max(screened, key=screened.__getitem__, default=None)
    if name is None or screened[name] <= now:
        return None
    best = under(name, asked)
    _, high = wilson_interval(correct, count)
    low, _ = wilson_interval(best, count)
    if low <= high:
        return None
    own = "its own normalisation" if isinstance(model, Normalized) else "pixels as they are"
    return best / count, ModelWarning(
        "wrong normalisation",
        f"with {own} it is right on {correct} of {count} images, with {name} on {best}",
        "distortions of a network that sees its images wrongly are of no use; give the network "
        "this Preprocessing (docs/models-and-data.md), or Normalized(model, mean, std)",
    )
