"""CIFAR-10, 50,000 + 10,000 photographs of 32×32 pixels in ten classes (Krizhevsky, 2009)."""

import io
import os
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.errors import InputError
from intriguing.measures import Progress, ProgressCallback

CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
_ROW = 1 + 3 * 32 * 32
_BINARY = {"train": [f"data_batch_{i}.bin" for i in range(1, 6)], "test": ["test_batch.bin"]}
_COUNT = {"train": 50_000, "test": 10_000}


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
        pixels, labels = _decoded(packed, progress)
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
        content = np.fromfile(path, dtype=np.uint8)
        if len(content) % _ROW:
            raise InputError(f"{path} is not whole rows of {_ROW} bytes; get the file again")
        rows.append(content.reshape(-1, _ROW))
    table = torch.from_numpy(np.concatenate(rows))
    return table[:, 1:].reshape(-1, 3, 32, 32), table[:, 0]


def _decoded(path: Path, progress: ProgressCallback | None) -> tuple[Tensor, Tensor]:
    """Image i is the JPEG file blob[offsets[i]:offsets[i + 1]]."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            blob, offsets = arrays["blob"].tobytes(), arrays["offsets"].tolist()
            labels = torch.from_numpy(arrays["labels"].astype(np.int64))
        pixels = torch.empty(len(offsets) - 1, 3, 32, 32, dtype=torch.uint8)
        for i, (start, stop) in enumerate(pairwise(offsets)):
            picture = np.array(Image.open(io.BytesIO(blob[start:stop])).convert("RGB"))
            pixels[i] = torch.from_numpy(picture).permute(2, 0, 1)
            if progress is not None and (i + 1) % 5000 == 0:
                progress(Progress(f"decoding {path.stem}", i + 1, len(pixels)))
    except (OSError, KeyError, ValueError, RuntimeError, UnidentifiedImageError) as error:
        raise InputError(f"cannot read {path} ({error}); get the file again") from error
    return pixels, labels
