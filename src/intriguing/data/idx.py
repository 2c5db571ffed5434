"""IDX, the format MNIST is kept in: a magic number, the sizes, then the bytes; gzipped or plain."""

import gzip
import io
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from intriguing.errors import InputError
from intriguing.files import check_regular

LARGEST = 1 << 30
"""Bytes of one file: MNIST's largest has 47,040,016."""
_PIECE = 1 << 20
"""Bytes that are unpacked at once, so that a bomb is noticed at the limit."""
_GZIP_MAGIC = b"\x1f\x8b"
_UNSIGNED_BYTE = 0x08
"""The format's code, as those below (LeCun, the MNIST database)."""
# By the format's code.
_ELEMENT_TYPES = {
    0x08: "unsigned bytes",
    0x09: "signed bytes",
    0x0B: "16-bit integers",
    0x0C: "32-bit integers",
    0x0D: "32-bit floats",
    0x0E: "64-bit floats",
}


def read_idx(path: Path, dimensions: int, limit: int = LARGEST) -> UInt8[np.ndarray, "..."]:
    """Read one IDX file of unsigned bytes: `0 0 8 d`, d big-endian 32-bit sizes, the bytes.

    Whether the file is gzipped is seen in its first bytes, not in its name.

    Args:
        path: the file.
        dimensions: how many dimensions it must have (3 for images, 1 for labels).
        limit: bytes of the file at most, unzipped.

    Returns:
        The array, uint8, of the sizes in the header.

    Raises:
        InputError: when the file is missing, truncated, corrupt, longer than its header or the
            limit says, not IDX, or of another element type or number of dimensions.
    """
    check_regular(path, "put an intact copy there", limit)
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from error
    content = _unzip(path, stored, limit) if stored.startswith(_GZIP_MAGIC) else stored
    sizes = _read_header(path, content, dimensions)
    start = 4 + 4 * dimensions
    expected, found = math.prod(sizes), len(content) - start
    if found < expected:
        raise _bad(path, f"is truncated: {found:,} of the {expected:,} bytes its header announces")
    if found > expected:
        raise _bad(path, f"has {found - expected:,} bytes after the {expected:,} it announces")
    return np.frombuffer(content, np.uint8, offset=start).reshape(sizes)


def _unzip(path: Path, stored: bytes, limit: int) -> bytes:
    content = bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(stored)) as file:
            while part := file.read(_PIECE):
                content += part
                if len(content) > limit:
                    raise _bad(path, f"unzips to more than {limit:,} bytes (read_idx's limit)")
        return bytes(content)
    except EOFError as error:
        raise _bad(path, "is truncated: the gzip stream ends early") from error
    except (gzip.BadGzipFile, zlib.error, struct.error) as error:
        raise _bad(path, f"is corrupt: {error}") from error


def _read_header(path: Path, content: bytes, dimensions: int) -> tuple[int, ...]:
    if len(content) < 4:
        raise _bad(path, f"is truncated: {len(content)} bytes, too short for an IDX header")
    zeros, element, found = content[:2], content[2], content[3]
    if zeros != b"\0\0" or element not in _ELEMENT_TYPES:
        raise _bad(path, f"is not an IDX file: it starts with bytes {content[:4].hex(' ')}")
    if element != _UNSIGNED_BYTE:
        raise _bad(path, f"holds {_ELEMENT_TYPES[element]}, but unsigned bytes were expected")
    if found != dimensions:
        raise _bad(path, f"has {found} dimensions, but {dimensions} were expected")
    if len(content) < 4 + 4 * dimensions:
        raise _bad(path, f"is truncated: {len(content)} bytes, too short for an IDX header")
    return struct.unpack_from(f">{dimensions}I", content, 4)


def _bad(path: Path, cause: str) -> InputError:
    return InputError(
        f"{path} {cause}; delete it and it will be downloaded again, or put an intact copy there"
    )
