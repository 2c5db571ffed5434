"""Networks by name: the paper's architectures, saved weights, and anybody's own Python file."""

import importlib.util
import re
from pathlib import Path

from torch import nn

from intriguing.errors import InputError
from intriguing.models.autoencoder import AutoencoderClassifier
from intriguing.models.fully_connected import FullyConnected
from intriguing.models.weights import read_model

ACCEPTED = (
    "fcA-B-...-K (layers of A, B, ... sigmoid units and K classes, such as fc100-100-10), "
    "aeH-K (H code units, K classes, such as ae400-10), FILE.safetensors saved by intriguing, "
    "or FILE.py:FUNCTION (a function without arguments that returns the network)"
)


def build(name: str, pixels: int = 784) -> FullyConnected | AutoencoderClassifier:
    """An untrained network of the paper by its name.

    Args:
        name: "fc10", "fc100-100-10", "fc123-456-10", "ae400-10" or any of these patterns.
        pixels: Numbers in one image.

    Raises:
        InputError: If the name fits no pattern.

    >>> build("fc123-456-10").sizes
    (784, 123, 456, 10)
    """
    if match := re.fullmatch(r"fc([1-9]\d*(?:-[1-9]\d*)*)", name.lower()):
        return FullyConnected((pixels, *map(int, match[1].split("-"))))
    if match := re.fullmatch(r"ae([1-9]\d*)-([1-9]\d*)", name.lower()):
        return AutoencoderClassifier(pixels, int(match[1]), int(match[2]))
    raise InputError(f"unknown network {name!r}; give {ACCEPTED}")


def load_model(spec: str | Path) -> nn.Module:
    """A trained network in evaluation mode.

    Args:
        spec: FILE.safetensors written by `save_model`, or FILE.py:FUNCTION, which is run.

    Raises:
        InputError: If there is no such file or function, or it is not what it should be.
    """
    text = str(spec)
    if text.endswith(".safetensors"):
        return _from_weights(Path(text))
    path, separator, function = text.rpartition(":")
    if separator and path.endswith(".py"):
        return _from_python(Path(path), function)
    raise InputError(f"unknown network {text!r}; give {ACCEPTED}")


def _from_weights(path: Path) -> nn.Module:
    weights, architecture, _ = read_model(path)
    first = next((tensor for tensor in weights.values() if tensor.ndim == 2), None)
    model = build(architecture, pixels=784 if first is None else first.shape[1])
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise InputError(f"the weights in {path} do not fit {architecture}: {error}") from error
    model.to(next(iter(weights.values())).dtype)
    return model.eval()


def _from_python(path: Path, function: str) -> nn.Module:
    if not path.is_file():
        raise InputError(f"there is no file {path}; give FILE.py:FUNCTION")
    location = importlib.util.spec_from_file_location(path.stem, path)
    if location is None or location.loader is None:
        raise InputError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(location)
    location.loader.exec_module(module)
    make = getattr(module, function, None)
    if not callable(make):
        raise InputError(f"{path} has no function {function!r} that returns the network")
    model = make()
    if not isinstance(model, nn.Module):
        raise InputError(f"{path}:{function} returns {type(model).__name__}, not a torch.nn.Module")
    return model.eval()
