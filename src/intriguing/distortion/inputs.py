"""Everything a caller can hand over wrongly, refused before any work starts."""

import torch
from torch import Tensor

from intriguing.errors import InputError
from intriguing.measures import UNIT_BOX, Box


def check_images(images: Tensor, box: Box) -> None:
    """Refuse images that are not a batch of finite floating-point numbers inside the box."""
    if not isinstance(images, Tensor):
        raise InputError(
            f"images are a {type(images).__name__}; give a torch.Tensor (torch.as_tensor(images))"
        )
    if not images.is_floating_point():
        raise InputError(
            f"images have dtype {images.dtype}; give floating-point pixels inside the box "
            f"[{box.lower}, {box.upper}], for 8-bit images images.float() / 255"
        )
    if images.dim() < 2:
        raise InputError(
            f"images have shape {tuple(images.shape)}; give a batch, (images, ...): for a single "
            "image, image[None]"
        )
    if images[:1].numel() == 0 and len(images):
        raise InputError(f"images of shape {tuple(images.shape)} have no pixels")
    if not len(images):
        return
    if not bool(images.isfinite().all()):
        broken = (~images.flatten(1).isfinite().all(1)).nonzero()[:, 0]
        raise InputError(
            f"{len(broken)} image(s) hold NaN or infinity, the first at index {int(broken[0])}; "
            "drop or repair them"
        )
    if isinstance(box.lower, Tensor):
        if box.lower.shape != images.shape[1:]:
            raise InputError(
                f"the box has shape {tuple(box.lower.shape)}, an image {tuple(images.shape[1:])}; "
                "give bounds shaped as one image, or numbers"
            )
        if not box.contains(images):
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


def check_labels(labels: Tensor, count: int, classes: int) -> Tensor:
    """Labels as int64, refused when they are not one known class an image."""
    if not isinstance(labels, Tensor):
        raise InputError(f"labels are a {type(labels).__name__}; give an integer torch.Tensor")
    if labels.is_floating_point() or labels.dtype in (torch.bool, torch.complex64):
        raise InputError(f"labels have dtype {labels.dtype}; give integer class numbers")
    if labels.shape != (count,):
        raise InputError(
            f"labels have shape {tuple(labels.shape)} for {count} images; give shape ({count},)"
        )
    low, high = (int(f) for f in labels.aminmax()) if count else (0, 0)
    if not 0 <= low <= high < classes:
        raise InputError(
            f"labels run from {low} to {high}; the model has classes 0 … {classes - 1}"
        )
    return labels.long()


def check_numbers(levels: int | None, batch_size: int | None, box: Box = UNIT_BOX) -> None:
    """Refuse numbers that leave nothing to do."""
    if levels is not None and levels < 2:
        raise InputError(f"levels={levels} leaves no values; give 256 for 8-bit images")
    if levels is not None and isinstance(box.lower, Tensor):
        raise InputError("levels needs one box for all pixels; give box=(lower, upper) as numbers")
    if batch_size is not None and batch_size < 1:
        raise InputError(f"batch_size={batch_size}; give 1 or more, or None to let it be chosen")
