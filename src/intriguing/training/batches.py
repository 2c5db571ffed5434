"""The minibatches of a training set, in an order that seed and epoch alone decide."""

import zlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn.functional import pad

from intriguing.models.schedule import Schedule
from intriguing.training.draws import drawing_from


@dataclass(frozen=True)
class Batch:
    """What one step sees.

    Attributes:
        images: On the device and in the dtype of the model, shifted already.
        labels: Their classes.
        indices: Their places in the training set, on the device of the training set.
        epoch: From 0.
        step: From 0, over all epochs.
        generator: On the model's device, begun anew in every epoch: what is drawn from it comes
            out the same after an interruption.
    """

    images: Float[Tensor, "batch ..."]
    labels: Int64[Tensor, " batch"]
    indices: Int64[Tensor, " batch"]
    epoch: int
    step: int
    generator: torch.Generator


class Batches:
    """A training set as `schedule` deals it out to a model that is like the tensor `like`.

    >>> images, labels = torch.rand(5, 1, 4, 4), torch.arange(5)
    >>> batches = Batches(images, labels, Schedule(2, rate=1.0, batch_size=2), 0, torch.empty(0))
    >>> [len(batch.labels) for batch in batches.of(1, batches.generator(1))]
    [2, 2, 1]
    """

    def __init__(
        self, inputs: Tensor, labels: Tensor, schedule: Schedule, seed: int, like: Tensor
    ) -> None:
        self.inputs, self.labels = inputs, labels
        self.schedule, self.seed = schedule, seed
        self.device, self.dtype = like.device, like.dtype
        self.per_epoch = -(-len(inputs) // schedule.batch_size)

    def generator(self, epoch: int) -> torch.Generator:
        """What an epoch's noise is drawn from."""
        return torch.Generator(self.device).manual_seed(self._draw("noise", epoch))

    def drawing(self, epoch: int) -> AbstractContextManager[None]:
        """In which the network's own draws, as of `nn.Dropout`, are the epoch's."""
        return drawing_from(self._draw("network", epoch), self.device)

    def of(self, epoch: int, generator: torch.Generator) -> Iterator[Batch]:
        """All images once, in the epoch's order, which is the same on every device."""
        ordering = torch.Generator().manual_seed(self._draw("order", epoch))
        order = torch.randperm(len(self.inputs), generator=ordering).to(self.inputs.device)
        for i in range(self.per_epoch):
            rows = order[i * self.schedule.batch_size : (i + 1) * self.schedule.batch_size]
            images = self._moved(self.inputs[rows]).to(self.dtype)
            if self.schedule.shift:
                images = shifted(images, self.schedule.shift, generator)
            labels = self._moved(self.labels[rows])
            yield Batch(images, labels, rows, epoch, epoch * self.per_epoch + i, generator)

    def _moved(self, rows: Tensor) -> Tensor:
        """On the model's device; from pinned memory the copy overlaps with the computation."""
        if self.device.type == "cuda" and rows.device.type == "cpu":
            rows = rows.pin_memory()
        return rows.to(self.device, non_blocking=True)

    def _draw(self, what: str, epoch: int) -> int:
        """A seed of its own for everything that is drawn in an epoch."""
        return zlib.crc32(f"{self.seed}/{what}/{epoch}".encode())


def shifted(
    images: Float[Tensor, "b channel h w"], most: int, generator: torch.Generator
) -> Float[Tensor, "b channel h w"]:
    """Each image moved by −most … most pixels in each direction, zeros in place of what left."""
    count, channels, height, width = images.shape
    moves = torch.randint(2 * most + 1, (2, count, 1), generator=generator, device=images.device)
    rows = moves[0] + torch.arange(height, device=images.device)
    columns = moves[1] + torch.arange(width, device=images.device)
    image = torch.arange(count, device=images.device).view(-1, 1, 1, 1)
    channel = torch.arange(channels, device=images.device).view(1, -1, 1, 1)
    bordered = pad(images, [most] * 4)
    return bordered[image, channel, rows[:, None, :, None], columns[:, None, None, :]]
