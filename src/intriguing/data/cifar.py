"""CIFAR-10, 50,000 + 10,000 photographs of 32×32 pixels in ten classes (Krizhevsky, 2009)."""

import io
import os
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.files import check_regular
from intriguing.measures import Progress, ProgressCallback

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_ROW = 1 + 3 * 32 * 32
"""Bytes of one image in the binary version: its label, then red, green and blue rows."""
# Files of the binary version.
_BINARY = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
_COUNT = {"train": 50_000, "test": 10_000}
"""Images of CIFAR-10 (Krizhevsky, 2009)."""
_PACKED = 1 << 29
"""Bytes of all arrays of JPEG files at most, three times what the pixels take."""


def load_cifar10(
    root: Path | None = None, progress: ProgressCallback | None = None
) -> tuple[ImageSet, ImageSet]:
    """CIFAR-10's training and test images, in the order of the files.

    `<root>/cifar10` holds the files of the binary version (data_batch_1.bin … test_batch.bin), or
    the images as JPEG in cifar10_train_jpeg.npz and cifar10_test_jpeg.npz (arrays blob, offsets,
    labels).

    Args:
        root: The folder that holds `cifar10/`; $INTRIGUING_DATA when None.
        progress: Called while JPEG files are decoded.

    Returns:
        The training and the test set; ids "cifar10/train/00000" ….

    Raises:
        InputError: If the files are missing or broken.
    """
    folder = find_cifar10(root)
    if folder is None:
        raise InputError(
            "CIFAR-10 was not found; put data_batch_1.bin … data_batch_5.bin and test_batch.bin of "
            "its binary version in a folder FOLDER/cifar10 and set INTRIGUING_DATA=FOLDER"
        )
    return _part(folder, "train", progress), _part(folder, "test", progress)


def find_cifar10(root: Path | None = None) -> Path | None:
    """The folder that `load_cifar10` reads; None where there is none."""
    named = root or os.environ.get("INTRIGUING_DATA")
    if not named:
        return None
    folder = Path(named).expanduser() / "cifar10"
    whole = all((folder / f"cifar10_{part}_jpeg.npz").is_file() for part in _BINARY) or all(
        (folder / name).is_file() for names in _BINARY.values() for name in names
    )
    return folder if whole else None


def _part(folder: Path, part: str, progress: ProgressCallback | None) -> ImageSet:
    packed = folder / f"cifar10_{part}_jpeg.npz"
    if packed.is_file():
        pixels, labels = _decoded(packed, part, progress)
    else:
        pixels, labels = _binary([folder / name for name in _BINARY[part]])
    if len(pixels) != _COUNT[part] or int(labels.max()) >= len(CLASSES):
        raise InputError(
            f"{folder} has {len(pixels)} {part} images with labels up to {int(labels.max())}, "
            f"not CIFAR-10's {_COUNT[part]} with labels 0 to 9; get its files again"
        )
    return ImageSet(
        name=f"cifar10/{part}",
        images=pixels.float().div_(255),
        labels=labels.long(),
        ids=tuple(f"cifar10/{part}/{i:05d}" for i in range(len(pixels))),
        class_names=CLASSES,
    )


def _binary(paths: list[Path]) -> tuple[UInt8[Tensor, "n 3 32 32"], Tensor]:
    """Rows of a label and 3,072 pixels, a channel after the other."""
    rows = []
    for path in paths:
        size = check_regular(path, "get the file again")
        content = np.fromfile(path, dtype=np.uint8, count=min(size, _COUNT["train"] * _ROW))
        if size % _ROW or size > len(content):
            raise InputError(
                f"{path} is not 1 to 50,000 whole rows of {_ROW} bytes; get the file again"
            )
        rows.append(content.reshape(-1, _ROW))
    table = torch.from_numpy(np.concatenate(rows))
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0]


def _decoded(path: Path, part: str, progress: ProgressCallback | None) -> tuple[Tensor, Tensor]:
    """Image i is the JPEG file blob[offsets[i]:offsets[i + 1]]."""
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _PACKED:
                raise ValueError("it unpacks to more than CIFAR-10 has")
        with np.load(path, allow_pickle=False) as arrays:
            blob, offsets = arrays["blob"].tobytes(), arrays["offsets"].tolist()
            labels = torch.from_numpy(arrays["labels"].astype(np.int64))
        if len(offsets) != _COUNT[part] + 1 or len(labels) != _COUNT[part]:
            raise ValueError(f"{len(offsets) - 1} images, not {_COUNT[part]}")
        pixels = torch.empty(len(offsets) - 1, 3, 32, 32, dtype=torch.uint8)
        for i, (start, stop) in enumerate(pairwise(offsets)):
            with Image.open(io.BytesIO(blob[start:stop]), formats=("JPEG", "PNG")) as opened:
                if opened.size != (32, 32):
                    raise ValueError(f"image {i} has {opened.width}×{opened.height} pixels")
                picture = np.array(opened.convert("RGB"))
            pixels[i] = torch.from_numpy(picture).permute(2, 0, 1)
            if progress is not None and (i + 1) % 5000 == 0:
                progress(Progress(f"decoding {path.stem}", i + 1, len(pixels)))
    except Exception as error:  # of a damaged file, its readers raise what they like
        raise InputError(f"cannot read {path} ({error}); get the file again") from error
    return pixels, labels
