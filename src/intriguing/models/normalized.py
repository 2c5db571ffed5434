"""A network that normalises its images itself, so that distortions are measured on the images."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from intriguing.data.preprocessing import Preprocessing, of_shape
from intriguing.errors import InputError
from intriguing.models.classifier import device_of, own_dtypes
from intriguing.models.evaluation import training_parts


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
        # Where the network is, and in its precision: wider numbers would widen what it is given.
        like = torch.zeros((), device=device_of(model), dtype=next(iter(own_dtypes(model)), None))
        self.register_buffer("mean", like.new_tensor(mean).view(-1, 1, 1), persistent=False)
        self.register_buffer("std", like.new_tensor(std).view(-1, 1, 1), persistent=False)
        self.training = bool(training_parts(model))

    def forward(self, images: Float[Tensor, "batch channel height width"]) -> Tensor:
        """The network's logits of the normalised images."""
        x = (images - self.mean) / self.std
        logits: Tensor = self.model(x.flip(-3) if self.bgr else x)
        return logits


def normalized_for_caffe(model: nn.Module) -> Normalized:
    """A network that wants pixels from 0 to 255, blue first, less ImageNet's mean colour."""
    mean = (123 / 255, 117 / 255, 104 / 255)
    return Normalized(model, mean, (1 / 255,) * 3, bgr=True)


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
