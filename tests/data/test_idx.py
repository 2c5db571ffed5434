import contextlib
import gzip
import struct
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from intriguing.data.idx import read_idx
from intriguing.errors import InputError
from tests.data.idx_files import idx_bytes

byte_arrays = arrays(np.uint8, array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5))


def read_bytes(content: bytes, dimensions: int) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "some-file"
        path.write_bytes(content)
        return read_idx(path, dimensions)


@given(byte_arrays, st.booleans())
def test_what_was_written_is_read_gzipped_or_plain(array: np.ndarray, zipped: bool) -> None:
    content = idx_bytes(array)
    read = read_bytes(gzip.compress(content) if zipped else content, array.ndim)
    assert read.dtype == np.uint8
    np.testing.assert_array_equal(read, array, strict=True)


def test_the_layout_is_the_published_one(tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_bytes(b"\x00\x00\x08\x01\x00\x00\x00\x03\x05\x00\x04")
    assert read_idx(path, 1).tolist() == [5, 0, 4]


IMAGES = idx_bytes(np.arange(24).reshape(2, 3, 4))


@pytest.mark.parametrize("length", range(len(IMAGES)))
def test_every_truncation_is_noticed(length: int) -> None:
    with pytest.raises(InputError, match=r"some-file is truncated.* delete it and it will be"):
        read_bytes(IMAGES[:length], 3)


@pytest.mark.parametrize("length", range(2, len(gzip.compress(IMAGES))))
def test_every_truncation_of_the_gzip_stream_is_noticed(length: int) -> None:
    with pytest.raises(InputError, match="some-file is truncated"):
        read_bytes(gzip.compress(IMAGES)[:length], 3)


@given(st.binary(min_size=1, max_size=9))
def test_trailing_bytes_are_counted(trailing: bytes) -> None:
    with pytest.raises(InputError, match=f"has {len(trailing)} bytes after the 24"):
        read_bytes(IMAGES + trailing, 3)


@given(st.data())
def test_a_flipped_bit_in_a_gzip_stream_never_reads_as_other_data(data: st.DataObject) -> None:
    whole = np.arange(3000).reshape(3, 20, 50) % 251
    stored = bytearray(gzip.compress(idx_bytes(whole)))
    position = data.draw(st.integers(2, len(stored) - 1))
    stored[position] ^= 1 << data.draw(st.integers(0, 7))
    padding = len(stored) - 9  # before the checksum: its last bits may mean nothing
    if position < 10 or position == padding:  # the gzip header may change unseen, too
        with contextlib.suppress(InputError):
            np.testing.assert_array_equal(read_bytes(bytes(stored), 3), whole)
    else:
        with pytest.raises(InputError, match=r"some-file (is truncated|is corrupt)"):
            read_bytes(bytes(stored), 3)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<html><body>Moved</body></html>", "is not an IDX file: it starts with bytes 3c 68 74"),
        (b"\x00\x01" + IMAGES[2:], "is not an IDX file"),
        (b"\x00\x00\x07" + IMAGES[3:], "is not an IDX file"),
        (b"\x00\x00\x0d" + IMAGES[3:], "holds 32-bit floats"),
        (idx_bytes(np.zeros((4, 6))), "has 2 dimensions, but 3 were expected"),
        (struct.pack(">BBBBIII", 0, 0, 8, 3, *[2**32 - 1] * 3), "is truncated: 0 of the 79,"),
    ],
)
def test_other_content_is_named(content: bytes, cause: str) -> None:
    with pytest.raises(InputError, match=cause):
        read_bytes(content, 3)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*nowhere; put"):
        read_idx(tmp_path / "nowhere", 3)
