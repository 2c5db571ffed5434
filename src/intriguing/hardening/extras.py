"""What hardening adds to a minibatch training: the pools' cross-entropy, and spectral penalties."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from intriguing.errors import InputError
from intriguing.hardening.pool import Pool
from intriguing.spectral.norms.penalty import SpectralPenalty
from intriguing.training.batches import Batch
from intriguing.training.minibatch import Extra


def pools_extra(pools: Sequence[Pool]) -> Extra:
    """Mix the examples of `pools` into every step: Σ weight · cross-entropy(pool).

    As many examples a step as there are images in it, dealt out so that an epoch deals every slot
    once. In the alternating scheme a step takes one pool, in turn.
    """
    mixing = _Mixing(pools)
    memory = {name: tensor for pool in pools for name, tensor in pool.memory.items()}
    places = ", ".join(str(pool.place) for pool in pools)
    name = f"pools at {places}: {pools[0].config}"
    return Extra(mixing.loss, mixing.before_epoch, memory, name)


class _Mixing:
    """The pools of one training, and how far their examples have been dealt out this epoch."""

    def __init__(self, pools: Sequence[Pool]) -> None:
        self.pools, self.config = pools, pools[0].config
        self.orders: list[Tensor] = []
        self.dealt = 0

    def before_epoch(self, model: nn.Module, epoch: int, generator: torch.Generator) -> None:
        self.orders, self.dealt = [], 0
        if epoch < self.config.start:
            return
        model.eval()
        for pool in self.pools:
            share = 1.0 if epoch == self.config.start else self.config.refresh
            pool.replace(share, generator)
            device = generator.device
            self.orders.append(torch.randperm(len(pool.slots), generator=generator, device=device))

    def loss(self, model: nn.Module, batch: Batch) -> Tensor:
        if not self.orders:
            return batch.images.new_zeros(())
        mixed = range(len(self.pools))
        if self.config.scheme == "alternating":
            mixed = mixed[batch.step % len(mixed) :][:1]
        dealt = slice(self.dealt, self.dealt + len(batch.labels))
        self.dealt = dealt.stop
        terms = [self._term(self.pools[i], self.orders[i][dealt]) for i in mixed]
        return sum(terms[1:], start=terms[0])

    @staticmethod
    def _term(pool: Pool, slots: Tensor) -> Tensor:
        logits = pool.logits(slots)
        labels = pool.labels[slots.to(pool.labels.device)].to(logits.device)
        return pool.place.weight * cross_entropy(logits, labels)


EVERY = 5
"""Steps between two that have the penalty, five times as heavy: on a small network it costs nearly
as much as the step itself, and power iteration keeps up with the weights all the same."""


def penalty_extra(
    model: nn.Module, input_shape: Sequence[int], weight: float, seed: int, every: int = EVERY
) -> Extra:
    """weight · Σ_k L_k, the upper Lipschitz bounds of the layers (§4.3's closing suggestion).

    Taken at every `every`-th step, `every` times as heavy.

    Raises:
        InputError: If the weight is not positive, or the network has no layer to bound.
    """
    if not 0 < weight < float("inf"):
        raise InputError(f"a spectral penalty of weight {weight}; give one above 0")
    penalty = SpectralPenalty(model, tuple(input_shape), seed=seed)

    def before_epoch(model: nn.Module, epoch: int, generator: torch.Generator) -> None:
        # A training that goes on from its checkpoint has to prove the bounds afresh: so have all.
        penalty.forget()

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        if batch.step % every:
            return batch.images.new_zeros(())
        return every * weight * penalty()

    memory = {f"penalty.{name}": vector for name, vector in penalty.state_dict().items()}
    return Extra(loss, before_epoch, memory, f"spectral penalty {weight} every {every}")


def joined(extras: Sequence[Extra]) -> Extra | None:
    """All of them; None without any."""
    if len(extras) < 2:
        return extras[0] if extras else None

    def before_epoch(model: nn.Module, epoch: int, generator: torch.Generator) -> None:
        for extra in extras:
            extra.before_epoch(model, epoch, generator)

    def loss(model: nn.Module, batch: Batch) -> Tensor:
        terms = [extra.loss(model, batch) for extra in extras]
        return sum(terms[1:], start=terms[0])

    memory = {name: tensor for extra in extras for name, tensor in extra.memory.items()}
    return Extra(loss, before_epoch, memory, " + ".join(extra.name for extra in extras))
