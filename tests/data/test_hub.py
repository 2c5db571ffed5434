"""Data sets of the hub, real where `datasets` is installed, and any source by its name."""

import importlib
import io
import pickle
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch import nn

from intriguing.data.dataset import ImageSet
from intriguing.data.preprocessing import Preprocessing
from intriguing.data.sources import load_images
from intriguing.errors import InputError
from intriguing.models.requirements import own_labels
from tests.models.hubs import take_away

SHADES = (10, 90, 130, 200, 250)
LABELS = (2, 0, 1, 1, 2)


def picture(shade: int, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (9, 7), (shade, shade // 2, 0)).convert(mode).save(file, "PNG")
    return file.getvalue()


class Image_:
    """datasets.Image"""

    def __init__(self, decode: bool = True) -> None:
        self.decode = decode


Image_.__name__ = "Image"


class ClassLabel:
    """datasets.ClassLabel"""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = list(names)


class Arrowed:
    """datasets.Dataset whose rows are tables."""

    def __init__(self, rows: "Rows") -> None:
        self.rows = rows

    def __getitem__(self, key: slice) -> pa.Table:
        return pa.table(self.rows.columns)[key]


class Rows:
    """datasets.Dataset, as far as it is used."""

    def __init__(self, columns: dict[str, list[Any]], features: dict[str, Any]) -> None:
        self.columns, self.features = columns, features

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())))

    def __getitem__(self, key: Any) -> Any:
        return {name: values[key] for name, values in self.columns.items()}

    def cast_column(self, name: str, feature: Any) -> "Rows":
        assert not feature.decode
        return Rows(self.columns, self.features | {name: feature})

    def select_columns(self, names: list[str]) -> "Rows":
        return Rows({name: self.columns[name] for name in names}, self.features)

    def with_format(self, kind: str) -> Any:
        assert kind == "arrow"
        return Arrowed(self)

    cache_files: tuple[()] = ()


def stand_in(rows: Rows, splits: list[str]) -> ModuleType:
    def names(path: str, name: str | None = None) -> list[str]:
        if path == "nobody/nothing":
            raise FileNotFoundError("Dataset 'nobody/nothing' doesn't exist on the Hub")
        assert name in (None, "large")
        return splits

    def load(path: str, name: str | None = None, *, split: str) -> Rows:
        assert split in splits
        return rows

    module = ModuleType("datasets")
    module.Image = Image_  # type: ignore[attr-defined]
    module.get_dataset_split_names = names  # type: ignore[attr-defined]
    module.load_dataset = load  # type: ignore[attr-defined]
    return module


def rows(labels: Any = None, **more: Any) -> Rows:
    files = [{"bytes": picture(shade), "path": None} for shade in SHADES]
    files[3]["bytes"] = b"no picture"
    columns = {"img": files, "label": list(LABELS) if labels is None else labels}
    features = {"img": Image_(), "label": ClassLabel("abc")} | more
    return Rows(columns, features)


@pytest.fixture(params=["stand-in", "real"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "datasets", stand_in(rows(), ["train", "validation"]))
        return "hf:owner/shades"
    monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
    try:
        datasets = importlib.import_module("datasets")
    except ImportError:
        pytest.skip("datasets is not installed")
    features = datasets.Features(
        {"img": datasets.Image(), "label": datasets.ClassLabel(names=["a", "b", "c"])}
    )
    made = datasets.Dataset.from_dict(rows().columns, features=features)
    (tmp_path / "set").mkdir()
    for part in ("train", "validation"):
        made.to_parquet(tmp_path / "set" / f"{part}-00000-of-00001.parquet")
    return f"hf:{tmp_path}/set"


def test_pictures_of_the_hub_are_cut_and_labelled(source: str) -> None:
    loaded = load_images(source, Preprocessing((5, 6), (5, 6)))
    assert loaded.labelled
    assert loaded.images.labels.tolist() == [2, 0, 1, 2]  # the fourth is no picture
    assert loaded.images.class_names == ("a", "b", "c")
    assert loaded.images.images.shape == (4, 3, 5, 6)
    seen = loaded.images.images[:, 0, 2, 2] * 255
    torch.testing.assert_close(seen, torch.tensor([10.0, 90, 130, 250]))
    (left,) = loaded.left_out
    assert left.name.endswith("/validation/0000003")
    assert "1 file was left out" in loaded.remarks[0]
    assert loaded.images.ids[0].endswith("/validation/0000000")


def test_a_streamed_set_of_the_hub_is_the_set(source: str) -> None:
    kept = load_images(source, (1, 4, 4), part="train").images
    read = load_images(source, (1, 4, 4), part="train", stream=True)
    assert (read.labelled, read.images.in_memory, len(read.images)) == (True, False, 5)
    there = unpacked(read.images)  # as a worker gets it
    good = torch.tensor([0, 1, 2, 4])
    assert torch.equal(there.images[good], kept.images)
    assert bool(there.images[3].isnan().all())
    assert tuple(there.ids[i] for i in good.tolist()) == kept.ids
    assert there.sha256 == load_images(source, (1, 4, 4), part="train", stream=True).images.sha256
    assert there.sha256 != load_images(source, (1, 5, 4), part="train", stream=True).images.sha256
    few = load_images(source, (1, 4, 4), limit=2, stream=True).images
    assert [name[-7:] for name in few.ids] == ["0000000", "0000002"]
    with pytest.raises(InputError, match="says of what size"):
        load_images(source)


def unpacked(images: ImageSet) -> ImageSet:
    found: ImageSet = pickle.loads(pickle.dumps(images))
    return found


KINDS: dict[str, tuple[Any, Any, bool, list[int], tuple[str, ...]]] = {
    "words": (["dog", "ant", "bee", "bee", "dog"], {"label": object()}, True, [2, 0, 1, 2],
              ("ant", "bee", "dog")),
    "numbers": ([4, 0, 1, 1, 4], {"label": object()}, True, [4, 0, 1, 4], tuple("01234")),
    "none": ([0] * 5, {"label": None}, False, [0, 0, 0, 0], ("unlabelled",)),
    "hidden": ([-1] * 5, {}, False, [0, 0, 0, 0], ("unlabelled",)),
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_labels_of_every_kind(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    labels, features, known, expected, names = KINDS[kind]
    made = rows(labels, **features)
    if kind == "none":
        del made.features["label"]
    monkeypatch.setitem(sys.modules, "datasets", stand_in(made, ["test"]))
    loaded = load_images("hf:owner/shades:large", (3, 4, 4))
    assert loaded.labelled == known
    assert loaded.images.labels.tolist() == expected
    assert loaded.images.class_names == names


def test_what_the_hub_does_not_have_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "datasets", stand_in(rows(), ["train", "extra"]))
    with pytest.raises(InputError, match="parts train, extra, and no test"):
        load_images("hf:owner/shades", (3, 4, 4))
    with pytest.raises(InputError, match="cannot be had: Dataset 'nobody/nothing'"):
        load_images("hf:nobody/nothing", (3, 4, 4))
    made = rows()
    made.features["img"] = object()
    monkeypatch.setitem(sys.modules, "datasets", stand_in(made, ["test"]))
    with pytest.raises(InputError, match="no column of images; it has img, label"):
        load_images("hf:owner/shades", (3, 4, 4))
    take_away(monkeypatch, "datasets")
    with pytest.raises(InputError, match=r"pip install 'intriguing\[datasets\]'"):
        load_images("hf:owner/shades", (3, 4, 4))


def test_every_source_by_its_name(tmp_path: Path) -> None:
    named = load_images("mnist-5k", limit=7, part="train")
    assert (len(named.images), named.labelled, named.left_out) == (7, True, ())
    for mode, place in (("RGB", "a/1.png"), ("L", "b/2.png"), ("P", "b/3.png")):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_bytes(picture(100, mode))
    (tmp_path / "b" / "broken.png").write_bytes(picture(100)[:50])
    loaded = load_images(f"folder:{tmp_path}", (3, 4, 4))
    assert loaded.images.labels.tolist() == [0, 1, 1]
    assert [file.name for file in loaded.left_out] == ["b/broken.png"]
    gray = loaded.images.images[1]  # gray pictures have three equal channels
    assert torch.equal(gray[0], gray[2])
    assert not torch.equal(loaded.images.images[0, 0], loaded.images.images[0, 2])
    for wrong in ("mnist-6k", "folder:nowhere", "zip:nowhere.zip"):
        with pytest.raises(InputError):
            load_images(wrong, (3, 4, 4))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no pictures"):
        load_images(f"folder:{tmp_path}/empty", (3, 4, 4))
    with pytest.raises(InputError, match="leaves no images"):
        load_images("mnist-5k", limit=0)


def test_without_labels_the_network_says_them(tmp_path: Path) -> None:
    for shade in SHADES:
        (tmp_path / f"{shade:03}.png").write_bytes(picture(shade))
    loaded = load_images(str(tmp_path), (3, 4, 4))
    assert not loaded.labelled
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 2)).eval()
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[0.0, 0, 0], [1, 0, 0]]))
        model[2].bias.copy_(torch.tensor([0.4, 0]))
    said = own_labels(model, loaded.images, batch_size=2)
    assert said.labels.tolist() == [0, 0, 1, 1, 1]
    assert said.class_names == ("0", "1")
    assert np.array_equal(said.images, loaded.images.images)
