"""The key under which something computed is kept: derived from all that its making was given.

Nobody lists what counts.  Whole values go in, and every field of a dataclass, every weight of a
network and every setting of its modules with them; so a field that is added to a configuration is
in the key without anybody thinking of it, and what is kept never answers for another question.
"""

import hashlib
import inspect
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import Field, fields, is_dataclass
from enum import Enum
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

APART: Mapping[str, bool] = {"apart": True}
"""Metadata of a dataclass's field that decides nothing: what people call a thing, or how long it
took.  `field(metadata=APART)` leaves it out of every key."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


def derive_key(*given: object) -> str:
    """One digest of everything in `given`, in its order.

    Plain values, enumerations, paths, tensors, arrays, devices, mappings, sequences, sets,
    dataclasses and networks go in whole.  A dataclass with a digest of its own, `sha256`, may
    have it in place of its tensors (an `ImageSet`: of images and labels), its network, and what has
    one itself (images that are read when they are asked for, and their ids).  One with a `digest`
    of all its fields (`derive_digest`) goes in by it.

    Raises:
        TypeError: Of anything else, such as a function: it has no value to compare.

    >>> derive_key({"budget": 100}, "closest") == derive_key({"budget": 101}, "closest")
    False
    >>> derive_key(1) == derive_key(1.0) or derive_key("ab", "c") == derive_key("a", "bc")
    False
    """
    return _hashed(_pieces(given))


def derive_seed(*given: object) -> int:
    """A seed of a generator, for a part of something drawn: no two parts and seeds share draws."""
    return int(derive_key(*given)[:15], 16)


def derive_digest(value: Any) -> str:
    """One digest of a dataclass's fields, for it to keep: many others may have it as a field."""
    return _hashed(_fields(value))


def counted(field: "Field[Any]") -> bool:
    """Whether a dataclass's field is part of its key."""
    return not field.metadata.get("apart", False)


def _hashed(pieces: Iterable[bytes | memoryview]) -> str:
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "little"))
        digest.update(piece)
    return digest.hexdigest()


def _pieces(value: object) -> Iterator[bytes | memoryview]:
    """The value as bytes that no other value has."""
    if isinstance(value, Enum):
        yield f"{type(value).__qualname__}.{value.name}".encode()
    elif isinstance(value, _PLAIN):
        yield f"{type(value).__name__} {value!r}".encode()
    elif isinstance(value, np.generic):
        yield from _pieces(value.item())
    elif isinstance(value, PurePath | torch.dtype | torch.device):
        yield f"{type(value).__name__} {str(value)!r}".encode()  # a path may be no UTF-8
    elif isinstance(value, nn.Module):
        yield from _network(value)
    elif isinstance(value, Tensor | np.ndarray):
        yield from _numbers(value)
    elif is_dataclass(value) and not isinstance(value, type):
        known = getattr(value, "digest", None)
        yield from _fields(value) if known is None else (b"digest", known.encode())
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}".encode()
        for pair in value.items():
            yield from _pieces(pair)
    elif isinstance(value, Set):
        yield from _pieces(sorted(derive_key(one) for one in value))
    elif isinstance(value, Sequence):
        yield f"sequence {len(value)}".encode()
        for one in value:
            yield from _pieces(one)
    else:
        raise TypeError(f"a {type(value).__name__} has no value that a key could be derived from")


def _numbers(value: Tensor | np.ndarray) -> Iterator[bytes | memoryview]:
    tensor = torch.as_tensor(value).detach().cpu().contiguous()
    yield f"numbers {tensor.dtype} {tuple(tensor.shape)}".encode()
    yield tensor.reshape(-1).view(torch.uint8).numpy().data


def _fields(value: Any) -> Iterator[bytes | memoryview]:
    yield f"{type(value).__module__}.{type(value).__qualname__}".encode()
    own = getattr(value, "sha256", None)
    for field in filter(counted, fields(value)):
        one = getattr(value, field.name)
        yield field.name.encode()
        digested = isinstance(one, Tensor | nn.Module) or hasattr(one, "sha256")
        yield from _pieces(own if own is not None and digested else one)


def _network(model: nn.Module) -> Iterator[bytes | memoryview]:
    """Its modules with their settings and what they do, then every weight and buffer.

    Two networks of the same weights are two where one has another activation, stride or forward.
    """
    yield b"network"
    for name, module in model.named_modules():
        yield f"{name!r} {type(module).__module__}.{type(module).__qualname__}".encode()
        yield _forward(module).encode()
        for key, setting in sorted(vars(module).items()):
            if not key.startswith("_") and key not in ("training", "forward") and _is_data(setting):
                yield key.encode()
                yield from _pieces(setting)
    for name, tensor in sorted(model.state_dict().items()):
        yield repr(name).encode()
        yield from _pieces(tensor) if isinstance(tensor, Tensor) else (repr(tensor).encode(),)


def _forward(module: nn.Module) -> str:
    """The source of a forward that is not torch's own; nothing where there is none to be had."""
    if type(module).__module__.startswith("torch.") and "forward" not in vars(module):
        return ""
    try:
        return inspect.getsource(module.forward)
    except (OSError, TypeError):
        return ""


def _is_data(value: object) -> bool:
    """Whether a setting is numbers, words, or a collection of them."""
    if isinstance(value, Mapping):
        return all(map(_is_data, value.values()))
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_data, value))
    return isinstance(value, (*_PLAIN, Enum, np.generic, np.ndarray, Tensor, torch.dtype))
