"""Shapes and intervals as they are typed, and the shape of what a network takes."""

import re

from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import Box
from intriguing.models.classifier import Classifier
from intriguing.runs.bounding import Shape, check_traceable, shape_of


def parse_shape(text: str) -> Shape:
    """ "3,224,224" or "3x224x224" as sizes."""
    parts = re.split(r"[,x×]", text.replace(" ", "").strip("()[]"))
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(
            f"--input {text} is no shape; give the sizes of one image with commas between, "
            "channels first and without the batch, such as --input 3,224,224"
        )
    return tuple(map(int, parts))


def parse_domain(text: str) -> Box:
    """ "0,1" as an interval."""
    try:
        lower, upper = map(float, text.split(","))
    except ValueError as error:
        raise InputError(
            f"--domain {text} is no interval; give two numbers with a comma between, such as "
            "--domain 0,1 (and --domain=-1,1 where the first is negative)"
        ) from error
    return Box(lower, upper)


def choose_shape(
    spec: str, model: nn.Module, given: Shape | None, images: ImageSet | None
) -> Shape:
    """The shape of one input: as given, else of the images, else what the network says of itself.

    Raises:
        InputError: If nobody says it, two say otherwise, or the network cannot take it.
    """
    _check_finite(spec, model)
    seen = None if images is None else tuple(images.images.shape[1:])
    if given is not None and seen is not None and given != seen:
        raise InputError(
            f"--input {_comma(given)}, but the images of {images.name if images else ''} have "
            f"shape {_comma(seen)}; leave --input out, or --data"
        )
    shape = shape_of(spec, model, given or seen)
    _try(spec, model, shape)
    check_traceable(spec, model, shape)
    return shape


def _check_finite(spec: str, model: nn.Module) -> None:
    named = [*model.named_parameters(), *model.named_buffers()]
    broken = [name for name, t in named if t.is_floating_point() and not t.isfinite().all()]
    if broken:
        raise InputError(
            f"{spec} has weights that are NaN or infinite: {', '.join(broken[:3])}"
            f"{f' and {len(broken) - 3} more' if len(broken) > 3 else ''}; train it again"
        )


def _try(spec: str, model: nn.Module, shape: Shape) -> None:
    try:
        Classifier.of(model).begin(shape)
    except InputError as error:
        raise InputError(
            f"{spec} does not take an image of shape {_comma(shape)} ({error}); give the shape it "
            "was made for: --input SIZES"
        ) from error


def _comma(shape: Shape) -> str:
    return ",".join(map(str, shape))
