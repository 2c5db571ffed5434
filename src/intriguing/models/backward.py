"""The way back through a network: what fails there is said in one line, in the network's words."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.memory import out_of_memory
from intriguing.models.answers import own_words

MODEL_FAILS = ("the model fails in training", "mend its forward or backward")
"""What `in_own_words` says of a training step."""
GRADIENT_FREE = 'method="square" or method="noise"'
"""The searches that ask for logits alone, as errors name them."""


@contextmanager
def in_own_words(what: str, remedy: str) -> Iterator[None]:
    """Around code that runs somebody's network, backward included.

    Raises:
        InputError: What fails, the error's own words, and the remedy. Memory that ran out passes
            through, so that less can be tried at once.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise
        raise InputError(f"{what}: {own_words(error)}; {remedy}") from error


def gradient(
    value: Tensor, points: Tensor, *, slope: Tensor | None = None, again: bool = False
) -> Tensor | None:
    """∂value/∂points back through a network; None where there is none.

    Args:
        value: One number, or several with the slope of one by each of them.
        points: Of any shape, as is the gradient.
        slope: Shaped as `value`, where that is several.
        again: Whether another gradient of the same forward pass will be asked for.

    Raises:
        InputError: If the network fails on the way, as a function with its own backward or a hook
            can.
    """
    remedy = f"mend its backward, or search without gradients: {GRADIENT_FREE} and no levels"
    with in_own_words("the gradient of the model's logits cannot be taken", remedy):
        return torch.autograd.grad(value, points, slope, retain_graph=again, allow_unused=True)[0]


def full_gradient(
    value: Tensor, points: Tensor, *, slope: Tensor | None = None, again: bool = False
) -> Tensor:
    """`gradient`, with 0 where there is none."""
    found = gradient(value, points, slope=slope, again=again)
    return torch.zeros_like(points) if found is None else found
