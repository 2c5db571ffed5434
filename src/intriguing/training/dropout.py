"""Dropout for any network, drawn from a generator: nothing is built into the network itself."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def dropping(
    model: nn.Module,
    layers: Sequence[nn.Module],
    generator: torch.Generator,
    *,
    images: float = 0.0,
    hidden: float = 0.0,
) -> Iterator[None]:
    """Within the block, and while `model` is in training mode, set random entries to 0.

    The others are divided by the share that is kept (Srivastava et al., 2014).

    Args:
        model: Its first argument loses a share `images` of its entries.
        layers: From the first on; the inputs of the linear ones but the first lose `hidden`.
        generator: On the model's device.
        images: The share that images lose.
        hidden: The share that hidden units lose.
    """
    shares = {model: images} | {
        layer: hidden for layer in layers[1:] if isinstance(layer, nn.Linear)
    }

    def drop(module: nn.Module, arguments: tuple[Any, ...]) -> tuple[Any, ...] | None:
        if not model.training:
            return None
        return (dropped(arguments[0], shares[module], generator), *arguments[1:])

    hooks = [module.register_forward_pre_hook(drop) for module, share in shares.items() if share]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def dropped(values: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """`values` with a random share of them 0 and the others divided by 1 − share."""
    kept = torch.empty_like(values).bernoulli_(1 - share, generator=generator)
    return values * kept / (1 - share)
