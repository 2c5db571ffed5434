"""Images that are read when they are asked for and kept by nobody: a million are ids and labels.

A set of them is an `ImageSet` whose `images` are no tensor but give one for any part. Whoever works
in shards, in this process or another, reads its own part and nothing else.
"""

import hashlib
import socket
import warnings
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.data.limits import LIMITS, Limits
from intriguing.data.preprocessing import Preprocessing
from intriguing.names import readable


class Files(Protocol):
    """Files of pictures, each by its place; it can be pickled, and opened again elsewhere."""

    def read(self, place: int, limits: Limits) -> bytes:
        """One file's content."""

    @property
    def sha256(self) -> str:
        """Of what tells that the files are still the same: names, sizes, times or checksums."""

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files or folders that they are in."""


@dataclass(frozen=True)
class Streamed:
    """Pixels of pictures, as a tensor of that shape would give them; no more is read than is asked.

    Attributes:
        files: Where they are.
        how: Makes pixels of a file.
        places: Which files, in the order of the images.
        limits: What a picture may ask for.
    """

    files: Files
    how: Preprocessing
    places: np.ndarray
    limits: Limits = LIMITS

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int | slice | Tensor) -> Tensor:
        """Pixels in [0, 1], float32; NaN of a file that is no picture.

        Raises:
            FileNotFoundError: If this machine does not have what the files are in.
        """
        chosen = self.at(index).places
        pixels = torch.full((len(chosen), *self.how.shape), torch.nan)
        for row in np.argsort(chosen, kind="stable").tolist():  # as they lie in their files
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    content = self.files.read(int(chosen[row]), self.limits)
                    pixels[row] = self.how.pixels(content, self.limits)
                except Exception:  # of a damaged file, decoders raise what they like
                    self._check_sources()
        return pixels[0] if isinstance(index, int) else pixels

    def _check_sources(self) -> None:
        """That nothing can be read is no fault of a picture where its folder is not there."""
        lost = next((path for path in self.files.sources if not path.exists()), None)
        if lost is not None:
            raise FileNotFoundError(
                f"{lost} is not on {socket.gethostname()}: pictures that are streamed lie where "
                "every machine that computes sees them, at the same place"
            )

    def at(self, index: int | slice | Tensor) -> "Streamed":
        """Some of them, not read yet."""
        if isinstance(index, Tensor):
            return replace(self, places=self.places[index.numpy()])
        part = slice(index, index + 1) if isinstance(index, int) else index
        return replace(self, places=self.places[part])

    @property
    def shape(self) -> torch.Size:
        """Of all of them."""
        return torch.Size((len(self), *self.how.shape))

    @property
    def ndim(self) -> int:
        """4, as they are pictures."""
        return len(self.shape)

    dtype = torch.float32
    device = torch.device("cpu")

    def numel(self) -> int:
        """Numbers in all of them."""
        return self.shape.numel()

    def element_size(self) -> int:
        """Bytes of one."""
        return self.dtype.itemsize

    @cached_property
    def sha256(self) -> str:
        """Of the files' own digest, which of them, and how they are read."""
        digest = hashlib.sha256(repr((self.files.sha256, self.how, self.limits)).encode())
        digest.update(np.ascontiguousarray(self.places).tobytes())
        return digest.hexdigest()


PIECE = 1 << 16
"""Names that are looked at together."""


class Ids(Sequence[str]):
    """Names of images in Arrow: a string of Python's takes six times as much."""

    def __init__(self, names: Any) -> None:
        arrow = isinstance(names, pa.Array | pa.ChunkedArray)
        self.names = names if arrow else pa.array(names, pa.string())

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: Any) -> Any:
        found = self.names[index]
        return tuple(found.to_pylist()) if isinstance(index, slice) else found.as_py()

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), 1 << 14):
            yield from self.names[start : start + (1 << 14)].to_pylist()

    def __reduce__(self) -> tuple[Any, tuple[bytes]]:
        """As a stream of Arrow's: pickled, each piece would bring the whole that it was cut of."""
        table = pa.table({"id": self.names})
        with pa.BufferOutputStream() as sink:
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            return _unstreamed, (sink.getvalue().to_pybytes(),)

    @cached_property
    def sha256(self) -> str:
        """Of the names in their order."""
        digest, lengths = hashlib.sha256(), hashlib.sha256()
        for start in range(0, len(self), PIECE):
            part = _together(self.names[start : start + PIECE])
            lengths.update(pc.binary_length(part).to_numpy(zero_copy_only=False).tobytes())
            whole = pc.binary_join(pa.ListArray.from_arrays([0, len(part)], part), "")
            digest.update(whole[0].as_buffer())
        return hashlib.sha256(digest.digest() + lengths.digest()).hexdigest()

    @classmethod
    def of(cls, pieces: Iterable[pa.Array]) -> "Ids":
        """Names from outside, each as a line of visible text, as nearly all of them are already."""
        kept = []
        for piece in pieces:
            for start in range(0, len(piece), PIECE):
                part = piece[start : start + PIECE].cast(pa.string())
                odd = pc.any(pc.match_substring_regex(part, "[^ -~]")).as_py()
                kept.append(pa.array(map(readable, part.to_pylist()), pa.string()) if odd else part)
        return cls(pa.chunked_array(kept, pa.string()))

    def take(self, indices: np.ndarray) -> "Ids":
        """Some of them."""
        return Ids(self.names.take(pa.array(indices)))


def _unstreamed(content: bytes) -> Ids:
    with pa.ipc.open_stream(content) as stream:
        return Ids(stream.read_all().column(0))


def as_names(ids: Sequence[str]) -> Any:
    """Names of images as Arrow has them."""
    return _together(ids.names) if isinstance(ids, Ids) else pa.array(ids, pa.string())


def _together(names: Any) -> Any:
    return names.combine_chunks() if isinstance(names, pa.ChunkedArray) else names


def streamed(
    name: str,
    pixels: Streamed,
    labels: np.ndarray,
    ids: Ids | Sequence[str],
    class_names: tuple[str, ...],
) -> ImageSet:
    """A set of which no image has been read."""
    kept = ids if isinstance(ids, Ids) else Ids([readable(one) for one in ids])
    return ImageSet(
        name, cast(Tensor, pixels), torch.from_numpy(labels.astype(np.int64, copy=False)),
        cast(tuple[str, ...], kept), class_names,
    )  # fmt: skip


def unreadable(pixels: Tensor) -> Tensor:
    """Which of the images that were read are no pictures."""
    return pixels.flatten(1).isnan().all(1)
