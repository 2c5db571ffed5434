"""Work as bytes that another process can read: a network, images, and what is to be done with them.

Tensors lie in the file as they are in memory, so several processes of one machine map the same
pages. Functions and classes of a user's own files travel inside, as these files have names that
nobody else could import.
"""

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


def pack(work: Any, file: Path | io.BytesIO) -> None:
    """Write work to a file."""
    modules = _unimportable()
    for module in modules:
        cloudpickle.register_pickle_by_value(module)
    try:
        torch.save(work, file, pickle_module=cloudpickle)
    finally:
        for module in modules:
            cloudpickle.unregister_pickle_by_value(module)


def unpack(file: Path | io.BytesIO) -> Any:
    """Work as it was written, by the same person's other process."""
    mapped = isinstance(file, Path)
    return torch.load(file, mmap=mapped, weights_only=False, pickle_module=pickle)


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
