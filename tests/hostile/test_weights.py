"""Weights, matrices and networks of strangers are read or refused; nothing of them is run."""

import json
import os
import pickle
import resource
import struct
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from intriguing.cli.main import main
from intriguing.data.cifar import load_cifar10
from intriguing.data.patches import open_patches
from intriguing.errors import InputError
from intriguing.models.load import load_model
from intriguing.units.directions import load_directions


class Attack:
    """What makes a file when it is unpickled."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return open, (str(self.canary), "w")


def safetensors(header: object, body: bytes = b"1234", length: int | None = None) -> bytes:
    """A file whose head says anything."""
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + body


def one(architecture: str, **tensor: object) -> dict[str, object]:
    """The head of one number for a network."""
    said = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]} | tensor
    return {"__metadata__": {"architecture": architecture}, "w": said}


def weights() -> Iterator[tuple[str, bytes]]:
    """safetensors files that lie."""
    good = one("fc10")
    yield "nothing", b""
    yield "text", b"hello, I am a text"
    yield "longer than it is", safetensors(good, length=1 << 62)
    yield "a head of no end", safetensors(b"{" * 100_000)
    yield "deep", safetensors(b'{"a":' * 50_000)
    yield "a million million numbers", safetensors(one("fc10", shape=[10**12]))
    yield "negative", safetensors(one("fc10", shape=[-1]))
    yield "overlapping", safetensors(one("fc10", data_offsets=[0, 1 << 40]))
    yield "four bits", safetensors(one("fc10", dtype="F4", shape=[2], data_offsets=[0, 1]), b"1")
    yield "unknown numbers", safetensors(one("fc10", dtype="Q7"))
    yield "no weights", safetensors({"__metadata__": {"architecture": "fc10"}}, b"")
    yield "a list", safetensors([1, 2, 3])
    yield "a number", safetensors(7)
    for place, name in enumerate(
        (
            "fc1000000000-1000000000", "fc" + "9" * 30, "fc" + "-".join("9" * 100_000), "",
            "../../net.py:build", "quocnet-1b", "conv9-9-9999999999-9", "ae99999999999-10",
            "__import__('os').system('true')", "{0.__class__}", "%s", "alexnet\0", "[/a]",
        )
    ):  # fmt: skip
        yield f"architecture {place}", safetensors(one(name))
    for place, said in enumerate(("[" * 50_000, "nan", "7", '{"a": 1e999', "\0", "9" * 5000)):
        noted = {"__metadata__": {"architecture": "fc10", "metadata": said}, "w": good["w"]}
        yield f"metadata {place}", safetensors(noted)
    scalars = {name: {"dtype": "F32", "shape": [], "data_offsets": [4 * i, 4 * i + 4]}
               for i, name in enumerate(("conv1.weight", "fc2.weight"))}  # fmt: skip
    whole = {"__metadata__": {"architecture": "conv1-1-1"}, **scalars}
    yield "points for planes", safetensors(whole, b"12345678")
    rng = np.random.default_rng(0)
    sound = safetensors(good)
    for number in range(40):
        damaged = bytearray(sound)
        for place in rng.integers(0, len(damaged), 3):
            damaged[place] = int(rng.integers(256))
        yield f"damaged {number}", bytes(damaged)


def test_no_file_of_weights_executes_or_takes_what_it_does_not_hold(tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    files = dict(weights())
    for name, content in files.items():
        path = tmp_path / "net.safetensors"
        path.write_bytes(content)
        for spec in (f"{path}", f"fc10:{path}"):
            with pytest.raises(InputError) as raised:
                load_model(spec)
            assert "\n" not in str(raised.value), name
            assert len(str(raised.value)) < 2000, name
    assert len(files) > 70
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 1 << 20  # a GiB


def pickles(folder: Path, canary: Path) -> None:
    """Files for torch.load, and what else people give such endings."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    torch.save(Attack(canary), folder / "attack.pt")
    torch.save({"state_dict": {"w": Attack(canary)}}, folder / "inside.pth")
    (folder / "plain.pt").write_bytes(pickle.dumps(Attack(canary)))
    (folder / "old.pth.tar").write_bytes(pickle.dumps({"w": Attack(canary)}, 0))
    torch.save(net, folder / "network.pt")
    torch.save({"w": torch.zeros(1).expand(10**5, 10**5)}, folder / "strides.pt")
    torch.save({1: torch.zeros(1)}, folder / "numbers.pt")
    torch.save({"w": torch.zeros(3).to_sparse()}, folder / "sparse.pt")
    torch.save({"w": torch.zeros(3, device="meta")}, folder / "meta.pt")
    torch.save([torch.zeros(3)], folder / "list.pt")
    torch.save({}, folder / "none.pt")
    (folder / "text.pt").write_text("hello")
    (folder / "nothing.pt").write_bytes(b"")
    whole = (folder / "network.pt").read_bytes()
    for cut in (10, 100, 300, len(whole) // 2, len(whole) - 5):
        (folder / f"cut {cut}.pt").write_bytes(whole[:cut])
    with zipfile.ZipFile(folder / "zip.pt", "w") as archive:
        archive.writestr("a/b", "x")
    with zipfile.ZipFile(folder / "program.pt", "w") as archive:
        archive.writestr("net/code/__torch__.py", f"open({str(canary)!r}, 'w')")
        archive.writestr("net/constants.pkl", pickle.dumps(Attack(canary)))
    os.mkfifo(folder / "pipe.pt")
    (folder / "folder.pt").mkdir()


def test_no_pickle_is_unpickled(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "in").mkdir()
    pickles(tmp_path / "in", canary)
    paths = sorted((tmp_path / "in").iterdir())
    for path in (*paths, tmp_path / "missing.pt"):
        for spec in (f"fc2:{path}", f"{path}"):
            with pytest.raises(InputError) as raised:
                load_model(spec)
            assert "\n" not in str(raised.value), path.name
    for ending in (".pt2", ".pkl", ".bin", ".jit"):
        with pytest.raises(InputError, match="could execute anything: refused"):
            load_model(f"{tmp_path}/net{ending}")
    assert len(paths) > 20
    assert not canary.exists()


def test_a_python_file_that_fails_is_said_in_one_line_with_its_line(tmp_path: Path) -> None:
    for name, (text, said) in {
        "a": ("import nothing_like_this", r"ModuleNotFoundError.*\(line 1\)"),
        "b": ("\n\ndef f(:", r"SyntaxError.*\(line 3\)"),
        "c": ("def f():\n    raise KeyError('x\\ny')", r"KeyError: .*\(line 2\)"),
        "d": ("raise SystemExit(3)", r"SystemExit: 3"),
        "e": ("f = 3", "no function 'f'"),
        "f": ("\0", "ends in"),
    }.items():
        (tmp_path / f"{name}.py").write_text(text)
        with pytest.raises(InputError, match=said) as raised:
            load_model(f"{tmp_path}/{name}.py:f")
        assert "\n" not in str(raised.value)


def arrays(folder: Path, canary: Path) -> None:
    """NPY and NPZ files with objects, lies and programs in them."""

    def npy(text: str, body: bytes = b"") -> bytes:
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + body

    np.save(folder / "objects.npy", np.array([Attack(canary)], dtype=object), allow_pickle=True)
    (folder / "pickle.npy").write_bytes(pickle.dumps(Attack(canary)))
    with zipfile.ZipFile(folder / "packed.npy", "w") as archive:
        archive.writestr("a.npy", (folder / "objects.npy").read_bytes())
    said = "{{'descr': '<f8', 'fortran_order': False, 'shape': {}}}"
    for place, shape in enumerate(("(1000000000000,)", "(-1,)", "(2, 3", "'x'", "(1e9,)", "()")):
        (folder / f"shape {place}.npy").write_bytes(npy(said.format(shape), b"12345678"))
    call = f"{{'descr': __import__('os').system('touch {canary}'), 'fortran_order': False}}"
    (folder / "call.npy").write_bytes(npy(call))
    (folder / "deep.npy").write_bytes(npy("(" * 60_000))
    (folder / "long.npy").write_bytes(b"\x93NUMPY\x02\x00" + struct.pack("<I", 2**32 - 1))
    (folder / "nothing.npy").write_bytes(b"")
    os.mkfifo(folder / "pipe.npy")
    (folder / "folder.npy").mkdir()


def test_no_array_is_unpickled_or_larger_than_its_file(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    (tmp_path / "in").mkdir()
    arrays(tmp_path / "in", canary)
    for path in sorted((tmp_path / "in").iterdir()):
        for read in (load_directions, open_patches):
            with pytest.raises(InputError) as raised:
                read(path)
            assert "\n" not in str(raised.value), path.name
    assert not canary.exists()


def test_cifar_is_never_unpickled_and_unpacks_no_bomb(tmp_path: Path) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "cifar10"
    folder.mkdir()
    for part in ("train", "test"):
        with zipfile.ZipFile(folder / f"cifar10_{part}_jpeg.npz", "w") as archive:
            np.save(tmp_path / "o.npy", np.array([Attack(canary)], object), allow_pickle=True)
            for name in ("blob", "offsets", "labels"):
                archive.writestr(f"{name}.npy", (tmp_path / "o.npy").read_bytes())
    with pytest.raises(InputError, match="cannot read"):
        load_cifar10(tmp_path)
    with zipfile.ZipFile(folder / "cifar10_train_jpeg.npz", "w") as archive:
        archive.writestr("blob.npy", bytes(600))
        archive.getinfo("blob.npy").file_size = 1 << 40
    with pytest.raises(InputError, match="unpacks to more"):
        load_cifar10(tmp_path)
    for path in folder.iterdir():
        path.unlink()
    for name in (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"):
        with open(folder / name, "wb") as file:
            file.truncate(3073 << 20)
    with pytest.raises(InputError, match="whole rows"):
        load_cifar10(tmp_path)
    assert not canary.exists()


def test_paths_of_the_command_line_that_are_no_files_are_said_in_a_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo(tmp_path / "pipe.safetensors")
    os.mkfifo(tmp_path / "pipe.zip")
    (tmp_path / "n\udce9t.py").write_text(
        "from torch import nn\ndef build(): return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))"
    )
    for words in (
        "layers fc10:pipe.safetensors --input 1,8,8", "layers onnx:/dev/zero --input 1,8,8",
        "attack n\udce9t.py:build pipe.zip --input 1,8,8", "attack \udcff.py:build digits",
        "attack \x1b[31m.py:build digits",
    ):  # fmt: skip
        assert main(words.split()) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "\x1b" not in said
    words = "attack n\udce9t.py:build digits --limit 4 --method deepfool --out"
    done = subprocess.run(
        [sys.executable, "-m", "intriguing", *words.split(), "out", "--targets", "untargeted"],
        cwd=tmp_path, capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "n\\xe9t:build" in done.stdout
    assert main([*words.split(), "r\udce9sults"]) == 2
    assert "choose another --out" in capsys.readouterr().err
