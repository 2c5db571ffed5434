"""No picture or archive of a stranger ends a run, takes all memory, hangs, or is executed."""

import os
import resource
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from intriguing.cli.main import main
from intriguing.data.folder import load_pictures
from intriguing.data.idx import read_idx
from intriguing.data.limits import Limits
from intriguing.data.patches import read_pictures
from intriguing.data.preprocessing import Preprocessing
from intriguing.data.sources import load_images
from intriguing.errors import InputError
from tests.hostile import pictures

SHAPE = (3, 32, 32)
GOOD = pictures.saved(Image.fromarray(pictures.RED_ABOVE), "PNG")


def test_all_formats_and_orientations_look_alike(tmp_path: Path) -> None:
    files = dict(pictures.upright())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    found, left_out = load_pictures(tmp_path, SHAPE)
    assert left_out == ()
    assert len(found) == len(files) > 40
    for name, image in zip(found.ids, found.images, strict=True):
        for place, colour in {(6, 16): 0, (26, 6): 1, (26, 26): 2}.items():
            strongest = image[:, place[0], place[1]]
            assert int(strongest.argmax()) == colour, name
            # GIF's and the web's palettes and Lab round colours.
            assert strongest.max() > 0.9 > 0.25 > strongest.median(), name


def test_numbers_of_every_width_are_the_same_gray(tmp_path: Path) -> None:
    for name, content in pictures.gray():
        (tmp_path / name).write_bytes(content)
    found, left_out = load_pictures(tmp_path, (1, 40, 60))
    assert left_out == ()
    ramp = torch.linspace(0, 1, 2400).reshape(1, 40, 60)
    for name, image in zip(found.ids, found.images, strict=True):
        assert (image - ramp).abs().max() <= 1.01 / 255, name


def test_bad_pictures_are_left_out_by_name_and_the_good_are_read(tmp_path: Path) -> None:
    bad = dict(pictures.bad())
    for name, content in bad.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "zz good.png").write_bytes(GOOD)
    found, left_out = load_pictures(tmp_path, SHAPE)
    assert len(bad) > 160
    read = set(found.ids)
    assert "zz good.png" in read
    assert {file.name for file in left_out} | read == {*bad, "zz good.png"}
    # A flipped bit may leave a picture a picture.
    assert all(name.startswith(("damaged", "zz", "cut")) for name in read), read
    reasons = {file.name: file.reason for file in left_out}
    assert not any("\n" in reason for reason in reasons.values())
    for name in ("bomb, said.png", "bomb, real.png", "bomb, more than there are.png"):
        assert "--max-pixels" in reasons[name]
    assert reasons["program.png"] == "not a picture"
    assert "what is white" in reasons["no white.tiff"]
    for name in bad:
        if name not in ("zz good.png", *read):
            continue
        (tmp_path / name).unlink()
    (tmp_path / "zz good.png").unlink()
    with pytest.raises(InputError, match=r"none of the \d+ files") as raised:
        load_pictures(tmp_path, SHAPE)
    assert "\n" not in str(raised.value)


def test_what_is_no_file_is_not_opened_and_any_name_is_text(tmp_path: Path) -> None:
    pictures.odd_files(tmp_path, GOOD)
    for number in range(2000):
        (tmp_path / f"empty {number}.png").touch()
    start = time.monotonic()
    found, left_out = load_pictures(tmp_path, SHAPE)
    assert time.monotonic() - start < 60
    open_ = set() if os.geteuid() else {"closed.png"}  # root reads what is closed
    assert set(found.ids) - open_ == {
        "caf\\xe9.png", "caf\\xe9’.png", "line\\nbreak.png", "\\x1b[31mred.png", "\\u202egnp.png",
        "[bold]a.png", "$\\frac{$.png", "=1+1.png",
    }  # fmt: skip
    for text in (*found.ids, *(f"{file.name}{file.reason}" for file in left_out)):
        assert text.encode()
    assert "--max-bytes" in next(file.reason for file in left_out if file.name == "sparse.png")
    assert len(read_pictures(tmp_path)) == len(found)


def test_a_strip_is_read_in_the_memory_of_the_answer(tmp_path: Path) -> None:
    for name, content in pictures.strips():
        (tmp_path / name).write_bytes(content)
    for how in (
        Preprocessing((224, 224)), Preprocessing((224, 224), resize=256),
        Preprocessing((64, 64), resize=(64, 64)),
    ):  # fmt: skip
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        found, left_out = load_pictures(tmp_path, how)
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # a GiB
        assert left_out == ()
        red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1)
        assert torch.equal(found.images, red.expand_as(found.images))


def test_the_middle_of_a_strip_is_what_resizing_all_of_it_gives() -> None:
    wide = np.tile(np.arange(0, 5000) // 20, (4, 1)).astype(np.uint8)
    content = pictures.saved(Image.fromarray(wide), "PNG")
    how = Preprocessing((250, 250), resize=260, channels="L")  # 260×325000 pixels
    whole = Image.fromarray(wide).resize((325000, 260), Image.Resampling.BILINEAR)
    cut = whole.crop((162375, 5, 162625, 255))
    expected = torch.from_numpy(np.asarray(cut, dtype=np.float32) / 255)
    assert (how.pixels(content)[0] - expected).abs().max() < 1.5 / 255


def test_a_zip_unpacks_no_bomb_and_leads_nowhere(tmp_path: Path) -> None:
    inside = tmp_path / "a" / "b"
    inside.mkdir(parents=True)
    pictures.archive(inside / "all.zip", GOOD)
    before = sorted(path for path in tmp_path.rglob("*"))
    found, left_out = load_pictures(inside / "all.zip", SHAPE)
    reasons = {file.name: file.reason for file in left_out}
    assert sorted(path for path in tmp_path.rglob("*")) == before
    assert found.ids == ("good.png", "lzma.png")
    for name in ("bomb.png", "lie.png"):
        assert "--max-bytes" in reasons[name]
    astray = ("../out.png", "../../../../tmp/out.png", "/etc/out.png", "in/../../up.png",
              "C:\\out.png", "..\\out.png")  # fmt: skip
    assert all("leads out" in reasons[name] for name in astray)
    assert {"damaged.png", "unknown.png", "closed.png"} <= reasons.keys()
    few, _ = load_pictures(inside / "all.zip", SHAPE, limits=Limits(max_pixels=2400))
    assert few.ids == found.ids
    with zipfile.ZipFile(inside / "one.zip", "w") as archive:
        archive.writestr("good.png", GOOD)
    with pytest.raises(InputError, match="--max-pixels 2400 allows"):
        load_pictures(inside / "one.zip", SHAPE, limits=Limits(max_pixels=2399))
    rng = np.random.default_rng(0)
    whole = (inside / "all.zip").read_bytes()[-1500:]  # the directory at its end
    for number in range(60):
        damaged = bytearray(whole)
        for place in rng.integers(0, len(damaged), 4):
            damaged[place] = int(rng.integers(256))
        (tmp_path / f"{number}.zip").write_bytes(bytes(damaged[: rng.integers(10, 1501)]))
        with pytest.raises(InputError):
            load_pictures(tmp_path / f"{number}.zip", SHAPE)


def test_tables_of_labels_are_read_or_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(GOOD)
    head = b"image,label\n"
    tables = {
        "a field without end": head + b'a.png,"' + b"x" * 200_000,
        "no text": head + b"a.png,\xff\xfe\n",
        "nothing": b"",
        "NUL": head + b"a.png\0,1\n",
        "short rows": head + b"a.png\n",
        "others": head + b"../../etc/passwd,1\n",
        "a million classes": head + b"a.png,9999999999999\n",
        "long rows": head + b"a.png,1" + b",2" * 10_000 + b"\n",
        "quotes": head + b'"a.png\n\n\n,1\n',
        "empty name": head + b",1\n",
        "formula": head + b"a.png,=cmd|'/C calc'!A0\n",
        "large": head + b"a.png,1\n" * 20_000,
    }
    for name, content in tables.items():
        (tmp_path / "labels.csv").write_bytes(content)
        try:
            found, _ = load_pictures(tmp_path, SHAPE, limits=Limits(max_bytes=150_000))
        except InputError as error:
            said = str(error)
            assert "\n" not in said, name
        else:
            assert name in ("a million classes", "long rows", "formula", "NUL")
            assert found.ids == ("a.png",)
    with pytest.raises(InputError, match="--max-bytes"):
        load_pictures(tmp_path, SHAPE, limits=Limits(max_bytes=150_000))


def test_idx_files_take_no_more_memory_than_the_limit(tmp_path: Path) -> None:
    files = dict(pictures.idx_files())
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError) as raised:
            read_idx(tmp_path / name, 3, 1 << 26)
        assert "\n" not in str(raised.value)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "."):
        with pytest.raises(InputError):
            read_idx(tmp_path / name, 3)


def test_a_command_reads_a_hostile_folder_within_its_memory(tmp_path: Path) -> None:
    """The command line in a process of its own that may take 4 GiB of addresses, with a canary."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    pictures.odd_files(folder, GOOD)
    for name, content in (*pictures.strips(), *list(pictures.bad())[:20]):
        (folder / name).write_bytes(content)
    (folder / "large.png").write_bytes(pictures.saved(Image.new("L", (2500, 2200), 128), "PNG"))
    (tmp_path / "net.py").write_text(
        "import resource, torch\nfrom torch import nn\n"
        "resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))\n"
        "def build():\n    torch.manual_seed(0)\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))\n"
    )
    command = [
        sys.executable, "-m", "intriguing", "attack", "net.py:build", "folder:pictures", "--input",
        "3,32,32", "--method", "deepfool", "--targets", "untargeted", "--out", "out",
        "--max-pixels", "5000000",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "left out: " in " ".join(done.stderr.split())
    assert "--max-pixels 5500000 allows" in " ".join(done.stderr.split())
    assert {path.name for path in tmp_path.iterdir()} == {"pictures", "net.py", "out"}


VERBS = (
    "attack net.py:build few", "audit net.py:build --data few", "certify net.py:build few",
    "compare net.py:build few", "transfer net.py:build net.py:other --data few",
    "units net.py:build few",
    "spectrum net.py:build --data few", "reproduce figure3 --network net.py:build --images few",
    "reproduce figure5 --network net.py:build --images few",
)  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_that_reads_pictures_has_the_options_that_its_errors_name(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "few" / "class").mkdir(parents=True)
    (tmp_path / "few" / "class" / "one.png").write_bytes(GOOD)
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def build():\n    return nn.Sequential(nn.Flatten(), nn.Linear(3072, 4))\n"
        "other = lambda: build()\n"
    )
    words = [*verb.split(), "--input", "3,32,32", "--out", "out"]
    assert main([*words, "--max-pixels", "5"]) == 2
    assert "pixels, more than 5; --max-pixels" in " ".join(capsys.readouterr().err.split())
    assert main([*words, "--max-bytes", "6"]) == 2
    assert "bytes, more than 6; --max-bytes" in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "out").exists()


def test_patches_are_cut_within_the_limits_that_are_given(tmp_path: Path) -> None:
    (tmp_path / "one.png").write_bytes(GOOD)
    with pytest.raises(InputError, match=r"one.png: .* --max-pixels 2400 allows"):
        read_pictures(tmp_path, Limits(max_pixels=5))
    assert len(read_pictures(tmp_path)) == 1
    assert main(["train", "quocnet-tiny", "cifar10", "--max-pixels", "5", "--dry-run"]) == 0


def test_limits_are_named_where_they_are_wrong() -> None:
    with pytest.raises(InputError, match="--max-bytes 0"):
        Limits(max_bytes=0)
    with pytest.raises(InputError, match="there is no"):
        load_images("folder:nowhere", SHAPE)
    assert zipfile.is_zipfile(__file__) is False
