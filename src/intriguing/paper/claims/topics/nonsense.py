"""Images that a computer reads and no human does."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from intriguing.distortion.confident import confident_images
from intriguing.models.classifier import Classifier
from intriguing.paper.claims.claim import Claim, less_than, more_than
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.claims.networks import Wanted
from intriguing.paper.claims.topic import Record, Topic
from intriguing.results.measured import Metric
from intriguing.results.verdicts import Source

_CONFIDENCE = 0.99
"""What counts as sure: the reader's own number."""
_STARTS = 5
"""Of noise, for every class."""


@dataclass(frozen=True)
class Nonsense(Topic):
    """From noise and from a flat image to every class."""

    name: ClassVar[str] = "nonsense"
    question: ClassVar[str] = "Are there images that a computer reads and no human does?"
    claims: ClassVar[tuple[Claim, ...]] = (
        Claim(
            "nonsense", Source.READERS, "a reader's note",
            "There are examples that a computer reads and no human does.",
            "From noise and from a flat image every class is reached with 99 % confidence.",
            "share of starts and classes that reach it, over three networks", "%", more_than(95.0),
            "a network with a class for nonsense", "Fully connected, ReLU and convolutional.",
        ),
        Claim(
            "nonsense-no-digit", Source.READERS, "a reader's note",
            "… and no human does.",
            "They look like nothing: farther from every training image than test images are, twice "
            "at least.",
            "median distance to the nearest training image over that of test images", "ratio",
            more_than(2.0), "people, who were not asked", "A distance in pixels; the pictures "
            "are shown.",
        ),
        Claim(
            "nonsense-transfers", Source.READERS, "a reader's note",
            "They are a property of networks, not of one.",
            "Most are read as the same class by a network of another seed.",
            "share of images that another seed's network reads as the class asked for", "%",
            more_than(50.0), "images made for several networks at once",
            "Any confidence counts; one in ten would be luck.",
        ),
        Claim(
            "nonsense-human", Source.READERS, "a reader's note",
            "… and no human does.",
            "A reader that only compares pixels does not read them: the nearest training image is "
            "of that class for less than half.",
            "share of images whose nearest training image is of the class asked for", "%",
            less_than(50.0), "people, who were not asked", "One in ten would be luck.",
        ),
    )  # fmt: skip

    @classmethod
    def wanted(cls, scale: ClaimScale) -> Mapping[str, Wanted]:
        kinds = {"fc": "fc100-100-10", "relu": "mlp100-100-10", "convolutional": "conv8-16-50-10"}
        return {
            **{role: Wanted(name) for role, name in kinds.items()},
            **{f"again {role}": Wanted(name, number=1) for role, name in kinds.items()},
        }

    def measure(self, models: Mapping[str, nn.Module], found: Record) -> None:
        starts, classes = self._starts()
        reached, told, total = 0, 0, 0
        made: list[Tensor] = []
        for role in ("fc", "relu", "convolutional"):
            one = confident_images(models[role], starts, classes, _CONFIDENCE)
            reached += int(one.reached.sum())
            with torch.no_grad():
                says = Classifier.of(models[f"again {role}"]).each(one.images).argmax(1).cpu()
            told += int((says == classes).sum())
            total += len(classes)
            made.append(one.images)
            found.share(Metric.BECAME, int(one.reached.sum()), len(classes), network=role)
            found.share(Metric.AGREEMENT, int((says == classes).sum()), len(classes),
                        network=f"again {role}", made_for=role)  # fmt: skip
        found.share_effect("nonsense", reached, total)
        found.share_effect("nonsense-transfers", told, total)
        images, wanted = torch.cat(made), classes.repeat(len(made))
        away, whose = torch.cdist(images.flatten(1), self.train.images.flatten(1)).min(1)
        usual = torch.cdist(self.test.images.flatten(1), self.train.images.flatten(1)).amin(1)
        found.effect("nonsense-no-digit", float(away.median() / usual.median()))
        alike = self.train.labels[whose] == wanted
        found.share_effect("nonsense-human", int(alike.sum()), len(alike))
        every = self.test.classes
        shown = torch.cat([one[-every:] for one in made] + [one[:every] for one in made])
        found.pictures(
            "nonsense",
            "Read with 99 % confidence as 0 to 9",
            shown,
            "Columns are the classes; rows from a flat image, then from noise, for a sigmoid, a "
            "ReLU and a convolutional network.",
        )

    def _starts(self) -> tuple[Tensor, Tensor]:
        """Noise some times for every class, then a flat gray image for every class."""
        shape, every = self.test.images.shape[1:], torch.arange(self.test.classes)
        noise = torch.rand((_STARTS * len(every), *shape), generator=self.generator("starts"))
        flat = torch.full((len(every), *shape), 0.5)
        return torch.cat((noise, flat)), every.repeat(_STARTS + 1)
