"""Data sets by name, as the command line gives them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from intriguing.data.cifar import load_cifar10
from intriguing.data.dataset import ImageSet
from intriguing.data.embedded import load_digits, load_mnist_5k
from intriguing.data.mnist import load_mnist
from intriguing.errors import InputError
from intriguing.measures import ProgressCallback

Loader: TypeAlias = Callable[[Path | None, ProgressCallback | None], tuple[ImageSet, ImageSet]]

# Adding a data set is one line here: its name, and how its training and test images are loaded.
DATA_SETS: Mapping[str, Loader] = {
    "mnist": load_mnist,
    "mnist-5k": lambda root, progress: load_mnist_5k(),
    "digits": lambda root, progress: load_digits(),
    "cifar10": load_cifar10,
}


@dataclass(frozen=True)
class DataPair:
    """The training and the test images of one data set."""

    name: str
    train: ImageSet
    test: ImageSet


def load_data(
    name: str, root: str | Path | None = None, progress: ProgressCallback | None = None
) -> DataPair:
    """Load a data set by its name.

    Args:
        name: "mnist" (60,000 + 10,000; downloaded when it is not on this machine), "mnist-5k"
            (4,000 + 1,000 of its images) or "digits" (1,438 + 359 of 8×8 pixels), which both come
            with installed packages, or "cifar10" (50,000 + 10,000, found under `root`).
        root: folder with the user's own copies of data sets, in place of $INTRIGUING_DATA.
        progress: called while downloading.

    Raises:
        InputError: when the name is unknown or the data cannot be had; the text says what to do.

    >>> pair = load_data("mnist-5k")
    >>> len(pair.train), len(pair.test), tuple(pair.train.images.shape[1:])
    (4000, 1000, (1, 28, 28))
    """
    if name not in DATA_SETS:
        if name and Path(name).is_file():
            raise InputError(
                f"{name!r} is a file of no kind that pictures are read from; give a folder, or a "
                "zip, tar or Parquet file of pictures, or in Python ImageSet(images, labels)"
            )
        raise InputError(f"unknown data set {name!r}; give one of: {', '.join(DATA_SETS)}")
    train, test = DATA_SETS[name](Path(root) if root is not None else None, progress)
    return DataPair(name, train, test)
