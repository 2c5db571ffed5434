"""What this package asks of a classifier, checked before any work starts."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.checks import check_labels, check_pixels
from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.models.backward import GRADIENT_FREE, gradient
from intriguing.models.classifier import Classifier, Model

_PROBES = 16
"""Images that a network is tried on before work: kinds of wrong answers show on any."""


def own_labels(model: nn.Module, images: ImageSet, batch_size: int = 64) -> ImageSet:
    """The same images with the classes that the network gives them, where there are no true ones.

    A distortion is then that at which the network changes its mind.

    Raises InputError if there are no images.
    """
    if not len(images):
        raise InputError("there are no images; give at least one")
    asked = Classifier.of(model)
    with torch.no_grad():
        given = torch.cat([asked.each(x).cpu() for x in images.pixels(batch_size)])
    known = getattr(model, "class_names", None)
    names = known if known is not None and len(known) == given.shape[1] else None
    names = names or tuple(map(str, range(given.shape[1])))
    return replace(images, labels=given.argmax(1), class_names=tuple(names))


def check_classifier(
    model: Model,
    images: Float[Tensor, "batch ..."],
    labels: Int64[Tensor, " batch"] | None = None,
    *,
    finite: bool = True,
) -> int:
    """Number of classes of a usable classifier: evaluation mode, finite logits, one row an image.

    Args:
        model: Any module from images to logits.
        images: What it is going to be asked about, in any floating-point type and on any device;
            the first few are tried.
        labels: Their classes, if the caller relies on any.
        finite: Whether NaN or infinite logits are refused.

    Raises:
        InputError: If a part of the model is in training mode, it does not take these images, gives
            something other than finite logits of shape (batch, classes), gives probabilities, or
            has fewer classes than the labels.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> check_classifier(model, torch.rand(2, 1, 2, 2))
    3
    """
    asked = Classifier.of(model)
    check_pixels(images)
    if not len(images):
        raise InputError("there are no images; give at least one")
    logits = _logits_of(asked, images[:_PROBES])
    if finite and not logits.isfinite().all():
        raise InputError(
            "the model gives NaN or infinite logits; check its weights and that the images are in "
            "the range it was trained on"
        )
    if kind := probabilities_of(logits, asked.eps):
        raise InputError(f"the model gives {PROBABILITIES[kind]}")
    classes = logits.shape[1]
    if labels is not None:
        check_labels(labels, len(labels), classes)
    return classes


def check_gradients(model: Model, images: Float[Tensor, "batch ..."]) -> None:
    """Refuse a model whose logits change with the images but have no gradient for them.

    A model that gives the same logits whatever the image is not refused.

    Raises:
        InputError: As said, or if taking the gradient fails.
    """
    asked = Classifier.of(model)
    if torch.is_inference_mode_enabled():
        raise InputError(
            "this is called inside torch.inference_mode, where no gradient can be taken; leave it, "
            f"or search without gradients: {GRADIENT_FREE}"
        )
    with torch.enable_grad():
        points = asked.fit(images[:_PROBES]).clone().requires_grad_()
        logits = asked(points)
        found = gradient(logits.sum(), points) if logits.requires_grad else None
    if found is None and bool((logits != logits[:1]).any()):
        raise InputError(
            "the model's logits have no gradient for its images; remove torch.no_grad, detach, "
            "numpy and int8 layers from its forward, or search without gradients: "
            f"{GRADIENT_FREE}"
        )


PROBABILITIES = {
    "softmax": "probabilities, not logits; remove its final softmax, or wrap it so that it "
    "returns their logarithm",
    "sigmoid": "a sigmoid's probabilities, not logits; remove its final sigmoid, or wrap it so "
    "that it returns torch.logit of them",
}
"""What to do about a network whose last step is one of these."""

_PASSED_THROUGH = (
    "ToCopy", "Clone", "View", "UnsafeView", "Reshape", "ReshapeAlias", "Squeeze", "Unsqueeze",
    "Transpose", "T", "Slice", "Alias", "Permute", "Select",
)  # fmt: skip
_LAST = {"Softmax": "softmax", "SafeSoftmax": "softmax", "Sigmoid": "sigmoid"}


def probabilities_of(logits: Float[Tensor, "b k"], eps: float = 1e-7) -> str:
    """ "softmax" or "sigmoid" where that is what made these outputs, else "".

    Told by the operation that made them, where autograd kept it; and by rows that are
    distributions, of which too few could be so by chance and do not count.
    """
    node = logits.grad_fn
    while node is not None:
        name = node.name().rstrip("0123456789").removesuffix("Backward")
        if name in _LAST:
            return _LAST[name]
        if name not in _PASSED_THROUGH:
            break
        node = next((before for before, _ in node.next_functions if before is not None), None)
    if len(logits) < 2 or logits.shape[1] < 2 or not _between(logits):
        return ""
    # Wider than the rounding of a softmax over thousands of classes.
    near = (logits.sum(1) - 1).abs().max() < max(1e-4, 4 * eps)
    return "softmax" if near else ""


def _between(logits: Tensor) -> bool:
    return bool(logits.min() >= 0 and logits.max() <= 1)


def _logits_of(asked: Classifier, images: Tensor) -> Tensor:
    """Logits that know what made them, as far as the network can be differentiated."""
    with torch.enable_grad():
        try:
            return asked(asked.fit(images).requires_grad_())
        except InputError:
            pass  # a network may fail with gradients alone, which `check_gradients` says
    with torch.no_grad():
        return asked(images)
