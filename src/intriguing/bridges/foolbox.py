"""foolbox both ways: our networks as its models, and what its attacks answer judged as ours is.

The third way, our search called as its attacks are, is `intriguing.adapter.MinimumDistortion`.

    model = to_foolbox(network)
    answers = judged(foolbox.attacks.L2DeepFoolAttack(), network, images, labels)
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from intriguing.adapter import adversarial
from intriguing.data.checks import check_images, check_labels
from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, distortion, l2
from intriguing.models.classifier import device_of
from intriguing.models.requirements import check_classifier


class Attack(Protocol):
    """One of foolbox's, of L2."""

    def __call__(self, model: Any, inputs: Any, criterion: Any, *, epsilons: Any) -> Any:
        """Raw and clipped answers, and whether each is adversarial."""


@dataclass(frozen=True)
class Judged:
    """Another's answers, a row an image.

    Attributes:
        adversarial: The images; NaN where they are not adversarial, or leave [0, 1].
        l2, distortion: ‖r‖₂ and sqrt(mean r²); infinite there.
        success: Whether a plain forward pass gives another class than the true one.
    """

    adversarial: Float[Tensor, "image ..."]
    l2: Float[Tensor, " image"]
    distortion: Float[Tensor, " image"]
    success: Bool[Tensor, " image"]


def to_foolbox(network: nn.Module) -> Any:
    """A network in evaluation mode as a `foolbox.PyTorchModel` of images in [0, 1].

    Raises:
        InputError: Without foolbox.
    """
    try:
        import foolbox
    except ImportError:
        raise InputError("to_foolbox needs foolbox: pip install foolbox") from None
    return foolbox.PyTorchModel(network, bounds=(0, 1), device=device_of(network))


def judged(
    attack: Attack,
    network: nn.Module,
    images: Float[Tensor, "image ..."],
    labels: Int64[Tensor, " image"],
) -> Judged:
    """Run an attack of foolbox's without a limit of length, and believe nothing it says.

    Raises:
        InputError: Without foolbox, or for images and labels that `minimum_distortion` refuses.
    """
    model = to_foolbox(network)
    check_images(images, UNIT_BOX)
    labels = check_labels(labels, len(images), check_classifier(network, images))
    device = device_of(network)
    _, points, _ = attack(model, images.to(device), labels.to(device), epsilons=None)
    points = points.detach().to(images)
    inside = ((points >= 0) & (points <= 1)).flatten(1).all(1)
    success = adversarial(network, points, labels) & inside
    kept = success.view(-1, *[1] * (images.ndim - 1))
    return Judged(
        torch.where(kept, points, torch.nan),
        torch.where(success, l2(images, points), torch.inf),
        torch.where(success, distortion(images, points), torch.inf),
        success,
    )
