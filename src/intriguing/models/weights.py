"""Weights on disk and their digest: safetensors with JSON metadata, written whole."""

import hashlib
import json
import pickle
import warnings
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from intriguing.addresses import on_disk
from intriguing.errors import InputError
from intriguing.files import check_regular, settled, write_whole
from intriguing.names import storable


def save_model(
    path: Path, model: nn.Module, architecture: str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model's weights with the name `build_network` knows its architecture by.

    Args:
        path: The .safetensors file.
        model: Any module; its state_dict is written.
        architecture: For instance "fc100-100-10".
        metadata: More to keep, JSON.
    """
    tensors = {name: tensor.detach() for name, tensor in model.state_dict().items()}
    notes = {"architecture": architecture, "metadata": json.dumps(dict(metadata or {}))}
    write_tensors(path, tensors, notes)


def read_model(path: Path) -> tuple[dict[str, Tensor], str, dict[str, Any]]:
    """Weights, architecture and metadata that `save_model` wrote."""
    tensors, notes = read_tensors(path)
    if "architecture" not in notes:
        raise InputError(
            f"{path} names no architecture; give it before the file, as in squeezenet:{path.name}, "
            "save the weights with intriguing's save_model, or give path.py:function that builds "
            "the network and loads them"
        )
    try:
        metadata = json.loads(notes.get("metadata", "{}"))
    except (ValueError, RecursionError) as error:
        raise InputError(
            f"{path} has damaged metadata ({error}); save the weights again"
        ) from error
    if not isinstance(metadata, dict):
        raise InputError(f"{path} has damaged metadata ({metadata!r:.60}); save the weights again")
    return tensors, notes["architecture"], metadata


def read_foreign(path: Path) -> dict[str, Tensor]:
    """Weights that others wrote: safetensors, or a file of `torch.save` that holds tensors only.

    A checkpoint's `state_dict` is taken out of it.  Nothing in the file is executed.

    Raises:
        InputError: If the file is none of these, or would execute code.
    """
    if path.suffix == ".safetensors":
        return read_tensors(path)[0]
    check_regular(path, "give the file of the weights")
    if _is_program(path):
        raise InputError(
            f"{path} is a TorchScript program, and loading it could execute anything: refused; "
            "where it comes from, save model.state_dict() alone, best as safetensors, or give "
            "FILE.py:FUNCTION that loads it with torch.jit.load, if you trust it"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            content = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise InputError(
            f"{path} holds more than tensors, and reading it could execute code: refused; where it "
            "comes from, save model.state_dict() alone, best as safetensors"
        ) from error
    except Exception as error:  # a damaged pickle ends its reader in any way
        said = f"{type(error).__name__}: {str(error).partition('. ')[0]}".splitlines()[0]
        raise InputError(f"cannot read {path} as weights ({said}); is it whole?") from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    weights = content if isinstance(content, dict) else {}
    names = all(isinstance(name, str) for name in weights)
    if not weights or not names or not all(isinstance(t, Tensor) for t in weights.values()):
        raise InputError(f"{path} holds no state_dict of tensors")
    return {name: _dense_copy(path, name, tensor) for name, tensor in weights.items()}


def _is_program(path: Path) -> bool:
    """Whether the file is a zip with code in it, as torch.jit and torch.export save."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError, UnicodeError):
        return False
    return any(name.endswith("/constants.pkl") or "/code/" in name for name in names)


def _dense_copy(path: Path, name: str, tensor: Tensor) -> Tensor:
    """A weight with memory of its own: a file may spread one number over any shape by strides."""
    held = tensor.untyped_storage().nbytes() if tensor.layout == torch.strided else 0
    plain = tensor.device.type == "cpu" and not tensor.is_quantized
    if not plain or tensor.numel() * tensor.element_size() > held:
        raise InputError(
            f"{path}: {name} says that it has {'×'.join(map(str, tensor.shape))} numbers and holds "
            f"{held:,} bytes; save model.state_dict() again, dense"
        )
    return tensor.detach().clone()


def fit_names(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights under the names, and without the empty dimensions, that a network wants.

    A weight keeps its name where the network has it, or has it but for the words with which all
    names wanted and all given begin ("module.", "model.").  Else it takes the one wanted name that
    continues it on the left, or that it continues ("conv1.weight", "features.conv1.weight" and
    "module.features.conv1.weight" are one); what fits no or several names is left as it is.

    >>> fit_names({"conv1.bias": torch.ones(1, 2)}, {"model.conv1.bias": torch.zeros(2)})
    {'model.conv1.bias': tensor([1., 1.])}
    """
    fitted, skipped = {}, len(_common_prefix(weights))
    begun = _common_prefix(wanted)
    for given, tensor in weights.items():
        whole = next((n for n in (given, begun + given[skipped:]) if n in wanted), None)
        names = [whole] if whole else [w for w in wanted if _continues(w, given)]
        name = names[0] if len(names) == 1 else given
        like = wanted.get(name)
        if like is not None and _dense(tensor) == _dense(like):
            tensor = tensor.reshape(like.shape)
        fitted[name] = tensor
    return fitted


def without_common_prefix(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same weights without the words with which all names begin, such as "module."

    >>> list(without_common_prefix({"net.0.bias": torch.ones(1), "net.1.bias": torch.ones(1)}))
    ['0.bias', '1.bias']
    """
    skipped = len(_common_prefix(weights))
    return {name[skipped:]: tensor for name, tensor in weights.items()}


def _common_prefix(names: Iterable[str]) -> str:
    """Whole words, each with its dot."""
    columns = zip(*(name.split(".")[:-1] for name in names), strict=False)
    alike = takewhile(lambda words: len(set(words)) == 1, columns)
    return "".join(f"{words[0]}." for words in alike)


def _continues(one: str, other: str) -> bool:
    return one.endswith(f".{other}") or other.endswith(f".{one}")


def _dense(tensor: Tensor) -> list[int]:
    """Its shape without dimensions of one, which Caffe's old files add."""
    return [size for size in tensor.shape if size != 1]


def model_sha256(model: nn.Module) -> str:
    """Digest of every weight and buffer with its name, shape and dtype.

    Also of what is not among the weights: buffers that are not saved, such as a normalisation's,
    the packed weights of int8 layers, and the constants of a frozen TorchScript network.
    """
    digest = hashlib.sha256()
    known = dict(model.state_dict())
    known |= {name: buffer for name, buffer in model.named_buffers() if name not in known}
    for name, value in sorted(known.items()):
        for tensor in _values(value):
            digest.update(str((name, tensor.dtype, tuple(tensor.shape))).encode())
            raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
            digest.update(raw.numpy().tobytes())
    for tensor in _frozen(model) if isinstance(model, torch.jit.ScriptModule) else ():
        digest.update(str((tensor.dtype, tuple(tensor.shape))).encode())
        digest.update(
            tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        )
    return digest.hexdigest()


def _frozen(model: torch.jit.ScriptModule) -> Iterator[Tensor]:
    """The constants that freezing made of weights."""
    graph: Any = model.graph
    for node in graph.findAllNodes("prim::Constant", True):
        value = node.output().toIValue()
        if isinstance(value, Tensor):
            yield value


def _values(value: Any) -> Iterator[Tensor]:
    """The numbers of an entry of a state_dict, which int8 layers fill with more than tensors."""
    if isinstance(value, Tensor):
        if value.is_quantized:
            scale, zero = value.qscheme(), value.dtype
            yield torch.tensor(list(f"{scale} {zero}".encode()), dtype=torch.uint8)
            per_channel = value.qscheme() in (torch.per_channel_affine, torch.per_channel_symmetric)
            yield value.q_per_channel_scales() if per_channel else torch.tensor(value.q_scale())
            yield value.int_repr()
        else:
            yield value
    elif isinstance(value, tuple | list):
        for part in value:
            yield from _values(part)
    elif value is not None:
        yield torch.tensor(list(repr(value).encode()), dtype=torch.uint8)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all, also when killed or the disk is full."""
    words = {key: storable(value) for key, value in metadata.items()}
    content = save({k: v.cpu().contiguous() for k, v in tensors.items()}, words)
    write_whole(path, settled(content))


BROKEN = (OSError, ValueError, TypeError, KeyError, AttributeError, RuntimeError, OverflowError)
"""What readers of safetensors raise besides their own error, for types that they do not know."""


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; InputError when it is not one."""
    check_regular(path, "give a file of safetensors")
    try:
        with safe_open(on_disk(path), framework="pt") as file:
            names = file.keys()
            # Cloned, so that memory is aligned as torch aligns it: BLAS sums in another order else.
            return {key: file.get_tensor(key).clone() for key in names}, file.metadata() or {}
    except (SafetensorError, *BROKEN) as error:
        raise InputError(f"cannot read {path} as safetensors ({error}); is it whole?") from error
