"""Pictures that are read when they are asked for: the same set, the same answers, nothing kept."""

import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch import nn

import intriguing as it
from intriguing.audit import accuracy, right
from intriguing.data.sources import load_images
from intriguing.data.streamed import Streamed
from intriguing.errors import InputError
from intriguing.results.parquet import read_columns
from intriguing.results.rows import ImageRow
from intriguing.results.store import read_run
from intriguing.runs import attacking
from intriguing.runs.certificates import Certificates
from intriguing.runs.certifying import Certify
from intriguing.runs.examples import Examples, Pictures, Summary
from intriguing.runs.request import Request, Work
from intriguing.runs.run import run_all
from intriguing.runs.stage import Network
from intriguing.runs.transfer_table import Transfer
from intriguing.scale.attack import COLUMNS

DIGITS = it.load_data("digits").test.first(24)
SHAPE = (1, 8, 8)


def png(place: int) -> bytes:
    out = io.BytesIO()
    pixels = (255 * DIGITS.images[place, 0]).round().byte().numpy()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def label(place: int) -> int:
    return int(DIGITS.labels[place])


def folder(root: Path) -> str:
    for place in range(len(DIGITS)):
        path = root / "folder" / str(label(place)) / f"{place:04}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(place))
    return f"folder:{root}/folder"


def zipped(root: Path) -> str:
    folder(root)
    with zipfile.ZipFile(root / "all.zip", "w") as archive:
        for path in sorted((root / "folder").rglob("*.png")):
            archive.write(path, path.relative_to(root))
    return f"{root}/all.zip"


def tars(root: Path) -> str:
    (root / "tars").mkdir()
    for number in range(2):
        with tarfile.open(root / "tars" / f"{number}.tar", "w") as archive:
            for place in range(number, len(DIGITS), 2):
                said = {"cls": str(label(place)), "json": json.dumps({"label": label(place)})}
                kind = "cls" if number else "json"
                for name, content in (("png", png(place)), (kind, said[kind].encode())):
                    member = tarfile.TarInfo(f"{place:04}.{name}")
                    member.size = len(content)
                    archive.addfile(member, io.BytesIO(content))
    return f"tar:{root}/tars"


def parquet(root: Path) -> str:
    rows = {
        "image": [{"bytes": png(place), "path": None} for place in range(len(DIGITS))],
        "label": [label(place) for place in range(len(DIGITS))],
    }
    pq.write_table(pa.table(rows), root / "rows.parquet", row_group_size=7)
    return f"{root}/rows.parquet"


SOURCES = (folder, zipped, tars, parquet)


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 20), nn.Tanh(), nn.Linear(20, 10)).eval()


@pytest.mark.parametrize("make", SOURCES)
def test_a_streamed_set_is_the_set(tmp_path: Path, make: Callable[[Path], str]) -> None:
    source = make(tmp_path)
    kept = load_images(source, SHAPE)
    read = load_images(source, SHAPE, stream=True)
    assert kept.labelled
    assert read.labelled
    assert not read.images.in_memory
    assert read.images.images.shape == kept.images.images.shape == (24, 1, 8, 8)
    assert tuple(read.images.ids) == kept.images.ids
    assert read.images.class_names == kept.images.class_names
    order = torch.tensor([5, 0, 23])
    for some in (slice(3, 9), order):
        assert torch.equal(read.images.images[some], kept.images.images[some])
    assert torch.equal(read.images.images[7], kept.images.images[7])
    assert torch.equal(read.images.labels, kept.images.labels)
    part = read.images.subset(order).read()
    assert torch.equal(part.images, kept.images.images[order])
    assert part.ids == tuple(kept.images.ids[i] for i in order.tolist())
    assert {tuple(x.flatten().tolist()) for x in kept.images.images} == {
        tuple((255 * x).round().div(255).flatten().tolist()) for x in DIGITS.images
    }


def test_workers_read_what_they_attack_and_tell_of_what_is_no_picture(tmp_path: Path) -> None:
    source = folder(tmp_path)
    kept = load_images(source, SHAPE).images
    (tmp_path / "folder" / "3" / "0000-broken.png").write_bytes(b"no picture")
    images = load_images(source, SHAPE, stream=True).images
    how = {"shard_size": 10, "method": "ddn", "budget": 20}
    here = it.attack_in_shards(network(), kept, "untargeted", tmp_path / "a", **how)
    engine = it.Engine("processes", 2)
    there = it.attack_in_shards(
        network(), images, "untargeted", tmp_path / "b", engine=engine, **how
    )
    broken = list(images.ids).index("3/0000-broken.png")
    others = torch.arange(25) != broken
    assert there.status[broken] == it.Status.UNREADABLE
    assert there.distortion[broken].isinf()
    for name in COLUMNS:
        ours, theirs = there.shards.column(name), here.shards.column(name)
        assert torch.equal(ours[others].nan_to_num(), theirs.nan_to_num()), name


@pytest.mark.parametrize("make", SOURCES)
def test_where_the_files_are_lost_no_picture_is_to_blame(
    tmp_path: Path, make: Callable[[Path], str]
) -> None:
    images = load_images(make(tmp_path), SHAPE, stream=True).images
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f"{path.name}-moved")
    with pytest.raises(FileNotFoundError, match="every machine that computes sees them"):
        it.attack_in_shards(network(), images, "untargeted", tmp_path / "out", method="ddn")


def test_a_run_of_streamed_images_leaves_the_rows_of_one_that_kept_them(tmp_path: Path) -> None:
    source = folder(tmp_path)
    found = {}
    for stream in (False, True):
        images = load_images(source, SHAPE, stream=stream).images
        known = Network("net", network())
        plan = attacking.plan(known.model, images, "random", 0)
        examples = Examples(known, plan, it.Search("ddn", 20), shard_size=10)
        other = Network("other", network(1))
        both = examples, Examples(other, plan, it.Search("ddn", 20), shard_size=10)
        stages = [
            *both, Summary(known, examples), Pictures(known, examples),
            Transfer((known, other), both, images, (0.1,), 0),
            Certify(known, Certificates(known, images, semidefinite=False), examples),
        ]  # fmt: skip
        place = tmp_path / str(stream)
        asked = Request("attack", {}, networks=(known, other), images=(images,))
        run_all(Work(asked, stages), place)
        assert read_run(place).data[0].images == 24
        found[stream] = {
            **{n: c.tolist() for n, c in read_columns(place, ImageRow).items()},
            "rows": (place / "rows" / "measurements.parquet").read_bytes(),
            "certificates": (place / "rows" / "certificates.parquet").read_bytes(),
            "gallery": (place / "tensors" / "gallery-net.safetensors").read_bytes(),
        }
    assert repr(found[False]) == repr(found[True])  # of which NaN equals NaN


@pytest.mark.parametrize("attacked", [4, None])
def test_an_audit_of_streamed_images_leaves_the_rows_of_one_that_kept_them(
    tmp_path: Path, attacked: int | None
) -> None:
    source, found = parquet(tmp_path), {}
    config = it.AuditConfig(
        images=attacked, budget=10, method="ddn", semidefinite=False, skip=("units", "spectrum")
    )
    both = {"one": network(), "other": network(1)} if attacked is None else {"one": network()}
    for stream in (False, True):
        images, place = load_images(source, SHAPE, stream=stream).images, tmp_path / str(stream)
        done = it.run_audit(both, images, place, config, labelled=False, report=False)
        assert {one.status for one in done.records} <= {"done", "not run"}
        found[stream] = {
            str(one.relative_to(place)): one.read_bytes()
            for kind in ("rows", "tensors") for one in (place / kind).iterdir()
        }  # fmt: skip
    assert {"rows/images.parquet", "rows/certificates.parquet"} <= set(found[True])
    assert found[False] == found[True]


def test_an_audit_of_all_images_never_holds_them_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(right, "PART", 300)
    monkeypatch.setattr(accuracy, "SHARD", 300)
    rows = pq.read_table(parquet(tmp_path))
    pq.write_table(pa.concat_tables([rows] * 25), tmp_path / "rows.parquet")
    images = load_images(f"{tmp_path}/rows.parquet", SHAPE, stream=True).images
    read: list[int] = []
    look = Streamed.__getitem__

    def counted(pixels: Streamed, index: int | slice | torch.Tensor) -> torch.Tensor:
        found = look(pixels, index)
        read.append(len(found))
        return found

    monkeypatch.setattr(Streamed, "__getitem__", counted)
    config = it.AuditConfig(
        images=None, budget=4, method="ddn", semidefinite=False, units_on=200, rotations=3,
        untrained=0,
    )  # fmt: skip
    both = {"one": network(), "other": network()}
    done = it.run_audit(both, images, tmp_path / "out", config, labelled=False, report=False)
    assert [one.stage for one in done.records if one.status == "failed"] == []
    assert len(read_columns(tmp_path / "out", ImageRow)["label"]) == 2 * len(images)
    assert max(read) <= 500 < len(images)


@pytest.mark.parametrize("make", SOURCES)
def test_another_picture_makes_another_set(tmp_path: Path, make: Callable[[Path], str]) -> None:
    source = make(tmp_path)
    before = load_images(source, SHAPE, stream=True).images.sha256
    assert load_images(source, SHAPE, stream=True).images.sha256 == before
    assert load_images(source, (1, 9, 9), stream=True).images.sha256 != before
    for path in sorted(path for path in tmp_path.rglob("*") if path.is_file()):
        path.unlink()
    for path in sorted((p for p in tmp_path.rglob("*") if p.is_dir()), reverse=True):
        path.rmdir()
    DIGITS.images[3] = 1 - DIGITS.images[3]
    try:
        make(tmp_path)
    finally:
        DIGITS.images[3] = 1 - DIGITS.images[3]
    assert load_images(source, SHAPE, stream=True).images.sha256 != before


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [("a.tar", b"no tar", "as a tar"), ("a.parquet", b"no", "as Parquet"), ("b.tar", None, "no ")],
)
def test_what_is_none_is_refused(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=said):
        load_images(f"{tmp_path}/{name}", SHAPE)


def test_a_tar_in_which_some_have_no_class_is_refused(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for name, content in (("0.png", png(0)), ("0.cls", b"3"), ("1.png", png(1))):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    with pytest.raises(InputError, match=r"1 pictures .* no class although others do"):
        load_images(f"{tmp_path}/a.tar", SHAPE)


def test_a_set_travels_without_what_its_pieces_were_cut_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("intriguing.data.streamed.PIECE", 64)
    image = {"bytes": b"P5 8 8 255\n" + bytes(64), "path": None}
    names = [f"picture/{place:020}" for place in range(4096)]
    rows = {"image": [image] * len(names), "label": [0] * len(names), "id": names}
    pq.write_table(pa.table(rows), tmp_path / "many.parquet")
    images = load_images(str(tmp_path / "many.parquet"), (1, 8, 8), stream=True).images
    sent = pickle.dumps(images)
    assert len(sent) < 2 * sum(map(len, names))
    assert list(pickle.loads(sent).ids) == names
