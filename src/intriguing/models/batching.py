"""How many images fit in memory at once, measured on the network; and fewer when they do not."""

import gc
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.memory import free_memory, out_of_memory, readable, watched
from intriguing.models.backward import gradient
from intriguing.models.classifier import Classifier, Model
from intriguing.models.observe import peak_bytes

T = TypeVar("T")

_PROBED = (1, 3)
"""Batches that are tried: a line needs two, and small ones fit anywhere."""


@dataclass(frozen=True)
class BatchPlan:
    """A batch that fits, and why.

    Attributes:
        size: Images at once.
        each: Bytes that one more image takes in a forward and backward pass, with what the caller
            keeps for it.
        fixed: Bytes that do not depend on the batch, such as workspaces.
        budget: Bytes that may be used.
        limited_by: "memory", or "limit" where more would fit.
    """

    size: int
    each: int
    fixed: int
    budget: int
    limited_by: str

    def __str__(self) -> str:
        return (
            f"{self.size} images at once: {readable(self.each)} each and {readable(self.fixed)} "
            f"for all, of {readable(self.budget)} (limited by {self.limited_by})"
        )


def plan_batch(
    model: Model,
    shape: Sequence[int],
    device: torch.device | str | None = None,
    *,
    limit: int = 256,
    backward: bool = True,
    kept: int = 0,
    budget: int | None = None,
    share: float = 0.5,
) -> BatchPlan:
    """Choose a batch by a forward and backward pass of one image and of three.

    Memory is taken to be linear in the batch, as it is for convolutions, products and pointwise
    functions. What allocators and kernels take beyond is what the other half of the free memory
    is for; where even that is wrong, see `halving`.

    Args:
        model: From images to logits.
        shape: Of one image, without the batch.
        device: Where it runs; the model's when not given.
        limit: Images at most.
        backward: Whether gradients are taken.
        kept: Bytes the caller keeps for each image in the batch, such as directions of a search.
        budget: Bytes that may be used; `share` of what is free when not given.
        share: See `budget`.

    Returns:
        The plan; a single image is never refused.

    >>> network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(4, 2)).eval()
    >>> plan = plan_batch(network, (1, 2, 2), budget=10_000)
    >>> 20 < plan.size < 256, plan.limited_by
    (True, 'memory')
    """
    if limit < 1 or kept < 0:
        raise InputError(f"limit={limit} and kept={kept}; give at least 1 image and 0 bytes")
    asked = Classifier.of(model)
    place = asked.device if device is None else torch.device(device)
    allowed = int(share * free_memory(place)) if budget is None else budget
    peaks = []
    asked.begin(shape)
    for count in _PROBED:
        images = torch.full((count, *shape), 0.5, device=place, dtype=asked.dtype)
        try:
            peaks.append(peak_bytes(lambda x=images: _pass(asked, x, backward), place))  # type: ignore[misc]
        except Exception as error:
            if not out_of_memory(error):
                raise
            return BatchPlan(1, allowed, 0, allowed, "memory")
    each, fixed = _line(peaks)
    each += math.prod(shape) * asked.dtype.itemsize + kept
    fitting = max(int((allowed - fixed) // max(each, 1)), 1)
    return BatchPlan(
        min(fitting, limit), each, fixed, allowed, "memory" if fitting < limit else "limit"
    )


def halving(
    run: Callable[[int], T], size: int, *, on_halving: Callable[[int], None] | None = None
) -> tuple[T, int]:
    """Call `run(size)`, and with half of the size as often as memory runs out, or is about to.

    Args:
        run: Given how many images may be under way at once; its result must not depend on it.
        size: To begin with.
        on_halving: Called with the new size.

    Returns:
        The result, and the size it took.

    Raises:
        InputError: When one image at a time is too much.
    """
    while True:
        try:
            with watched() if size > 1 else nullcontext():
                return run(size), size
        except Exception as error:
            if not out_of_memory(error):
                raise
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        # Outside of the handler, whose traceback holds the tensors that are to be freed.
        if size == 1:
            raise InputError(
                f"the memory does not suffice for one image at a time ({reason}); take a machine "
                "with more, a smaller network, or free what else is there"
            )
        size = size // 2
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        if on_halving is not None:
            on_halving(size)


def _pass(model: Classifier, images: Tensor, backward: bool) -> None:
    with torch.set_grad_enabled(backward):
        points = images.clone().requires_grad_(backward)
        logits = model(points)
        if backward and logits.requires_grad:
            gradient(logits.logsumexp(1).sum(), points)


def _line(peaks: Sequence[int]) -> tuple[int, int]:
    """Slope and intercept through two measurements; no image is free."""
    (first, second), (low, high) = _PROBED, peaks
    each = max(math.ceil((high - low) / (second - first)), 1)
    return each, max(low - first * each, 0)
