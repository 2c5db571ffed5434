"""Weights on disk and their digest: safetensors with JSON metadata, written whole."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.files import write_whole


def save_model(
    path: Path, model: nn.Module, architecture: str, metadata: Mapping[str, Any] | None = None
) -> None:
    """Write a model's weights with the name `build` knows its architecture by.

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
            f"{path} names no architecture; save the weights with intriguing's save_model, or give "
            "path.py:function that builds the network and loads them"
        )
    return tensors, notes["architecture"], json.loads(notes.get("metadata", "{}"))


def model_sha256(model: nn.Module) -> str:
    """Digest of every weight and buffer with its name, shape and dtype."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(str((name, tensor.dtype, tuple(tensor.shape))).encode())
        raw = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(raw.numpy().tobytes())
    return digest.hexdigest()


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> None:
    """Write a safetensors file whole or not at all, also when killed or the disk is full."""
    write_whole(path, save({k: v.cpu().contiguous() for k, v in tensors.items()}, dict(metadata)))


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a safetensors file; InputError when it is not one."""
    try:
        with safe_open(path, framework="pt") as file:
            names = file.keys()
            # Cloned, so that memory is aligned as torch aligns it: BLAS sums in another order else.
            return {key: file.get_tensor(key).clone() for key in names}, file.metadata() or {}
    except (SafetensorError, FileNotFoundError, IsADirectoryError) as error:
        raise InputError(f"cannot read {path} as safetensors ({error}); is it whole?") from error
