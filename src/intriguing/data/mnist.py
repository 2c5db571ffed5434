"""MNIST, 60,000 + 10,000 handwritten digits (LeCun and Cortes), wherever it can be found."""

import os
from collections.abc import Sequence
from pathlib import Path

import platformdirs
import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.download import download
from intriguing.data.idx import read_idx
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
SHA256 = {
    "train-images-idx3-ubyte.gz": (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"
    ),
    "train-labels-idx1-ubyte.gz": (
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"
    ),
}
DIGITS = tuple("0123456789")


def load_mnist(
    root: Path | None = None, progress: ProgressCallback | None = None
) -> tuple[ImageSet, ImageSet]:
    """MNIST's 60,000 training and 10,000 test images, in the order of the original files.

    The four IDX files, gzipped or plain, are looked for in `<root>/mnist`, then in the cache
    folder, then downloaded into the cache folder from public mirrors and checked by sha256.

    Args:
        root: the folder that holds `mnist/`; $INTRIGUING_DATA when None.
        progress: called while downloading, in bytes.

    Returns:
        The training and the test set; ids "mnist/train/00000" … and "mnist/test/00000" ….

    Raises:
        InputError: when no place has the files (naming all three), or when those found are broken.
    """
    folder = find_mnist(root) or _download_mnist(root, progress)
    return _read(folder, "train", "train", 60_000), _read(folder, "t10k", "test", 10_000)


def find_mnist(root: Path | None = None) -> Path | None:
    """The folder on this machine from which `load_mnist` would read; None when it must download."""
    for folder in (own_folder(root), cache_folder()):
        if folder is not None and not _missing(folder):
            return folder
    return None


def own_folder(root: Path | None = None) -> Path | None:
    """`<root>/mnist`, or `$INTRIGUING_DATA/mnist`; None when neither is given."""
    named = root or os.environ.get("INTRIGUING_DATA")
    return Path(named).expanduser() / "mnist" if named else None


def cache_folder() -> Path:
    """Where downloaded MNIST files are kept."""
    return platformdirs.user_cache_path("intriguing") / "mnist"


def _download_mnist(root: Path | None, progress: ProgressCallback | None) -> Path:
    cache = cache_folder()
    absent = _missing(cache)
    try:
        for name in absent:
            download([mirror + name for mirror in MIRRORS], cache / name, SHA256[name], progress)
    except InputError as error:
        own = own_folder(root)
        given = f"{own}: lacks {', '.join(_missing(own))}" if own else "$INTRIGUING_DATA: not set"
        raise InputError(
            f"MNIST was found in none of three places: 1. {given}; 2. the cache folder {cache}: "
            f"lacked {', '.join(absent)}; 3. download: {error}. "
            f"Connect to the network and run again, or put the files {', '.join(SHA256)} in a "
            "folder FOLDER/mnist and set INTRIGUING_DATA=FOLDER, or use the data set mnist-5k, "
            "which needs no download."
        ) from error
    return cache


def _missing(folder: Path) -> Sequence[str]:
    return [name for name in SHA256 if _locate(folder, name) is None]


def _locate(folder: Path, name: str) -> Path | None:
    """The file as published, or the same one unzipped."""
    candidates = (folder / name, folder / name.removesuffix(".gz"))
    return next((path for path in candidates if path.is_file()), None)


def _read(folder: Path, prefix: str, part: str, count: int) -> ImageSet:
    """Images and labels of one part, checked against each other and against MNIST's sizes."""
    image_file = _locate(folder, f"{prefix}-images-idx3-ubyte.gz")
    label_file = _locate(folder, f"{prefix}-labels-idx1-ubyte.gz")
    assert image_file is not None
    assert label_file is not None
    images, labels = read_idx(image_file, 3), read_idx(label_file, 1)
    if images.shape != (count, 28, 28):
        raise _not_mnist(image_file, f"holds {_shape(images.shape)} images", f"{count}×28×28")
    if labels.shape != (count,):
        raise _not_mnist(label_file, f"holds {len(labels)} labels", f"{count}")
    if labels.max() >= len(DIGITS):
        raise _not_mnist(label_file, f"holds the label {labels.max()}", "labels 0 to 9")
    return ImageSet(
        name=f"mnist/{part}",
        images=torch.tensor(images[:, None]).float().div_(255),
        labels=torch.tensor(labels).long(),
        ids=tuple(f"mnist/{part}/{i:05d}" for i in range(count)),
        class_names=DIGITS,
    )


def _shape(sizes: tuple[int, ...]) -> str:
    return "×".join(map(str, sizes))


def _not_mnist(path: Path, found: str, expected: str) -> InputError:
    return InputError(
        f"{path} {found}, but MNIST has {expected} there; delete it and it will be downloaded "
        "again, or put MNIST's own file there"
    )
