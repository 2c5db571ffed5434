"""Which images a step sees: a function of seed, step and global batch, whoever computes it."""

import zlib

import torch
from jaxtyping import Int64
from torch import Tensor

from intriguing.errors import InputError


class Order:
    """A new order of `count` images in every epoch, dealt out in batches; what is left is dropped.

    A run that goes on at another number of processes asks the same questions and so gets the same
    answers.

    >>> order = Order(count=7, batch=3, seed=0)
    >>> order.per_epoch, len(set(order.at(0).tolist() + order.at(1).tolist()))
    (2, 6)
    """

    def __init__(self, count: int, batch: int, seed: int) -> None:
        if not 1 <= batch <= count:
            raise InputError(f"batches of {batch} of {count} images; give 1 … {count}")
        self.count, self.batch, self.seed = count, batch, seed
        self.per_epoch = count // batch
        self._epoch, self._order = -1, torch.empty(0, dtype=torch.long)

    def at(self, step: int) -> Int64[Tensor, " batch"]:
        """The images of a step, from 0."""
        epoch, place = divmod(step, self.per_epoch)
        if epoch != self._epoch:
            seed = zlib.crc32(f"{self.seed}/order/{epoch}".encode())
            generator = torch.Generator().manual_seed(seed)
            self._epoch, self._order = epoch, torch.randperm(self.count, generator=generator)
        return self._order[place * self.batch : (place + 1) * self.batch]


def share(places: Int64[Tensor, " batch"], rank: int, size: int) -> Int64[Tensor, " part"]:
    """The consecutive part of a batch that one of `size` processes sees.

    >>> [share(torch.arange(5), rank, 2).tolist() for rank in (0, 1)]
    [[0, 1, 2], [3, 4]]
    """
    first, last = (-(-len(places) * r // size) for r in (rank, rank + 1))
    return places[first:last]
