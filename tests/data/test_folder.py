"""Folders and zips of tiny pictures that tests paint themselves, one gray level a picture."""

import io
import zipfile
from pathlib import Path

import pytest
import torch
from PIL import Image

from intriguing.data import decoding
from intriguing.data.folder import list_pictures, load_pictures
from intriguing.data.labels import synsets
from intriguing.data.preprocessing import Preprocessing
from intriguing.errors import InputError

TINY = (3, 4, 4)


def png(level: int, size: tuple[int, int] = (6, 5), mode: str = "RGB") -> bytes:
    content = io.BytesIO()
    Image.new("L", size, level).convert(mode).save(content, "PNG")
    return content.getvalue()


def lay(root: Path, files: dict[str, bytes | str]) -> Path:
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def pack(path: Path, files: dict[str, bytes | str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


CLASSES: dict[str, bytes | str] = {
    "dog/2.png": png(20),
    "cat/1.png": png(10),
    "cat/deep/3.png": png(30),
    "notes.txt": "not a picture, and not meant as one",
    ".cache/x.png": png(99),
}


@pytest.mark.parametrize("prefix", ["", "folder:"])
def test_subfolders_are_classes_and_paths_are_ids(tmp_path: Path, prefix: str) -> None:
    lay(tmp_path, CLASSES)
    images, skipped = load_pictures(f"{prefix}{tmp_path}", TINY)
    assert images.ids == ("cat/1.png", "cat/deep/3.png", "dog/2.png")
    assert (images.class_names, images.labels.tolist()) == (("cat", "dog"), [0, 0, 1])
    assert images.images[:, 1, 2, 2].mul(255).round().tolist() == [10, 30, 20]
    assert skipped == ()


@pytest.mark.parametrize("root", ["", "holiday/2026/"])
def test_a_zip_is_the_folder_it_was_made_of(tmp_path: Path, root: str) -> None:
    lay(tmp_path / "f", CLASSES)
    path = pack(tmp_path / "p.zip", {root + name: content for name, content in CLASSES.items()})
    unzipped, _ = load_pictures(tmp_path / "f", TINY)
    for spec in (str(path), f"zip:{path}"):
        zipped, _ = load_pictures(spec, TINY)
        assert (zipped.ids, zipped.sha256) == (unzipped.ids, unzipped.sha256)


@pytest.mark.parametrize("packed", [False, True])
def test_a_csv_beside_the_pictures_says_the_labels(tmp_path: Path, packed: bool) -> None:
    table = "label,image\nzebra,b.png\nape,a.png\nape,gone.png\n,d.png\n"
    files = {"a.png": png(1), "b.png": png(2), "c.png": png(3), "d.png": png(4), "l.csv": table}
    source = pack(tmp_path / "p.zip", files) if packed else lay(tmp_path, files)
    images, skipped = load_pictures(source, TINY)
    assert images.ids == ("a.png", "b.png")
    assert (images.class_names, images.labels.tolist()) == (("ape", "zebra"), [0, 1])
    assert {file.name: file.reason for file in skipped} == {
        "gone.png": "named in l.csv, but not there",
        "c.png": "not named in l.csv",
        "d.png": "no label in l.csv",
    }


def test_classes_that_are_numbers_keep_them(tmp_path: Path) -> None:
    lay(tmp_path, {"10/a.png": png(1), "2/a.png": png(2)})
    images, _ = load_pictures(tmp_path, TINY)
    assert images.labels.tolist() == [10, 2]
    assert images.classes == 11


@pytest.mark.parametrize(
    ("table", "cause"),
    [
        ("picture,label\na.png,1\n", "columns image and label.*picture, label"),
        ("", "it has none"),
        ("image,label\nelse.png,1\n", "none of 1 pictures has a class; named in labels.csv"),
        (b"\xff\xfe\x00", "CSV in UTF-8"),
    ],
)
def test_a_csv_of_another_kind_is_refused(tmp_path: Path, table: str, cause: str) -> None:
    lay(tmp_path, {"a.png": png(1), "labels.csv": table})
    with pytest.raises(InputError, match=cause):
        list_pictures(tmp_path)


def test_pictures_without_classes_are_said_to_have_none(tmp_path: Path) -> None:
    lay(tmp_path, {"a.png": png(1), "b.png": png(2)})
    listed = list_pictures(tmp_path)
    assert not listed.labelled
    assert listed.read(TINY)[0].labels.tolist() == [0, 0]
    assert list_pictures(pack(tmp_path / "z.zip", {"p/a.png": png(1)})).labelled is False


def test_corrupt_files_are_listed_and_cost_only_themselves(tmp_path: Path) -> None:
    whole = io.BytesIO()
    Image.effect_noise((64, 64), 50).save(whole, "JPEG")
    bad = {
        "a/empty.jpg": b"",
        "a/text.png": b"hello",
        "a/short.jpg": whole.getvalue()[:-900],
        "a/header.png": png(1)[:20],
    }
    lay(tmp_path, {**bad, "a/good.jpg": whole.getvalue(), "b/good.png": png(7), "top.png": png(1)})
    images, skipped = load_pictures(tmp_path, TINY)
    assert images.ids == ("a/good.jpg", "b/good.png")
    assert {file.name for file in skipped} == {*bad, "top.png"}
    assert all(file.reason for file in skipped)
    with pytest.raises(InputError, match=r"none of the 1 files .* empty\.jpg: not a picture"):
        load_pictures(pack(tmp_path / "bad.zip", {"empty.jpg": b""}), TINY)


def test_a_part_keeps_the_labels_of_the_whole(tmp_path: Path) -> None:
    lay(tmp_path, {f"{c}/{i}.png": png(10 * i) for c in "abcde" for i in range(2)})
    whole, _ = load_pictures(tmp_path, TINY)
    few, _ = load_pictures(tmp_path, TINY, limit=3)
    assert few.class_names == whole.class_names
    assert few.ids == ("a/0.png", "b/1.png", "d/0.png")
    assert few.labels.tolist() == [0, 1, 3]
    parts = [part.read(TINY)[0] for part in list_pictures(tmp_path).parts(4)]
    assert sum((part.ids for part in parts), ()) == whole.ids
    assert torch.equal(torch.cat([part.images for part in parts]), whole.images)


def test_more_than_fits_in_memory_is_refused_with_what_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lay(tmp_path, {f"{i}.png": png(i) for i in range(5)})
    one = 4 * 3 * 4 * 4
    monkeypatch.setattr(decoding, "free_memory", lambda: 2 * 3 * one)
    with pytest.raises(InputError, match=r"5 images of 3×4×4 .* at most 3: --limit"):
        load_pictures(tmp_path, TINY)
    assert len(load_pictures(tmp_path, TINY, limit=3)[0]) == 3


def test_imagenet_numbers_are_those_of_its_1000_synsets(tmp_path: Path) -> None:
    assert len(set(synsets())) == 1000
    assert list(synsets()) == sorted(synsets())
    files = {f"val/{synsets()[n]}/ILSVRC2012_val_{n:08}.png": png(n % 256) for n in (999, 9, 0)}
    lay(tmp_path, {**files, "val/else/x.png": png(1)})
    lay(tmp_path, {"synset_words.txt": f"{synsets()[9]} ostrich, Struthio camelus\n"})
    images, skipped = load_pictures(f"imagenet:{tmp_path / 'val'}", TINY)
    assert images.labels.tolist() == [0, 9, 999]
    assert (images.classes, images.class_names[9]) == (1000, "ostrich, Struthio camelus")
    assert [file.name for file in skipped] == ["else/x.png"]
    zipped = pack(tmp_path / "v.zip", files)
    assert load_pictures(f"imagenet:{zipped}", TINY)[0].labels.tolist() == [0, 9, 999]
    one = pack(tmp_path / "one.zip", {f"{synsets()[5]}/a.png": png(1)})
    assert load_pictures(f"imagenet:{one}", TINY)[0].labels.tolist() == [5]
    with pytest.raises(InputError, match="n01440764"):
        list_pictures(f"imagenet:{lay(tmp_path / 'other', {'cat/a.png': png(1)})}")


def test_imagenets_samples_are_told_by_their_names(tmp_path: Path) -> None:
    lay(tmp_path, {"n01443537_goldfish.JPEG": png(2), "n01440764_tench.JPEG": png(1)})
    images, _ = load_pictures(tmp_path, TINY)
    assert images.class_names == ("n01440764_tench", "n01443537_goldfish")
    assert images.labels.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ("folder:{}/none", "there is no folder or zip"),
        ("zip:{}/a.txt", "cannot be opened as a zip"),
        ("folder:{}/a.txt", "leave folder: out"),
        ("{}/empty", "has no pictures"),
    ],
)
def test_what_is_no_folder_or_zip_is_refused(tmp_path: Path, spec: str, cause: str) -> None:
    lay(tmp_path, {"a.txt": "text"})
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=cause):
        list_pictures(spec.format(tmp_path))


def test_gray_transparent_and_palette_pictures_become_colour_and_back(tmp_path: Path) -> None:
    lay(tmp_path, {f"{mode}.png": png(128, mode=mode) for mode in ("L", "LA", "P", "RGBA", "1")})
    colour, skipped = load_pictures(tmp_path, TINY)
    assert (tuple(colour.images.shape), skipped) == ((5, 3, 4, 4), ())
    gray, _ = load_pictures(tmp_path, (1, 4, 4))
    torch.testing.assert_close(gray.images[1:, 0], colour.images[1:, 0], atol=1 / 255, rtol=0)


def test_the_networks_own_preprocessing_is_followed(tmp_path: Path) -> None:
    ramp = Image.linear_gradient("L").resize((256, 512))
    ramp.save(tmp_path / "a.png")
    how = Preprocessing((100, 100), resize=128)
    images, _ = load_pictures(tmp_path, how)
    small = ramp.resize((128, 256), Image.Resampling.BILINEAR).crop((14, 78, 114, 178))
    assert images.images[0, 0].mul(255).round().flatten().tolist() == list(small.tobytes())
    squashed = Preprocessing((50, 60), resize=(50, 60), interpolation="bicubic", channels="L")
    images, _ = load_pictures(tmp_path, squashed)
    small = ramp.resize((60, 50), Image.Resampling.BICUBIC)
    assert images.images[0, 0].mul(255).round().flatten().tolist() == list(small.tobytes())
