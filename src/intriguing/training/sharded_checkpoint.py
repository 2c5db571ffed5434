"""A training's state from any number of processes, readable by any other number of them.

torch.distributed.checkpoint writes what each process holds, and a reader takes the parts it needs:
arrays have the shape of the whole, however they were spread.  The files are safetensors.
"""

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save

from intriguing.errors import InputError
from intriguing.files import write_whole
from intriguing.written import delete_stale, note_written

_NOTES = "notes.json"
_SHARD = "shard-{:05}-model-00001-of-00001.safetensors"
"""What torch calls the file of a process, counted from 1."""


def save_sharded(path: Path, arrays: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write arrays (tensors or DTensors) to a folder that replaces the one before when whole.

    Every process calls this with its own part; the notes are the first process's.
    """
    writer, _ = _storage()
    new, old = path.with_name(f"{path.name}.new"), path.with_name(f"{path.name}.old")
    if _first():
        for stale in (new, old):
            remove_sharded(stale)
            if os.path.lexists(stale):
                raise InputError(
                    f"{stale} holds more than a checkpoint, which would go; move it elsewhere"
                )
        new.mkdir(parents=True)
    _wait()
    mine = _SHARD.format((dist.get_rank() if dist.is_initialized() else 0) + 1)
    for folder in (new, path, old):  # where it is written, and where it is moved to
        note_written(folder / mine)
        note_written(folder / _NOTES)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        save(
            _flat(arrays),
            storage_writer=writer(str(new), save_distributed=True),
            no_dist=not dist.is_initialized(),
        )
    _wait()
    if _first():
        write_whole(new / _NOTES, json.dumps(dict(notes)))
        if path.exists():
            path.rename(old)
        new.rename(path)
        remove_sharded(old)
    _wait()


def load_notes(path: Path) -> dict[str, Any] | None:
    """The notes of a checkpoint; None when there is none.

    A stop between the two renamings of `save_sharded` leaves the one before under another name.
    """
    for folder in (path, path.with_name(f"{path.name}.old")):
        if (folder / _NOTES).is_file():
            notes: dict[str, Any] = json.loads((folder / _NOTES).read_text())
            return {**notes, "folder": str(folder)}
    return None


def load_sharded(folder: Path, arrays: Mapping[str, Tensor]) -> None:
    """Fill `arrays`, in place, each process its own part, from a checkpoint's folder.

    Raises:
        InputError: If the checkpoint lacks one of them or its shape is another.
    """
    _, reader = _storage()
    flat = _flat(arrays)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            load(flat, storage_reader=reader(str(folder)), no_dist=not dist.is_initialized())
    except (CheckpointException, RuntimeError, ValueError, KeyError, OSError) as error:
        raise InputError(
            f"{folder} does not hold this training ({str(error).splitlines()[0]}); delete it or "
            "choose another"
        ) from error
    for name, tensor in arrays.items():
        if tensor.ndim == 0:
            with torch.no_grad():
                tensor.copy_(flat[name][0])


def remove_sharded(folder: Path) -> None:
    """Delete a checkpoint's files; the folder stays where somebody put something else into it."""
    if not folder.is_dir() or folder.is_symlink():
        return
    for file in (*folder.glob("shard-*"), folder / _NOTES):
        file.unlink(missing_ok=True)
    delete_stale([folder / _NOTES])
    with suppress(OSError):
        folder.rmdir()


def _flat(arrays: Mapping[str, Tensor]) -> dict[str, Any]:
    """What the files can hold: arrays of one dimension at least, contiguous."""
    return {
        name: tensor.detach().reshape(1).clone() if tensor.ndim == 0 else tensor.detach()
        for name, tensor in arrays.items()
    }


def _storage() -> tuple[Any, Any]:
    try:
        from torch.distributed.checkpoint.hf_storage import (
            HuggingFaceStorageReader,
            HuggingFaceStorageWriter,
        )
    except ImportError as error:
        raise InputError(
            f"checkpoints of many processes need a newer torch than {torch.__version__}, which "
            "cannot write them as safetensors; upgrade to 2.9 or later, or train without one"
        ) from error
    return HuggingFaceStorageWriter, HuggingFaceStorageReader


def _first() -> bool:
    return not dist.is_initialized() or dist.get_rank() == 0


def _wait() -> None:
    if dist.is_initialized():
        dist.barrier()
