"""How long a network takes for a pass, by a moment's try: what plans and time limits go by."""

import time
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from intriguing.models.backward import gradient
from intriguing.models.classifier import Classifier, Model


def pass_seconds(model: Model, images: Float[Tensor, "batch ..."]) -> float:
    """Seconds of one forward and backward pass of one image, in a small batch of these."""
    asked = Classifier.of(model)
    asked.begin(images.shape[1:])
    x = asked.fit(images).requires_grad_()
    return _best(lambda: gradient(asked(x).amax(1).sum(), x)) / len(x)


@torch.no_grad()
def forward_seconds(model: Model, images: Float[Tensor, "batch ..."]) -> float:
    """Seconds of one forward pass of one image, in a small batch of these."""
    asked = Classifier.of(model)
    return _best(lambda: asked.each(images)) / len(images)


def _best(what: Callable[[], object]) -> float:
    best = float("inf")
    for _ in range(2):
        start = time.perf_counter()
        what()
        best = min(best, time.perf_counter() - start)
    return best
