import hashlib
import os
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from intriguing.data import mnist
from intriguing.data.mnist import find_mnist, load_mnist
from intriguing.errors import InputError
from tests.data.idx_files import idx_bytes, write_mnist
from tests.data.mirror import serving

REAL = os.environ.get("INTRIGUING_DATA")


@pytest.fixture(autouse=True)
def _nothing_on_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No own folder, an empty cache folder, and no mirror that answers."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.delenv("INTRIGUING_DATA", raising=False)
    monkeypatch.setattr(mnist.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    monkeypatch.setattr(mnist, "MIRRORS", ("http://127.0.0.1:1/", "http://127.0.0.1:2/"))


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's folder with files of MNIST's names and sizes."""
    root = tmp_path_factory.mktemp("own")
    write_mnist(root / "mnist")
    return root


def copy_of(own: Path, root: Path) -> Path:
    """A folder of links to the files of `own`, so that one of them can be replaced."""
    (root / "mnist").mkdir(parents=True)
    for path in (own / "mnist").iterdir():
        (root / "mnist" / path.name).symlink_to(path)
    return root


def replace(path: Path, content: bytes) -> None:
    path.unlink()
    path.write_bytes(content)


def test_reads_the_own_folder(own: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTRIGUING_DATA", str(own))
    train, test = load_mnist()
    assert train.images.shape == (60_000, 1, 28, 28)
    assert test.images.shape == (10_000, 1, 28, 28)
    assert train.images.dtype == torch.float32
    assert train.images[0, 0, 0, 0] == 1
    assert train.images.sum() == 1
    assert test.labels[:12].tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert (train.ids[42], test.ids[7]) == ("mnist/train/00042", "mnist/test/00007")


def test_the_root_given_comes_before_the_environment(
    own: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("INTRIGUING_DATA", "/nowhere")
    assert find_mnist(own) == own / "mnist"


def test_unzipped_files_do_as_well(tmp_path: Path) -> None:
    write_mnist(tmp_path / "own" / "mnist", zipped=False, first_pixel=51)
    train, _ = load_mnist(tmp_path / "own")
    assert train.images[0, 0, 0, 0] == pytest.approx(0.2)


def test_the_cache_folder_is_next(own: Path, tmp_path: Path) -> None:
    copy_of(own, tmp_path / "intriguing")
    assert find_mnist(tmp_path / "empty") == tmp_path / "intriguing" / "mnist"


def test_an_incomplete_folder_is_passed_over(own: Path, tmp_path: Path) -> None:
    copy_of(own, tmp_path / "mine")
    (tmp_path / "mine" / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert find_mnist(tmp_path / "mine") is None


def test_what_the_cache_lacks_is_downloaded(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in (own / "mnist").iterdir()}
    digests = {name: hashlib.sha256(files[name]).hexdigest() for name in mnist.SHA256}
    monkeypatch.setattr(mnist, "SHA256", digests)
    copy_of(own, tmp_path / "intriguing")
    missing = "train-labels-idx1-ubyte.gz"
    (tmp_path / "intriguing" / "mnist" / missing).unlink()
    with serving(files) as mirror:
        monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
        train, _ = load_mnist()
        load_mnist()
    assert mirror.requests == [(missing, None)]
    assert train.labels[:3].tolist() == [0, 1, 2]


def test_files_of_other_digests_are_not_accepted_from_a_mirror(
    own: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {path.name: path.read_bytes() for path in (own / "mnist").iterdir()}
    with serving(files) as mirror:
        monkeypatch.setattr(mnist, "MIRRORS", (mirror.url,))
        with pytest.raises(InputError, match="of sha256"):
            load_mnist()
    assert find_mnist() is None


def test_the_error_names_all_three_places_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        load_mnist(tmp_path / "mine")
    text = str(caught.value)
    assert "\n" not in text  # the command line would show it as \\n
    assert f"1. {tmp_path}/mine/mnist: lacks train-images-idx3-ubyte.gz, train-labels" in text
    assert f"2. the cache folder {tmp_path}/intriguing/mnist: lacked train-images" in text
    assert "3. download: http://127.0.0.1:1/train-images" in text
    assert "http://127.0.0.1:2/train-images" in text
    assert "refused" in text
    assert "set INTRIGUING_DATA=FOLDER" in text
    assert "mnist-5k" in text


def test_the_error_says_when_no_folder_was_named() -> None:
    with pytest.raises(InputError, match=r"1\. \$INTRIGUING_DATA: not set"):
        load_mnist()


@pytest.mark.parametrize(
    ("name", "content", "cause"),
    [
        ("t10k-images-idx3", np.zeros((9_999, 28, 28)), "9999×28×28 images.* 10000×28×28 there"),
        ("t10k-images-idx3", np.zeros((10_000, 8, 8)), "10000×8×8 images"),
        ("t10k-labels-idx1", np.zeros(9_999), "holds 9999 labels, but MNIST has 10000"),
        ("t10k-labels-idx1", np.full(10_000, 10), "holds the label 10"),
        ("t10k-labels-idx1", np.zeros((10_000, 1)), "has 2 dimensions"),
    ],
)
def test_a_file_of_the_wrong_sizes_is_named(
    own: Path, tmp_path: Path, name: str, content: np.ndarray, cause: str
) -> None:
    root = copy_of(own, tmp_path / "mine")
    replace(root / "mnist" / f"{name}-ubyte.gz", idx_bytes(content))
    with pytest.raises(InputError, match=rf"{name}-ubyte\.gz .*{cause}"):
        load_mnist(root)


def test_a_truncated_file_of_the_user_is_named_not_passed_over(own: Path, tmp_path: Path) -> None:
    copy_of(own, tmp_path / "intriguing")
    root = copy_of(own, tmp_path / "mine")
    path = root / "mnist" / "train-images-idx3-ubyte.gz"
    replace(path, path.read_bytes()[:-100])
    with pytest.raises(InputError, match=rf"{path} is truncated.*delete it"):
        load_mnist(root)


@pytest.mark.skipif(
    REAL is None or find_mnist(Path(REAL)) is None,
    reason="INTRIGUING_DATA names no folder with MNIST",
)
class TestRealMnist:
    def test_is_the_one_everybody_knows(self) -> None:
        """The class counts are the published ones; the first label is the famous 5."""
        start = time.perf_counter()
        train, test = load_mnist(Path(str(REAL)))
        assert time.perf_counter() - start < 10  # measured: 0.4 to 0.8 s
        assert train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
        counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
        assert train.labels.bincount().tolist() == counts
        assert test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
        assert float(train.images.double().mean()) == pytest.approx(0.1307, abs=5e-5)
        assert float(train.images.double().std()) == pytest.approx(0.3081, abs=5e-5)

    def test_has_the_digests_expected_of_a_download(self) -> None:
        folder = find_mnist(Path(str(REAL)))
        assert folder is not None
        for name, digest in mnist.SHA256.items():
            if (folder / name).exists():
                assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
