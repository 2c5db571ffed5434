"""Images that mean nothing to anybody, and that a network reads with confidence.

Not an adversarial example next to an image, but one from nowhere: from noise or from a flat image
the probability of a class is raised until it is as confident as asked for (Nguyen et al. 2015,
arXiv:1412.1897, section 2.4, by gradients).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box
from intriguing.models.classifier import Classifier, Model

_STEP = 1 / 64
"""Of the box's width, along the normalised gradient: a hundred steps cross the box."""
_NOISES, _FAR = 32, 64.0
"""Ways into noise, and steps at once: a quarter of the box's width in each pixel. From less far,
gradients lead back, or to where few units answer."""


@dataclass(frozen=True)
class Confident:
    """Where the images went, one row a start and its class.

    Attributes:
        images: Inside the box.
        confidence: The probability of the class asked for.
        reached: Whether that is as large as asked for.
        steps: Gradient steps.
    """

    images: Float[Tensor, "image ..."]
    confidence: Float[Tensor, " image"]
    reached: Bool[Tensor, " image"]
    steps: int


def confident_images(
    model: Model,
    starts: Float[Tensor, "image ..."],
    classes: Int64[Tensor, " image"],
    confidence: float = 0.99,
    *,
    box: Box = UNIT_BOX,
    steps: int = 500,
) -> Confident:
    """Move every start until the model gives it its class with this probability.

    Steps of one length follow the gradient of the margin between the class's logit and the
    logarithm of all others' sum, which is the logarithm of the odds: confidence never flattens it.
    Where there is none, as no unit answers to a flat image, one leads far into noise.

    Args:
        model: In evaluation mode; its logits are taken for those of a softmax.
        starts: Inside the box.
        classes: What each is to be read as.
        confidence: The least probability.
        box: Of pixels.
        steps: At most so many.

    Raises:
        InputError: If the confidence is not inside (0, 1), a start is outside of the box, or there
            are not as many classes as starts.
    """
    if not 0 < confidence < 1:
        raise InputError(f"confidence {confidence}; give a probability inside (0, 1)")
    if len(starts) != len(classes) or not len(starts):
        raise InputError(
            f"{len(starts)} starts and {len(classes)} classes; give as many, 1 or more"
        )
    if not box.contains(starts):
        raise InputError("starts lie outside of the box; give pixels inside of it")
    asked = Classifier.of(model)
    x = asked.fit(starts).clone()
    own = classes.to(x.device)[:, None]
    wanted = torch.logit(torch.tensor(confidence, dtype=torch.float64)).item()
    odds = torch.full((len(x),), -torch.inf, device=x.device)
    noises = torch.randn(_NOISES, *x[0].shape, generator=torch.Generator().manual_seed(0)).to(x)
    losses = torch.zeros(len(x), dtype=torch.long, device=x.device)
    step = 0
    for step in range(steps + 1):
        x.requires_grad_(True)
        logits = asked(x)
        rest = logits.scatter(1, own, -torch.inf).logsumexp(1)
        odds = logits.gather(1, own)[:, 0] - rest
        moving = odds < wanted
        if step == steps or not bool(moving.any()):
            break
        (uphill,) = torch.autograd.grad(odds.sum(), x)
        x, shape = x.detach(), (-1, *[1] * (x.ndim - 1))
        lost = (uphill == 0).flatten(1).all(1)
        uphill = torch.where(lost.view(shape), noises[losses % _NOISES], uphill)
        size = uphill.flatten(1).norm(dim=1).clamp_min(torch.finfo(x.dtype).tiny)
        length = _STEP * box.width * x[0].numel() ** 0.5 / 4
        farther = torch.where(lost, _FAR, 1.0)
        losses += lost
        moved = box.clamp(x + (farther * length / size).view(shape) * uphill)
        x = torch.where(moving.view(shape), moved, x)
    final = odds.detach()
    return Confident(x.detach().cpu(), final.sigmoid().cpu(), (final >= wanted).cpu(), step)
