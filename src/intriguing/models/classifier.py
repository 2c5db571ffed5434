"""What this package asks of a classifier, checked before any work starts."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.data.preprocessing import Preprocessing, of_shape
from intriguing.errors import InputError

_PROBES = 16


class Normalized(nn.Module):
    """A network that expects (x − mean) / std, given images in [0, 1] instead.

    Distortions are measured on the images, so normalisation belongs to the network.

    Args:
        model: The network.
        mean: One value for each channel of the images, in their units.
        std: One value for each channel of the images, in their units; 1/255 makes 0–255 of [0, 1].
        bgr: Whether the network wants the channels the other way round, as Caffe's do.

    >>> Normalized(nn.Flatten(), mean=[0.5], std=[0.25])(torch.ones(1, 1, 1, 2))
    tensor([[2., 2.]])
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        model: nn.Module,
        mean: Sequence[float],
        std: Sequence[float],
        *,
        bgr: bool = False,
    ) -> None:
        super().__init__()
        if len(mean) != len(std) or not all(value > 0 for value in std):
            raise InputError(f"mean {mean} and std {std} need one value a channel, std above 0")
        self.model = model
        self.bgr = bgr
        self.preprocessing: Preprocessing | None = None
        self.class_names: tuple[str, ...] | None = None
        self.shape: tuple[int, ...] | None = getattr(model, "shape", None)
        self.register_buffer("mean", torch.tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).view(-1, 1, 1), persistent=False)
        self.train(model.training)

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Tensor:
        """The network's logits of the normalised images."""
        x = (images - self.mean) / self.std
        logits: Tensor = self.model(x.flip(-3) if self.bgr else x)
        return logits


def with_preprocessing(
    model: nn.Module, preprocessing: Preprocessing, class_names: Sequence[str] | None = None
) -> Normalized:
    """A network of pixels in [0, 1], RGB, that normalises them as `preprocessing` says.

    How photographs become such pixels is kept with it (`preprocessing_of`).

    >>> tensorflow = Preprocessing(scale=2, mean=(1, 1, 1))
    >>> with_preprocessing(nn.Flatten(), tensorflow)(torch.zeros(1, 3, 1, 1))
    tensor([[-1., -1., -1.]])
    """
    order = -1 if preprocessing.channels == "BGR" else 1
    mean = (preprocessing.mean or (0.0,) * preprocessing.shape[0])[::order]
    std = (preprocessing.std or (1.0,) * preprocessing.shape[0])[::order]
    scaled = ([value / preprocessing.scale for value in values] for values in (mean, std))
    network = Normalized(model, *scaled, bgr=preprocessing.channels == "BGR")
    network.preprocessing = preprocessing
    network.class_names = None if class_names is None else tuple(class_names)
    network.shape = preprocessing.shape
    return network


def preprocessing_of(model: nn.Module) -> Preprocessing | None:
    """How photographs become what this network takes, if it or its `shape` says."""
    known = getattr(model, "preprocessing", None)
    if isinstance(known, Preprocessing):
        return known
    shape = getattr(model, "shape", None)
    return of_shape(shape) if shape is not None and len(shape) == 3 else None


def own_labels(model: nn.Module, images: ImageSet, batch_size: int = 64) -> ImageSet:
    """The same images with the classes that the network gives them, where there are no true ones.

    A distortion is then that at which the network changes its mind.

    Raises InputError if there are no images.
    """
    if not len(images):
        raise InputError("there are no images; give at least one")
    like = next(model.parameters(), images.images)
    with torch.no_grad():
        logits = [model(b.images.to(like.device, like.dtype)) for b in images.batches(batch_size)]
    given = torch.cat(logits).cpu()
    known = getattr(model, "class_names", None)
    names = known if known is not None and len(known) == given.shape[1] else None
    names = names or tuple(map(str, range(given.shape[1])))
    return replace(images, labels=given.argmax(1), class_names=tuple(names))


def check_classifier(
    model: nn.Module,
    images: Float[Tensor, "batch ..."],
    labels: Int64[Tensor, " batch"] | None = None,
    *,
    finite: bool = True,
) -> int:
    """Number of classes of a usable classifier: evaluation mode, finite logits, one row an image.

    Args:
        model: Any module from images to logits.
        images: What it is going to be asked about; the first few are tried.
        labels: Their classes, if the caller relies on any.
        finite: Whether NaN or infinite logits are refused.

    Raises:
        InputError: If the model is in training mode, does not take these images, gives something
            other than finite logits of shape (batch, classes), gives probabilities, or has fewer
            classes than the labels.

    >>> model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).eval()
    >>> check_classifier(model, torch.rand(2, 1, 2, 2))
    3
    """
    if model.training:
        raise InputError("the model is in training mode; call model.eval() first")
    if not len(images):
        raise InputError("there are no images; give at least one")
    probes = images[:_PROBES]
    logits = _try(model, probes)
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != len(probes):
        got = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise InputError(
            f"the model maps images of shape {tuple(probes.shape)} to {got}; "
            f"it must give logits of shape ({len(probes)}, classes)"
        )
    if finite and not logits.isfinite().all():
        raise InputError(
            "the model gives NaN or infinite logits; check its weights and that the images are in "
            "the range it was trained on"
        )
    if _probabilities(logits):
        raise InputError(
            "the model gives probabilities, not logits; remove its final softmax, or wrap it so "
            "that it returns their logarithm"
        )
    classes = logits.shape[1]
    if labels is not None and len(labels):
        low, high = int(labels.min()), int(labels.max())
        if low < 0 or high >= classes:
            raise InputError(
                f"labels run from {low} to {high} but the model has {classes} classes; "
                f"labels must be 0 … {classes - 1}"
            )
    return classes


def check_gradients(model: nn.Module, images: Float[Tensor, "batch ..."]) -> None:
    """Refuse a model whose logits change with the images but have no gradient for them.

    A model that gives the same logits whatever the image is not refused.

    Raises:
        InputError: As said.
    """
    with torch.enable_grad():
        logits = model(images[:_PROBES].detach().clone().requires_grad_())
    if not logits.requires_grad and bool((logits != logits[:1]).any()):
        raise InputError(
            "the model's logits have no gradient for its images; remove torch.no_grad, detach and "
            'numpy from its forward, or search without gradients: method="noise"'
        )


def _try(model: nn.Module, probes: Tensor) -> object:
    """The model's answer to `probes`; InputError showing both shapes when it does not fit."""
    try:
        with torch.no_grad():
            return model(probes)
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        own = next(model.parameters(), probes)
        if (own.device, own.dtype) != (probes.device, probes.dtype):
            raise InputError(
                f"the images are {probes.dtype} on {probes.device}, the model {own.dtype} on "
                f"{own.device}; move the images: images.to(device, dtype)"
            ) from error
        weight = next((tuple(p.shape) for p in model.parameters() if p.ndim > 1), None)
        raise InputError(
            f"the model does not take images of shape {tuple(probes.shape)} (its first weight has "
            f"shape {weight}): {str(error).splitlines()[0]}; give it images of the size it was "
            "made for"
        ) from error


def _probabilities(logits: Tensor) -> bool:
    """Whether every row is a distribution; too few rows could be one by chance and do not count."""
    if len(logits) < 2 or logits.shape[1] < 2:
        return False
    near = (logits.sum(1) - 1).abs().max() < 1e-4
    return bool(near and logits.min() >= 0 and logits.max() <= 1)
