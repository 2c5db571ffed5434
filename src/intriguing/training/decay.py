"""Quadratic weight decay, and the three readings of the paper's λ Σ wᵢ² / k."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

from torch import Tensor

from intriguing.errors import InputError
from intriguing.models.initial import Layer

Convention: TypeAlias = Literal["sum", "half", "units"]
"""How λ and Σ w² make the penalty: "sum" λ Σw², "half" λ/2 Σw², "units" λ Σw² / output units."""


def weight_decay(
    layers: Sequence[Layer], decay: Sequence[float], convention: Convention = "half"
) -> Tensor:
    """Σ over layers of λ · Σ wᵢ² / k, the loss_decay of §4.2; biases do not decay.

    Args:
        layers: The layers from the input to the logits.
        decay: One λ for each layer.
        convention: What k means: 1 ("sum"), 2 ("half") or the layer's output units, a
            convolution's channels ("units").

    >>> from torch import nn
    >>> layer = nn.Linear(1, 2)
    >>> _ = nn.init.constant_(layer.weight, 3.0)
    >>> [weight_decay([layer], [0.5], k).item() for k in ("sum", "half", "units")]
    [9.0, 4.5, 4.5]
    """
    check_decay(layers, decay, convention)
    penalties = [
        lam / _divisor(layer, convention) * layer.weight.square().sum()
        for layer, lam in zip(layers, decay, strict=True)
    ]
    return sum(penalties[1:], start=penalties[0])


def check_decay(layers: Sequence[Layer], decay: Sequence[float], convention: str) -> None:
    """Raise InputError unless there is one non-negative λ a layer and the convention exists."""
    if convention not in get_args(Convention):
        raise InputError(
            f"unknown weight decay {convention!r}; one of {', '.join(get_args(Convention))}"
        )
    if len(layers) != len(decay):
        raise InputError(
            f"{len(decay)} weight decays for {len(layers)} layers; give one λ for each layer"
        )
    if not all(lam >= 0 for lam in decay):
        raise InputError(f"weight decay {tuple(decay)} has a λ that is not ≥ 0")


def _divisor(layer: Layer, convention: Convention) -> int:
    return {"sum": 1, "half": 2, "units": len(layer.weight)}[convention]
