"""The networks and images of an audit, made to fit each other, and what is asked about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import torch
from jaxtyping import Int64
from torch import Tensor

from intriguing.audit.config import AuditConfig
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.keys import derive_seed
from intriguing.models.batching import plan_batch
from intriguing.models.requirements import check_classifier
from intriguing.runs.attacking import Plan
from intriguing.runs.examples import Examples
from intriguing.runs.stage import Network

BATCH = 64
"""Images of a forward pass at most: more are no faster on a CPU."""
MANY = 2000
"""More images than these are attacked in their own order, as they lie in their files."""


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
        right: Which images are attacked: of those that all networks get right (`audit.right`).
    """

    networks: tuple[Network, ...]
    images: ImageSet
    labelled: bool
    config: AuditConfig
    words: tuple[str, ...] = ()
    shards: Mapping[str, int] = field(default_factory=dict)
    right: Int64[Tensor, " chosen"] = field(default_factory=lambda: torch.arange(0))

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

    @property
    def many(self) -> bool:
        """Whether so many images may be attacked that their files are read one after the other."""
        return self.config.images is None or self.config.images > MANY

    @cached_property
    def chosen(self) -> ImageSet:
        """The images that are attacked.

        Many, or all that there are, in their own order, and where they are streamed they stay in
        their files; others in memory, in the order in which they were drawn.
        """
        if self.many:
            return self.images.subset(self.right.sort().values)
        return self.images.subset(self.right).read()

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


def drawn(rows: Tensor, count: int, seed: int) -> Tensor:
    """All of these, or so many that are drawn from them, in their order."""
    if len(rows) <= count:
        return rows
    generator = torch.Generator().manual_seed(derive_seed("drawn", seed))
    return rows[torch.randperm(len(rows), generator=generator)[:count].sort().values]
