"""The networks and images of an audit, made to fit each other."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from jaxtyping import Int64
from torch import Tensor, nn

from intriguing.audit.config import SEARCHED, AuditConfig
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.keys import derive_key
from intriguing.measures import ProgressCallback
from intriguing.models.batching import plan_batch
from intriguing.models.classifier import check_classifier
from intriguing.models.weights import model_sha256

BATCH = 64
"""Images of a forward pass at most: more are no faster on a CPU."""


@dataclass(frozen=True)
class Subject:
    """Everything the stages of an audit work on.

    Attributes:
        networks: By name, in evaluation mode.
        images: All images, with their true classes, or the first network's where there are none.
        labelled: Whether the classes are true ones.
        folder: The results folder.
        config: What is asked.
        progress: Called within every stage.
        words: What loading the images has to say, such as files left out.
    """

    networks: Mapping[str, nn.Module]
    images: ImageSet
    labelled: bool
    folder: Path
    config: AuditConfig
    progress: ProgressCallback | None = None
    words: tuple[str, ...] = ()
    kept: dict[str, Tensor] = field(default_factory=dict)

    def for_stage(self, stage: str) -> "Subject":
        """The same with the settings, and the choice of images, that one stage is given."""
        chosen = self.kept if stage in (*SEARCHED, "target") else {}
        shown = replace(self, config=self.config.for_stage(stage), kept=chosen)
        for name in ("digests", "classes", "batches", "_given"):  # each needs the networks' time
            vars(shown)[name] = getattr(self, name)
        return shown

    @property
    def key(self) -> str:
        """Of all that a stage is given: what of it is kept is kept under this."""
        return derive_key(self._given, self.config, self.kept)

    @cached_property
    def _given(self) -> str:
        return derive_key(self.networks, self.images, self.labelled)

    @cached_property
    def digests(self) -> dict[str, str]:
        """Fingerprints of the networks."""
        return {name: model_sha256(model) for name, model in self.networks.items()}

    @cached_property
    def classes(self) -> dict[str, int]:
        """Number of logits of each network."""
        return {name: _classes(name, model, self.images) for name, model in self.networks.items()}

    @cached_property
    def batches(self) -> dict[str, int]:
        """Images shown to each network at once: as asked, or as memory allows."""
        shape = tuple(self.images.images.shape[1:])
        asked = self.config.batch_size
        return {
            name: asked or plan_batch(model, shape, limit=BATCH, backward=False).size
            for name, model in self.networks.items()
        }

    def keep(self, name: str, rows: Int64[Tensor, " chosen"]) -> None:
        """Remember which images were chosen for the stages after."""
        self.kept[name] = rows

    def chosen(self) -> ImageSet:
        """The images that are attacked."""
        return self.images.subset(self.kept["attacked"])


def _classes(name: str, model: nn.Module, images: ImageSet) -> int:
    try:
        return check_classifier(model, images.images[:16], images.labels)
    except InputError as error:
        raise InputError(f"{name}: {error}") from error


def relabelled(images: ImageSet, said: Int64[Tensor, " image"], classes: int) -> ImageSet:
    """Images without classes under the classes a network gives them."""
    names = tuple(map(str, range(classes)))
    return ImageSet(images.name, images.images, said, images.ids, names)
