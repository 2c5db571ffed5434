"""What networks say of images, and which images all of them classify correctly."""

from collections.abc import Sequence

import torch
from jaxtyping import Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.streamed import unreadable
from intriguing.models.classifier import Classifier

_TOGETHER = 1024
"""Images that are in memory at once, while it is looked which of them are right."""


@torch.no_grad()
def predict(
    model: nn.Module, images: Tensor, batch_size: int = 64
) -> tuple[Int64[Tensor, " image"], Tensor]:
    """Predicted classes and logits, on the CPU; of no images, none."""
    if not len(images):
        return torch.empty(0, dtype=torch.long), images.new_empty(0, 1).cpu()
    asked = Classifier.of(model)
    logits = torch.cat([asked.each(part).cpu() for part in torch.split(images, batch_size)])
    return logits.argmax(1), logits


def first_correct(
    models: Sequence[nn.Module], images: ImageSet, count: int, seed: int, without: int | None = None
) -> Int64[Tensor, " chosen"]:
    """The first images, in an order drawn by `seed`, that every network classifies correctly.

    Args:
        models: Classifiers in evaluation mode.
        images: With their true classes.
        count: How many at most.
        seed: Draws the order of all images.
        without: Leave out the images of this class, which is what the others are to become.

    Returns:
        Their indices, in the drawn order; fewer than `count` where there are no more.
    """
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
    labels, kept = images.labels.cpu(), []
    for part in torch.split(order, min(2 * count, _TOGETHER)):
        pixels = images.images[part]
        right = ~unreadable(pixels)
        for model in models:
            right &= predict(model, pixels)[0] == labels[part]
        if without is not None:
            right &= labels[part] != without
        kept += part[right].tolist()
        if len(kept) >= count:
            break
    return torch.tensor(kept[:count], dtype=torch.long)
