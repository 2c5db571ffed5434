"""IDX files written by hand from the format's description, to read back."""

import gzip
import struct
from pathlib import Path

import numpy as np


def idx_bytes(array: np.ndarray, element: int = 0x08) -> bytes:
    sizes = b"".join(struct.pack(">I", size) for size in array.shape)
    return bytes([0, 0, element, array.ndim]) + sizes + array.astype(np.uint8).tobytes("C")


def write_mnist(folder: Path, *, zipped: bool = True, first_pixel: int = 255) -> None:
    """Four files of MNIST's names and sizes: black but for one pixel, labels 0 … 9 in turn."""
    folder.mkdir(parents=True)
    for part, count in (("train", 60_000), ("t10k", 10_000)):
        images = np.zeros((count, 28, 28), np.uint8)
        images[0, 0, 0] = first_pixel
        labels = np.arange(count) % 10
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            content = idx_bytes(array)
            path = folder / f"{part}-{name}-ubyte"
            if zipped:
                path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, 1))
            else:
                path.write_bytes(content)
