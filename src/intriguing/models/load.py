"""Networks by name: the paper's architectures, saved weights, and anybody's own Python file."""

import importlib.util
import math
import re
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import torch
from torch import Tensor, nn

from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.models.alexnet import AlexNet, TorchvisionAlexNet
from intriguing.models.asking import evaluated
from intriguing.models.autoencoder import AutoencoderClassifier
from intriguing.models.classifier import Normalized, with_preprocessing
from intriguing.models.convolutional import Convolutional, shape_of
from intriguing.models.fully_connected import FullyConnected
from intriguing.models.hub import HUBS, load_hub
from intriguing.models.quocnet import CONFIGS, QuocNetClassifier
from intriguing.models.squeezenet import SqueezeNet
from intriguing.models.weights import fit_names, read_foreign, read_model

ACCEPTED = (
    "fcA-B-...-K (layers of A, B, ... sigmoid units and K classes, such as fc100-100-10), "
    "aeH-K (H code units, K classes, such as ae400-10), convA-B-...-H-K (convolutions of A, B, ... "
    "channels, H hidden units and K classes, such as conv32-64-200-10), alexnet, alexnet-caffe, "
    "caffenet, alexnet-torchvision, squeezenet, quocnet-tiny, quocnet-small, quocnet-1b, "
    "FILE.safetensors saved by intriguing, "
    "ARCHITECTURE:FILE (foreign weights, such as squeezenet:FILE.safetensors or "
    "alexnet-torchvision:FILE.pth), "
    "torchvision:NAME, timm:NAME, hf:OWNER/NAME, onnx:FILE, "
    "or FILE.py:FUNCTION (a function without arguments that returns the network, or the network "
    "and its Preprocessing)"
)


def _caffe(model: nn.Module) -> Normalized:
    """A network that wants pixels from 0 to 255, blue first, less ImageNet's mean colour."""
    mean = (123 / 255, 117 / 255, 104 / 255)
    return Normalized(model, mean, (1 / 255,) * 3, bgr=True)


def _torchvision(model: nn.Module) -> Normalized:
    return Normalized(model, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


ON_PHOTOGRAPHS: dict[str, Callable[[], Normalized]] = {
    "alexnet": lambda: _caffe(AlexNet()),
    "alexnet-caffe": lambda: _caffe(AlexNet(k=1, share=1e-4 / 5)),
    "caffenet": lambda: _caffe(AlexNet(k=1, share=1e-4 / 5, pool_first=True)),
    "alexnet-torchvision": lambda: _torchvision(TorchvisionAlexNet()),
    "squeezenet": lambda: _caffe(SqueezeNet()),
}
"""ImageNet's networks, from photographs in [0, 1], RGB, to logits."""

Shape: TypeAlias = tuple[int, int, int]
Small: TypeAlias = FullyConnected | AutoencoderClassifier | Convolutional


def build(name: str, pixels: int | Shape = 784) -> nn.Module:
    """An untrained network of the paper by its name; its weights are torch's own random ones.

    Args:
        name: "fc10", "fc100-100-10", "fc123-456-10", "ae400-10" or any of these patterns, or one
            of the networks for photographs.
        pixels: Numbers in one image, for the patterns; or its shape, channels first, which a
            convolutional network needs unless images are square and gray.

    Raises:
        InputError: If the name fits no pattern.

    >>> build("fc123-456-10").describe()
    'fc123-456-10'
    """
    if match := re.fullmatch(r"(quocnet-[a-z0-9]+)(?:-([1-9]\d*))?", name.lower()):
        if match[1] not in CONFIGS:
            raise InputError(f"unknown size {match[1]}; one of {', '.join(CONFIGS)}")
        return QuocNetClassifier(CONFIGS[match[1]], int(match[2] or 2))
    photographs = ON_PHOTOGRAPHS.get(name.lower())
    return build_small(name, pixels) if photographs is None else photographs()


def build_small(name: str, pixels: int | Shape = 784) -> Small:
    """An untrained network of the paper's MNIST experiments, which `train_network` can train.

    Raises:
        InputError: If the name fits no pattern, or the images do not suit the network.
    """
    if match := re.fullmatch(r"conv([1-9]\d*(?:-[1-9]\d*){2,})", name.lower()):
        *channels, hidden, classes = map(int, match[1].split("-"))
        return Convolutional(channels, hidden, classes, _shape(pixels))
    pixels = pixels if isinstance(pixels, int) else math.prod(pixels)
    if match := re.fullmatch(r"fc([1-9]\d*(?:-[1-9]\d*)*)", name.lower()):
        return FullyConnected((pixels, *map(int, match[1].split("-"))))
    if match := re.fullmatch(r"ae([1-9]\d*)-([1-9]\d*)", name.lower()):
        return AutoencoderClassifier(pixels, int(match[1]), int(match[2]))
    if name.lower() in ON_PHOTOGRAPHS:
        raise InputError(f"{name} is a network for photographs; give fcA-B-...-K, aeH-K or conv…")
    raise InputError(f"unknown network {name!r}; give {ACCEPTED}")


def _shape(pixels: int | Shape) -> Shape:
    """The shape of images of which it, or only the number of pixels, is known."""
    if not isinstance(pixels, int):
        return pixels
    side = math.isqrt(pixels)
    if side**2 != pixels:
        raise InputError(f"{pixels} pixels make no square; give the shape (channels, side, side)")
    return 1, side, side


def load_model(spec: str | Path) -> nn.Module:
    """A trained network in evaluation mode.

    Args:
        spec: FILE.safetensors written by `save_model`; ARCHITECTURE:FILE, weights from elsewhere
            (.safetensors, or .pt and .pth as torch saves them) for a name that `build` knows;
            torchvision:NAME, timm:NAME, hf:OWNER/NAME or onnx:FILE, see `models.hub`; or
            FILE.py:FUNCTION, which is run and returns the network, or (network, Preprocessing).

    Raises:
        InputError: If there is no such file or function, or it is not what it should be.
    """
    text = str(spec)
    hub, _, name = text.partition(":")
    if hub in HUBS:
        return load_hub(hub, name)
    if match := re.fullmatch(r"([A-Za-z][\w-]+):(.+\.(?:safetensors|pth?|pth\.tar))", text):
        path = Path(match[2])
        return _from_weights(path, read_foreign(path), match[1])
    if text.endswith(".safetensors"):
        weights, architecture, _ = read_model(Path(text))
        return _from_weights(Path(text), weights, architecture)
    file, separator, function = text.rpartition(":")
    if separator and file.endswith(".py"):
        return _from_python(Path(file), function)
    if text.lower() in ON_PHOTOGRAPHS:
        raise InputError(
            f"{text} names an architecture without weights; give {text}:FILE.safetensors, or "
            "another of: " + ACCEPTED
        )
    if text.endswith(".onnx"):
        raise InputError(f"{text}: give onnx:{text}")
    if text.endswith((".pt2", ".ptl", ".jit", ".torchscript", ".pkl", ".pickle", ".bin")):
        raise InputError(
            f"{text} is a program or a pickle, and loading it could execute anything: refused; "
            "save the state_dict as safetensors and give ARCHITECTURE:FILE.safetensors, or, if "
            "you trust it, FILE.py:FUNCTION that loads it"
        )
    if text.endswith((".pt", ".pth", ".pth.tar")):
        raise InputError(
            f"{text} holds weights and no network; give ARCHITECTURE:{text} with one of "
            f"{', '.join(ON_PHOTOGRAPHS)} or fcA-B-...-K, or FILE.py:FUNCTION that builds the "
            "network and loads them"
        )
    raise InputError(f"unknown network {text!r}; give {ACCEPTED}")


def _from_weights(path: Path, weights: dict[str, Tensor], architecture: str) -> nn.Module:
    if not weights or len(architecture) > _LONGEST:
        raise InputError(
            f"{path} holds {len(weights)} weights of a network called {architecture[:40]!r}; save "
            "the network again"
        )
    matrices = (tensor for _, tensor in sorted(weights.items()) if tensor.ndim == 2)
    first = next(matrices, None)
    try:
        pixels = shape_of(weights) or (784 if first is None else first.shape[1])
        # Without memory at first: a file may name a network of any size.
        with torch.device("meta"):
            like = build(architecture, pixels)
        fitted = fit_names(weights, like.state_dict())
        like.load_state_dict(fitted, assign=True)
        model = build(architecture, pixels)
        model.load_state_dict(fitted)
        model.to(next(iter(weights.values())).dtype)
    except InputError:
        raise
    except _UNFIT as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        said = "; ".join(line.strip() for line in lines[:3])
        raise InputError(
            f"the weights in {path} do not fit {architecture[:80]}: {said}; give the architecture "
            "that they are of"
        ) from error
    return model.eval()


_LONGEST = 200
"""Characters of an architecture's name: each may name a layer more to build."""
_UNFIT = (RuntimeError, ValueError, TypeError, IndexError, OverflowError, ZeroDivisionError)


def _from_python(path: Path, function: str) -> nn.Module:
    check_regular(path, "give FILE.py:FUNCTION")
    # Under a name of its own, which dataclasses look up, and beside its neighbours.
    location = importlib.util.spec_from_file_location(f"_own_{path.stem}", path)
    if location is None or location.loader is None:
        raise InputError(f"{path} cannot be imported as Python")
    module = importlib.util.module_from_spec(location)
    sys.modules[module.__name__] = module
    sys.path.insert(0, str(path.absolute().parent))
    try:
        location.loader.exec_module(module)
        make = getattr(module, function, None)
        if not callable(make):
            raise InputError(f"{path} has no function {function!r} that returns the network")
        made = make()
    except InputError:
        raise
    except (Exception, SystemExit) as error:  # whatever the file does
        raise InputError(f"{path} ends in {_where(error, path)}; mend it there") from error
    finally:
        sys.path.remove(str(path.absolute().parent))
    model, how = made if isinstance(made, tuple) and len(made) == 2 else (made, None)
    if how is not None and not isinstance(how, Preprocessing):
        raise InputError(
            f"{path}:{function} returns a network and {type(how).__name__}; the second must be an "
            "intriguing.Preprocessing"
        )
    if not isinstance(model, nn.Module):
        raise InputError(f"{path}:{function} returns {type(model).__name__}, not a torch.nn.Module")
    return evaluated(model if how is None else with_preprocessing(model, how))


def _where(error: BaseException, path: Path) -> str:
    """An error of somebody's file in one line, with the last line of the file that it came from."""
    name = path.absolute().as_posix()
    at = [f.lineno for f in traceback.extract_tb(error.__traceback__)
          if Path(f.filename).absolute().as_posix() == name]  # fmt: skip
    line = error.lineno if isinstance(error, SyntaxError) else (at[-1] if at else None)
    words = str(error).strip().splitlines() or [""]
    said = f"{type(error).__name__}: {words[0]}" if words[0] else type(error).__name__
    return said if line is None else f"{said} (line {line})"
