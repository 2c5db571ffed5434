"""The networks and images of an audit, made to fit each other, and what is asked about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from jaxtyping import Int64
from torch import Tensor

from intriguing.audit.config import AuditConfig
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.models.batching import plan_batch
from intriguing.models.requirements import check_classifier
from intriguing.runs.attacking import Plan
from intriguing.runs.examples import Examples
from intriguing.runs.predicting import first_correct
from intriguing.runs.stage import Network

BATCH = 64
"""Images of a forward pass at most: more are no faster on a CPU."""


@dataclass(frozen=True)
class Subject:
    """Everything the stages of an audit are made from.

    Attributes:
        networks: In evaluation mode.
        images: All images, with their true classes, or the first network's where there are none.
        labelled: Whether the classes are true ones.
        config: What is asked.
        words: What loading the images has to say, such as files left out.
        shards: Images between two saves of each network's attack.
    """

    networks: tuple[Network, ...]
    images: ImageSet
    labelled: bool
    config: AuditConfig
    words: tuple[str, ...] = ()
    shards: Mapping[str, int] = field(default_factory=dict)

    @cached_property
    def classes(self) -> dict[str, int]:
        """Number of logits of each network."""
        return {one.name: _classes(one, self.images) for one in self.networks}

    @cached_property
    def batches(self) -> dict[str, int]:
        """Images shown to each network at once: as asked, or as memory allows."""
        shape = tuple(self.images.images.shape[1:])
        asked = self.config.batch_size
        return {
            one.name: asked or plan_batch(one.model, shape, limit=BATCH, backward=False).size
            for one in self.networks
        }

    @cached_property
    def chosen(self) -> ImageSet:
        """The images that are attacked, in memory: the first that all networks get right."""
        count = self.config.images or len(self.images)
        models = [one.model for one in self.networks]
        found = first_correct(models, self.images, count, self.config.seed)
        return self.images.subset(found).read()

    def examples(self, network: Network) -> Examples:
        """The search for the nearest example of any wrong class of every chosen image."""
        config = self.config
        return Examples(
            network, Plan(self.chosen, "untargeted", self.classes[network.name]),
            config.search(targeted=False), shard_size=self.shards.get(network.name),
        )  # fmt: skip


def _classes(network: Network, images: ImageSet) -> int:
    try:
        return check_classifier(network.model, next(images.pixels(16)), images.labels)
    except InputError as error:
        raise InputError(f"{network.name}: {error}") from error


def relabelled(images: ImageSet, said: Int64[Tensor, " image"], classes: int) -> ImageSet:
    """Images without classes under the classes a network gives them."""
    names = tuple(map(str, range(classes)))
    return ImageSet(images.name, images.images, said, images.ids, names)
