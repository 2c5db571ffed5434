"""Which of many images all networks classify correctly: looked at in parts, by whoever computes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.data.streamed import unreadable
from intriguing.keys import APART
from intriguing.runs.expecting import shown
from intriguing.runs.predicting import first_correct, predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.shards import Columns

PART = 1000
"""Images that are looked at together."""


@dataclass(frozen=True)
class Right(Stage):
    """The images that every network gives their class.

    Attributes:
        networks, images: Of which.
        batches: Images shown to each network at once; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "right"
    networks: tuple[Network, ...]
    images: ImageSet
    batches: dict[str, int] = field(metadata=APART)

    def compute(self, run: Run) -> Made:
        """Nothing but what is in parts."""
        run.loaded(self)
        return Made()

    def load(self, run: Run) -> Tensor:
        """Their places."""
        parts = run.in_parts(
            self, self._part, len(self.images), PART, given_up=_none_right,
            called="which images are right",
            each=lambda: shown([one.model for one in self.networks], self.images),
        )  # fmt: skip
        return parts.column("right").nonzero()[:, 0]

    def _part(self, items: slice, report: Callable[[int], None]) -> Columns:
        pixels, labels = self.images.images[items], self.images.labels[items].cpu()
        right = ~unreadable(pixels).cpu()
        for one in self.networks:
            right &= predict(one.model, pixels, self.batches[one.name])[0] == labels
        return {"right": right}


def _none_right(items: slice) -> Columns:
    return {"right": torch.zeros(items.stop - items.start, dtype=torch.bool)}


def first_right(subject: Subject, run: Run) -> Tensor:
    """Places of the images that are to be attacked, in an order drawn by the seed."""
    images, count, seed = subject.images, subject.config.images, subject.config.seed
    if not subject.many:
        assert count is not None
        return first_correct([one.model for one in subject.networks], images, count, seed)
    found: Tensor = run.loaded(Right(subject.networks, images, subject.batches))
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    return order[torch.isin(order, found)][:count]
