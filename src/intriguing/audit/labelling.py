"""Classes of images that came without: what the first network says of them."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.audit import right
from intriguing.audit.subject import Subject
from intriguing.data.dataset import ImageSet
from intriguing.keys import APART
from intriguing.runs.expecting import shown
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage
from intriguing.scale.shards import Columns


@dataclass(frozen=True)
class Said(Stage):
    """What a network says of every image.

    Attributes:
        network, images: Of which.
        batch_size: Images shown at once; apart, because no answer depends on it.
    """

    name: ClassVar[str] = "labels"
    network: Network
    images: ImageSet
    batch_size: int = field(metadata=APART)

    def compute(self, run: Run) -> Made:
        """Nothing but what is in parts."""
        run.loaded(self)
        return Made()

    def load(self, run: Run) -> Tensor:
        """A class an image; the first one where the network fails."""
        return run.in_parts(
            self, self._part, len(self.images), right.PART, given_up=_first_class,
            called=f"classes by {self.network.name}",
            each=lambda: shown([self.network.model], self.images),
        ).column("said")  # fmt: skip

    def _part(self, items: slice, report: Callable[[int], None]) -> Columns:
        said, _ = predict(self.network.model, self.images.images[items], self.batch_size)
        return {"said": said}


def _first_class(items: slice) -> Columns:
    return {"said": torch.zeros(items.stop - items.start, dtype=torch.long)}


def with_classes(subject: Subject, run: Run) -> Subject:
    """The same where the classes are true ones; else with what the first network says.

    The record is of these, too: who compares runs asks whether their images are the same.
    """
    if subject.labelled:
        return subject
    first, images = subject.networks[0], subject.images
    said = run.loaded(Said(first, images, subject.batches[first.name]))
    names = tuple(map(str, range(subject.classes[first.name])))
    known = ImageSet(images.name, images.images, said, images.ids, names)
    run.about(known)
    return replace(subject, images=known)
