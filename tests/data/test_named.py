from pathlib import Path

import pytest

from intriguing.data.named import DATA_SETS, load_data
from intriguing.errors import InputError
from tests.data.idx_files import write_mnist


def test_gives_the_two_parts_under_the_name() -> None:
    pair = load_data("digits")
    assert (pair.name, len(pair.train), len(pair.test)) == ("digits", 1438, 359)


def test_a_root_may_be_text(tmp_path: Path) -> None:
    write_mnist(tmp_path / "mnist")
    assert len(load_data("mnist", root=str(tmp_path)).test) == 10_000


@pytest.mark.parametrize("name", ["MNIST", "mnist5k", ""])
def test_an_unknown_name_is_answered_with_the_known_ones(name: str) -> None:
    with pytest.raises(InputError) as caught:
        load_data(name)
    assert repr(name) in str(caught.value)
    assert all(known in str(caught.value) for known in DATA_SETS)


def test_a_file_that_is_no_data_set_is_told_what_would_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits.npz").write_bytes(b"PK")
    with pytest.raises(
        InputError, match=r"'digits\.npz' is a file.* zip, tar or Parquet .*ImageSet"
    ):
        load_data("digits.npz")
