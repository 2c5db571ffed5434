"""Networks of other libraries by name, with the preprocessing that the library itself states.

Each library is an optional extra, imported here only when a name asks for it.
"""

import importlib
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.models.bounded import Bounded
from intriguing.models.converter import import_onnx2torch
from intriguing.models.normalized import with_preprocessing
from intriguing.models.onnx_file import first_line, read_onnx
from intriguing.models.processor import of_processor


def load_hub(hub: str, name: str) -> nn.Module:
    """A pretrained classifier of a library, from pixels in [0, 1] to logits, in evaluation mode.

    Args:
        hub: "torchvision" (its DEFAULT weights), "timm", "hf" (image classifiers of transformers,
            by OWNER/NAME or a folder) or "onnx" (a file; nothing says how it wants its pixels, so
            they come as they are, in [0, 1]).
        name: As the library knows it.

    Raises:
        InputError: If the library is not installed, the text then names the extra; does not know
            the name; or cannot have the weights.
    """
    if not name:
        raise InputError(f"{hub}: needs a name, such as {EXAMPLES[hub]}")
    return HUBS[hub](name).eval()


def _torchvision(name: str) -> nn.Module:
    models = _library("torchvision", "torchvision.models")
    try:
        weights = models.get_model_weights(name).DEFAULT
    except (ValueError, AttributeError) as error:
        raise InputError(f"torchvision has no {name} with weights: {first_line(error)}") from error
    wanted = weights.transforms()
    sides = (*getattr(wanted, "crop_size", ()), *getattr(wanted, "resize_size", ()))
    if len(sides) != 2:  # networks for videos have two of each, for segments no crop
        raise InputError(f"torchvision:{name} is no image classifier; give one, such as resnet50")
    crop, resize = sides
    how = Preprocessing(
        (crop, crop), resize, mean=tuple(wanted.mean), std=tuple(wanted.std),
        interpolation=wanted.interpolation.value,
    )  # fmt: skip
    model = _fetched(name, lambda: models.get_model(name, weights=weights))
    return with_preprocessing(model, how, weights.meta.get("categories"))


def _timm(name: str) -> nn.Module:
    timm = _library("timm", "timm")
    data = _library("timm", "timm.data")
    model = _fetched(name, lambda: timm.create_model(name, pretrained=True))
    wanted: Mapping[str, Any] = data.resolve_model_data_config(model)
    channels, height, width = wanted["input_size"]
    sides = (math.floor(height / wanted["crop_pct"]), math.floor(width / wanted["crop_pct"]))
    mode = wanted.get("crop_mode") or "center"
    if channels not in (1, 3) or mode == "border" or (mode == "center" and height != width):
        raise InputError(
            f"timm:{name} takes images of {channels}×{height}×{width} with crop_mode {mode!r}, "
            "which has no place in a Preprocessing; give FILE.py:FUNCTION that builds it"
        )
    how = Preprocessing(
        (height, width), sides if mode == "squash" else sides[0], mean=tuple(wanted["mean"]),
        std=tuple(wanted["std"]), channels="RGB" if channels == 3 else "L",
        interpolation=wanted["interpolation"],
    )  # fmt: skip
    return with_preprocessing(model, how, (model.pretrained_cfg or {}).get("label_names"))


def _transformers(name: str) -> nn.Module:
    transformers = _library("hf", "transformers")
    classifier, processor = (
        transformers.AutoModelForImageClassification, transformers.AutoImageProcessor,
    )  # fmt: skip
    # Else a repository with code of its own would ask on the terminal whether to run it.
    own = {"trust_remote_code": False}
    model = _fetched(name, lambda: classifier.from_pretrained(name, **own))
    how = of_processor(name, _fetched(name, lambda: processor.from_pretrained(name, **own)))
    names = getattr(model.config, "id2label", None) or {}
    ordered = [str(names[number]) for number in sorted(names)]
    return with_preprocessing(_Logits(model), how, ordered or None)


class _Logits(nn.Module):
    """The logits among all that a classifier of transformers gives."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(pixel_values=images).logits
        return logits


def _onnx(name: str) -> nn.Module:
    path = Path(name)
    check_regular(path, "give onnx:FILE")
    onnx, onnx2torch = _library("onnx", "onnx"), _library("onnx", "onnx2torch", import_onnx2torch)
    graph, sizes = read_onnx(path, onnx)
    try:
        converted = onnx2torch.convert(graph)
        model: nn.Module = Bounded(converted, converted.graph)
    except NotImplementedError as error:
        raise InputError(
            f"{path} has an operator that onnx2torch does not know: {first_line(error)}; export "
            "the network with other operators, or give FILE.py:FUNCTION that builds it in torch"
        ) from error
    except Exception as error:  # each of its converters raises its own
        raise InputError(
            f"{path} cannot be converted by onnx2torch ({first_line(error)}); is it whole? Else "
            "give FILE.py:FUNCTION that builds the network in torch"
        ) from error
    if len(sizes) != 4 or not all(sizes[1:]):
        return model
    if sizes[0] and not _takes(model.eval(), (sizes[0] + 1, *sizes[1:])):
        model = _FixedBatch(model, sizes[0])
    model.shape = tuple(sizes[1:])  # type: ignore[assignment]
    return model


class _FixedBatch(nn.Module):
    """A network exported for one size of batch, asked as often as it takes."""

    def __init__(self, model: nn.Module, size: int) -> None:
        super().__init__()
        self.model, self.size = model, size

    def forward(self, images: Tensor) -> Tensor:
        missing = -len(images) % self.size
        padded = torch.cat((images, images[:1].expand(missing, *images.shape[1:])))
        return torch.cat([self.model(part) for part in torch.split(padded, self.size)])[
            : len(images)
        ]


def _takes(model: nn.Module, shape: tuple[int, ...]) -> bool:
    """Whether a batch of this shape goes through, and a row comes back for each image."""
    try:
        with torch.no_grad():
            return len(model(torch.zeros(shape))) == shape[0]
    except (RuntimeError, ValueError, IndexError, TypeError, MemoryError):
        return False


def _library(extra: str, module: str, get: Callable[[], Any] | None = None) -> Any:
    try:
        return get() if get else importlib.import_module(module)
    except (ImportError, RuntimeError) as error:
        library = module.partition(".")[0]
        missing = isinstance(error, ModuleNotFoundError) and error.name == library
        why = "is not installed" if missing else f"cannot be imported ({first_line(error)})"
        raise InputError(f"{library} {why}; pip install 'intriguing[{extra}]'") from error


def _fetched(name: str, get: Callable[[], Any]) -> Any:
    """What a library gives, its own words about a wrong name or no network as ours."""
    try:
        return get()
    except (OSError, RuntimeError, ValueError, KeyError, ImportError) as error:
        raise InputError(
            f"{name} cannot be had: {first_line(error)}; check the name, and the network if its "
            "weights are not on this machine yet"
        ) from error


HUBS: Mapping[str, Callable[[str], nn.Module]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "hf": _transformers,
    "onnx": _onnx,
}
"""Adding a library is one line here and one function."""

EXAMPLES = {
    "torchvision": "torchvision:resnet50",
    "timm": "timm:resnet50.a1_in1k",
    "hf": "hf:microsoft/resnet-50",
    "onnx": "onnx:FILE.onnx",
}
