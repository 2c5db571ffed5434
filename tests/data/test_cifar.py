"""CIFAR-10's binary files, made small, and the real set where it is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from intriguing.data import cifar
from intriguing.errors import InputError


def write(folder: Path, each: int, extra: bytes = b"") -> np.ndarray:
    """Six files of so many random rows; returns the first."""
    generator = np.random.default_rng(0)
    first = None
    for name in cifar._BINARY["train"] + cifar._BINARY["test"]:
        rows = generator.integers(0, 256, (each, cifar._ROW), dtype=np.uint8)
        rows[:, 0] %= 10
        (folder / name).write_bytes(rows.tobytes() + extra)
        first = rows if first is None else first
    assert first is not None
    return first


def test_the_binary_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar, "_COUNT", {"train": 10, "test": 2})
    (tmp_path / "cifar10").mkdir()
    rows = write(tmp_path / "cifar10", 2)
    train, test = cifar.load_cifar10(tmp_path)
    assert (len(train), len(test)) == (10, 2)
    assert train.labels[:2].tolist() == rows[:, 0].tolist()
    # Red is the first 1,024 bytes, row by row.
    assert float(train.images[1, 0, 3, 5]) == pytest.approx(rows[1, 1 + 3 * 32 + 5] / 255)
    assert float(train.images[1, 2, 0, 0]) == pytest.approx(rows[1, 1 + 2048] / 255)
    assert test.ids == ("cifar10/test/00000", "cifar10/test/00001")


def test_what_is_missing_or_broken_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    with pytest.raises(InputError, match="INTRIGUING_DATA"):
        cifar.load_cifar10()
    (tmp_path / "cifar10").mkdir()
    write(tmp_path / "cifar10", 1, extra=b"?")
    with pytest.raises(InputError, match="whole rows"):
        cifar.load_cifar10(tmp_path)
    write(tmp_path / "cifar10", 1)
    with pytest.raises(InputError, match="has 5 train images"):
        cifar.load_cifar10(tmp_path)


@pytest.mark.skipif(
    cifar.find_cifar10() is None, reason="CIFAR-10 is not under $INTRIGUING_DATA/cifar10"
)
def test_the_real_test_images() -> None:
    folder = cifar.find_cifar10()
    assert folder is not None
    assert os.listdir(folder)
    test = cifar._part(folder, "test", None)
    assert test.labels.bincount().tolist() == [1000] * 10
    assert 0.4 < float(test.images.mean()) < 0.55
