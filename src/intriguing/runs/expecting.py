"""What stages are thought to take, by a moment's try: of that, limits on hanging work are made.

Only the first images are tried, which whoever checks a network has shown it before.
"""

import time
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.search import Search
from intriguing.models.pass_time import forward_seconds, pass_seconds
from intriguing.scale.shards import Part

FEW = 8
"""Images that are tried."""


def shown(models: Iterable[nn.Module], images: ImageSet) -> float:
    """Seconds of one image through all of these networks."""
    few = next(images.pixels(FEW))
    return sum(forward_seconds(model, few) for model in models)


def searched(model: nn.Module, images: ImageSet, *searches: Search) -> float:
    """Seconds of these searches for one image, by a pass; of what ends by itself, none."""
    passes = sum(search.passes or 0 for search in searches)
    return passes * pass_seconds(model, next(images.pixels(FEW)))


def of_images(work: Callable[[Tensor], object], images: ImageSet, least: int) -> float:
    """Seconds of work on all of the images, by doing it on the first of them.

    Args:
        work: Is given places of images.
        images: All of them.
        least: How many the work needs.
    """
    few = min(max(FEW, least), len(images))
    start = time.perf_counter()
    work(torch.arange(few))
    return (time.perf_counter() - start) * len(images) / few


def tried(part: Part, count: int) -> float:
    """Seconds an item, by the real work on a few of so many."""
    few = min(FEW, count)
    start = time.perf_counter()
    part(slice(0, few), lambda done: None)
    return (time.perf_counter() - start) / few
