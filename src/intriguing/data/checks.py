"""Images and labels a caller can hand over wrongly, refused before any work starts."""

from typing import Any

import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import Box

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)


def check_images(images: Any, box: Box | None = None) -> None:
    """Refuse images that are not a batch of finite floating-point numbers, inside a box if given.

    Raises InputError.
    """
    check_pixels(images)
    if not len(images):
        return
    if not bool(images.isfinite().all()):
        broken = (~images.flatten(1).isfinite().all(1)).nonzero()[:, 0]
        raise InputError(
            f"{len(broken)} image(s) hold NaN or infinity, the first at index {int(broken[0])}; "
            "drop or repair them"
        )
    if box is not None:
        _check_inside(images, box)


def check_pixels(images: Any) -> None:
    """Refuse what is no batch of floating-point images, whatever their values.

    Raises InputError.
    """
    if not isinstance(images, Tensor):
        raise InputError(
            f"images are a {type(images).__name__}; give a torch.Tensor (torch.as_tensor(images))"
        )
    if not images.is_floating_point():
        raise InputError(
            f"images have dtype {images.dtype}; give floating-point pixels inside the box, for "
            "8-bit images images.float() / 255"
        )
    if images.layout != torch.strided or images.is_meta:
        kind = "on the meta device" if images.is_meta else f"of layout {images.layout}"
        raise InputError(f"images are {kind}; give dense pixels (images.to_dense())")
    if images.dim() < 2:
        raise InputError(
            f"images have shape {tuple(images.shape)}; give a batch, (images, ...): for a single "
            "image, image[None]"
        )
    if images[:1].numel() == 0 and len(images):
        raise InputError(f"images of shape {tuple(images.shape)} have no pixels")


def check_labels(
    labels: Any, count: int, classes: int, *, what: str = "labels", known: str = "the model has"
) -> Tensor:
    """Labels as int64, refused when they are not one known class an image.

    Args:
        labels: Integers of any width.
        count: Images.
        classes: How many there are.
        what: How errors call the labels.
        known: How errors say who knows the classes.

    Raises:
        InputError: As said.
    """
    if not isinstance(labels, Tensor):
        raise InputError(
            f"{what} are a {type(labels).__name__}; give an integer torch.Tensor "
            f"(torch.as_tensor({what}))"
        )
    if labels.dtype not in _INTEGERS:
        raise InputError(f"{what} have dtype {labels.dtype}; give integer class numbers")
    if labels.shape != (count,):
        shape = tuple(labels.shape)
        how = ""
        if shape == (count, 1):
            how = f": {what}[:, 0]"
        elif len(shape) == 2 and shape[0] == count:
            how = f"; for one-hot {what}, {what}.argmax(1)"
        raise InputError(
            f"{what} have shape {shape} for {count} images; give shape ({count},){how}"
        )
    low, high = (int(end) for end in labels.aminmax()) if count else (0, 0)
    if not 0 <= low <= high < classes:
        raise InputError(f"{what} run from {low} to {high}; {known} classes 0 … {classes - 1}")
    return labels.long()


def _check_inside(images: Tensor, box: Box) -> None:
    if isinstance(box.lower, Tensor) and isinstance(box.upper, Tensor):
        if box.lower.shape != images.shape[1:]:
            raise InputError(
                f"the box has shape {tuple(box.lower.shape)}, an image {tuple(images.shape[1:])}; "
                "give bounds shaped as one image, or numbers"
            )
        if not Box(box.lower.to(images), box.upper.to(images)).contains(images):
            raise InputError("images lie outside the box in some pixels; clamp them or widen it")
        return
    if not box.contains(images):
        low, high = float(images.min()), float(images.max())
        raise InputError(
            f"images lie in [{low:g}, {high:g}], outside the box [{box.lower:g}, {box.upper:g}]; "
            + _box_advice(low, high)
        )


def _box_advice(low: float, high: float) -> str:
    if low >= 0 and 1 < high <= 255:
        return "pass box=(0, 255) if the model takes such pixels, or divide the images by 255"
    if low < 0:
        return (
            "normalise inside the model (models.Normalized(model, mean, std)) and pass pixels, or "
            f"pass box=({low:g}, {high:g}) or wider"
        )
    return f"pass box=({low:g}, {high:g}) or wider, or rescale the images"
