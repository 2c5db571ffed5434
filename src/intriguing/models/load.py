"""Trained networks by what is said of them: saved weights, hubs, anybody's own Python file."""

import importlib.util
import re
import sys
import traceback
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.models.evaluation import evaluated
from intriguing.models.family import called, find_family, named_family
from intriguing.models.hub import HUBS, load_hub
from intriguing.models.normalized import with_preprocessing
from intriguing.models.weights import fit_names, read_foreign, read_model

_ELSEWHERE = (
    "FILE.safetensors saved by intriguing, "
    "ARCHITECTURE:FILE (foreign weights, such as squeezenet:FILE.safetensors or "
    "alexnet-torchvision:FILE.pth), "
    "torchvision:NAME, timm:NAME, hf:OWNER/NAME, onnx:FILE, "
    "or FILE.py:FUNCTION (a function without arguments that returns the network, or the network "
    "and its Preprocessing)"
)


def load_model(spec: str | Path) -> nn.Module:
    """A trained network in evaluation mode.

    Args:
        spec: FILE.safetensors written by `save_model`; ARCHITECTURE:FILE, weights from elsewhere
            (.safetensors, or .pt, .pth and .th as torch saves them) for a name that
            `build_network` knows;
            torchvision:NAME, timm:NAME, hf:OWNER/NAME or onnx:FILE, see `models.hub`; or
            FILE.py:FUNCTION, which is run and returns the network, or (network, Preprocessing).

    Raises:
        InputError: If there is no such file or function, or it is not what it should be.
    """
    text = str(spec)
    hub, _, name = text.partition(":")
    if hub in HUBS:
        return load_hub(hub, name)
    if match := re.fullmatch(r"([A-Za-z][\w-]+):(.+\.(?:safetensors|pth?|th|pth\.tar))", text):
        path = Path(match[2])
        return _from_weights(path, read_foreign(path), match[1])
    if text.endswith(".safetensors"):
        weights, architecture, _ = read_model(Path(text))
        return _from_weights(Path(text), weights, architecture)
    file, separator, function = text.rpartition(":")
    if separator and file.endswith(".py"):
        return _from_python(Path(file), function)
    if family := named_family(text):
        trained = family.unlabelled or not family.untrained
        first = f"first `intriguing train {text} DATA`, then give {text}.safetensors; or "
        raise InputError(
            f"{text} names an architecture without weights; {first if trained else ''}give "
            f"{text}:FILE.safetensors with weights from elsewhere"
        )
    if text.endswith(".onnx"):
        raise InputError(f"{text}: give onnx:{text}")
    if text.endswith((".pt2", ".ptl", ".jit", ".torchscript", ".pkl", ".pickle", ".bin")):
        raise InputError(
            f"{text} is a program or a pickle, and loading it could execute anything: refused; "
            "save the state_dict as safetensors and give ARCHITECTURE:FILE.safetensors, or, if "
            "you trust it, FILE.py:FUNCTION that loads it"
        )
    if text.endswith((".pt", ".pth", ".th", ".pth.tar")):
        raise InputError(
            f"{text} holds weights and no network; give ARCHITECTURE:{text} with one of "
            f"{called()}, or FILE.py:FUNCTION that builds the network and loads them"
        )
    raise InputError(
        f"unknown network {text!r}; give {_ELSEWHERE}, or train one of these first: {called()}"
    )


def _from_weights(path: Path, weights: dict[str, Tensor], architecture: str) -> nn.Module:
    if not weights or len(architecture) > _LONGEST:
        raise InputError(
            f"{path} holds {len(weights)} weights of a network called {architecture[:40]!r}; save "
            "the network again"
        )
    try:
        family = find_family(architecture)
        # Without memory at first: a file may name a network of any size.
        with torch.device("meta"):
            like = family.like(architecture, weights)
        fitted = fit_names(weights, like.state_dict())
        like.load_state_dict(fitted, assign=True)
        model = family.like(architecture, weights)
        model.load_state_dict(fitted)
        # Not that of a counter, which batch normalisation has.
        model.to(next((w.dtype for w in weights.values() if w.is_floating_point()), None))
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
_UNFIT = (
    RuntimeError, ValueError, TypeError, LookupError, OverflowError, ZeroDivisionError,
)  # fmt: skip


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
