"""Whether a network's gradients and logits tell a search where to go."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from intriguing.errors import InputError
from intriguing.measures import Box
from intriguing.models.answers import own_words
from intriguing.models.backward import GRADIENT_FREE, full_gradient, gradient
from intriguing.models.classifier import Classifier
from intriguing.models.warning import ModelWarning

_STEPS = (1e-4, 1e-3, 1e-2)
"""Distortions, as shares of the box's width, over which gradients are held against differences."""

_SMALL = 1e-5
"""Noise that moves the logits of every network that does not round, as a share of the box."""


@dataclass(frozen=True)
class _Seen:
    """Logits, and gradients of the margin of the first class and of the cross-entropy."""

    logits: Tensor
    margin: Tensor
    loss: Tensor


def gradient_findings(model: Classifier, x: Tensor, box: Box) -> Iterator[ModelWarning]:
    """What is wrong with gradients or logits; see each flaw's words."""
    try:
        seen = _look(model, x)
    except InputError as error:
        yield ModelWarning(
            "no gradients",
            f"the gradient of the logits cannot be taken: {own_words(error.__cause__ or error)}",
            f"no search by gradients is possible: {GRADIENT_FREE} only; mend the network's "
            "backward",
            hides=True,
        )
        return
    if seen is None:
        yield ModelWarning(
            "no gradients",
            "the logits have no gradient for the images",
            f"no search by gradients is possible: {GRADIENT_FREE} only; remove torch.no_grad, "
            "detach, argmax and numpy from the forward",
            hides=True,
        )
        return
    bad = ~(seen.margin.isfinite().all(1) & seen.loss.isfinite().all(1))
    if bool(bad.any()):
        yield ModelWarning(
            "gradients not finite",
            f"the gradients of {int(bad.sum())} of {len(x)} images are NaN or infinite",
            "searches stop there; look for the square root or the norm of zero",
            hides=True,
        )
        return
    zero = (seen.margin == 0).all(1)
    if bool(zero.any()):
        yield ModelWarning(
            "zero gradients",
            f"the margin's gradient is exactly 0 in every pixel for {int(zero.sum())} of {len(x)} "
            "images",
            "a search by gradients finds nothing there though adversarial images exist: distances "
            f"are overestimates; compare with {GRADIENT_FREE}; look for rounding, thresholds or "
            "saturated units before the logits",
            hides=True,
        )
    elif share := _misleading(model, x, seen, box):
        yield ModelWarning(
            "misleading gradients",
            f"for {share:.0%} of the images small steps along the gradient change the margin by "
            "less than a tenth of what it promises",
            "the forward pass does something the gradient does not know, such as rounding with a "
            "straight-through gradient: distances are overestimates; compare with "
            f"{GRADIENT_FREE} and with a transfer from another network",
            hides=True,
        )
    yield from _saturated(seen, zero)
    yield from _quantised(model, x, seen, box)


def _look(model: Classifier, x: Tensor) -> _Seen | None:
    with torch.enable_grad():
        points = x.clone().requires_grad_()
        logits = model(points)
        if not logits.requires_grad:
            return None
        known = gradient(logits.sum(), points, again=True)
        if known is None and bool((logits != logits[:1]).any()):
            return None
        top = logits.topk(min(2, logits.shape[1]), 1).values
        margin = full_gradient((top[:, 0] - top[:, -1]).sum(), points, again=True)
        loss = functional.cross_entropy(logits, logits.argmax(1), reduction="sum")
        slope = full_gradient(loss, points)
    return _Seen(logits.detach(), margin.flatten(1), slope.flatten(1))


def _misleading(model: Classifier, x: Tensor, seen: _Seen, box: Box) -> float:
    """Share of images, if most, for which no small step does what the gradient says."""
    width = box.width
    likeliest = seen.logits.topk(min(2, seen.logits.shape[1]), 1).indices
    first, second = likeliest[:, 0], likeliest[:, -1]
    length = seen.margin.norm(dim=1)
    unit = seen.margin / length[:, None]
    rows = torch.arange(len(x), device=x.device)
    noise = 64 * model.eps * seen.logits.abs().amax(1)

    def margin(points: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = model(points)
        return logits[rows, first] - logits[rows, second]

    told = torch.zeros_like(length, dtype=torch.bool)
    asked = torch.zeros_like(told)
    for share in _STEPS:
        size = share * width * x[0].numel() ** 0.5
        step = (size * unit).view_as(x)
        change = margin(x + step) - margin(x - step)
        promised = 2 * size * length
        asked |= promised > 10 * noise
        # A tenth of what was promised is much less than curvature takes over the smallest step.
        told |= change > 0.1 * promised
    wrong = float((asked & ~told).float().mean())
    return wrong if wrong >= 0.5 else 0.0


def _saturated(seen: _Seen, zero: Tensor) -> Iterator[ModelWarning]:
    flat = (seen.loss == 0).all(1) & ~zero
    if bool(flat.any()):
        top = seen.logits.topk(2, 1).values
        gap = float((top[:, 0] - top[:, 1])[flat].median())
        yield ModelWarning(
            "saturated logits",
            f"the cross-entropy's gradient is exactly 0 for {int(flat.sum())} of {len(flat)} "
            f"images, whose logits lead by {gap:.3g}",
            "attacks that raise the cross-entropy of the true class (FGSM, PGD) stand still though "
            'margins have gradients; take method="closest", or divide the logits by a constant',
            hides=True,
        )


def _quantised(model: Classifier, x: Tensor, seen: _Seen, box: Box) -> Iterator[ModelWarning]:
    generator = torch.Generator().manual_seed(0)
    size = box.width * max(_SMALL, 100 * model.eps)
    noise = size * torch.randn(x.shape, generator=generator).to(x)
    with torch.no_grad():
        moved = model(x + noise)
    still = (moved == seen.logits).all(1)
    # Rounding alone leaves an image's every logit the same for hardly any noise of this size.
    if float(still.float().mean()) > 0.25:
        yield ModelWarning(
            "quantised logits",
            f"every logit of {int(still.sum())} of {len(x)} images stays the same to the last bit "
            f"under noise of {size:.1g}",
            "steps smaller than a level change nothing: gradients are zero or made up, and "
            "distances too large; take the rounding out of the network",
            hides=True,
        )
        return
    for dtype, bits in ((torch.bfloat16, 8), (torch.float16, 11)):
        if x.dtype != dtype and torch.equal(seen.logits, seen.logits.to(dtype).to(seen.logits)):
            yield ModelWarning(
                "quantised logits",
                f"all logits have {bits} significant bits, as {dtype} keeps",
                "changes of a margin below one part in a few hundred are lost, so searches end "
                "early and nearest examples are a little too far; run the network in float32",
            )
            return
