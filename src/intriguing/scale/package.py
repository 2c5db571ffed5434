"""Work as bytes that another process can read: a network, images, and what is to be done with them.

Tensors lie in the file as they are in memory, so several processes of one machine map the same
pages. Functions and classes of a user's own files travel inside, as these files have names that
nobody else could import.
"""

import hashlib
import io
import os
import pickle
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import cloudpickle
import torch

OWN = "_own_"
"""How modules of users' own files are called, by `models.load`."""


def pack(work: Any, file: Path | io.BytesIO) -> str:
    """Write work to a file; gives the digest of what was written."""
    modules = _unimportable()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        torch.save(work, file, pickle_module=cloudpickle)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)
    return _digest(file)


def unpack(file: Path | io.BytesIO) -> tuple[Any, str]:
    """Work as the same person's other process wrote it, and the digest of what was read."""
    mapped = isinstance(file, Path)
    return torch.load(file, mmap=mapped, weights_only=False, pickle_module=pickle), _digest(file)


def _digest(file: Path | io.BytesIO) -> str:
    if isinstance(file, io.BytesIO):
        return hashlib.sha256(file.getbuffer()).hexdigest()
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _unimportable() -> list[ModuleType]:
    """Users' own files, and their neighbours, which were found from there."""
    files = {
        name: os.path.realpath(file)
        for name, module in list(sys.modules.items())
        if (file := getattr(module, "__file__", None))
    }
    own = {name for name in files if name.startswith(OWN)}
    folders = tuple(os.path.dirname(files[name]) + os.sep for name in own)
    known = tuple(os.path.realpath(place or ".") + os.sep for place in sys.path)
    beside = {
        name for name, file in files.items()
        if folders and file.startswith(folders) and not file.startswith(known)
    }  # fmt: skip
    return [sys.modules[name] for name in sorted(own | beside)]
