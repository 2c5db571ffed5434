import sys
from pathlib import Path

import pytest
import torch

from intriguing.errors import InputError
from intriguing.models.families.autoencoder import AutoencoderClassifier
from intriguing.models.family import build_network, find_trainable
from intriguing.models.load import load_model
from intriguing.models.weights import model_sha256, read_model, save_model, write_tensors


@pytest.mark.parametrize(
    ("name", "weights"),
    [
        ("fc10", [(10, 784)]),
        ("FC123-456-10", [(123, 784), (456, 123), (10, 456)]),
        ("ae400-10", [(400, 784), (10, 400)]),
    ],
)
def test_names_make_the_networks_they_spell(name: str, weights: list[tuple[int, ...]]) -> None:
    model = build_network(name)
    assert [tuple(p.shape) for p in model.parameters() if p.ndim == 2] == weights
    assert model.describe() == name.lower()


@pytest.mark.parametrize("name", ["fc", "fc-10", "fc10-", "fc0", "ae10", "alexnets", ""])
def test_unknown_names_are_refused_with_what_is_accepted(name: str) -> None:
    with pytest.raises(InputError, match="fc100-100-10"):
        build_network(name)
    with pytest.raises(InputError, match=r"FILE\.py:FUNCTION"):
        load_model(name)


@pytest.mark.parametrize("name", ["fc10", "fc6-5-4", "ae7-10"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_saved_weights_come_back_to_the_bit(name: str, dtype: torch.dtype, tmp_path: Path) -> None:
    model = build_network(name, pixels=16).to(dtype)
    save_model(tmp_path / "net.safetensors", model, name, {"seed": 3})
    loaded = load_model(tmp_path / "net.safetensors")
    assert not loaded.training
    assert model_sha256(loaded) == model_sha256(model)
    images = torch.rand(4, 1, 4, 4, dtype=dtype)
    assert torch.equal(loaded(images), model(images))
    assert read_model(tmp_path / "net.safetensors")[1:] == (name, {"seed": 3})


def test_the_digest_sees_one_changed_bit() -> None:
    model = build_network("fc10")
    before = model_sha256(model)
    with torch.no_grad():
        model.layers[0].weight[3, 5] = torch.nextafter(
            model.layers[0].weight[3, 5], torch.tensor(torch.inf)
        )
    assert model_sha256(model) != before


def test_broken_or_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.safetensors"
    with pytest.raises(InputError, match="there is no file"):
        load_model(path)
    save_model(path, build_network("fc10"), "fc10")
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(InputError, match="is it whole"):
        load_model(path)
    write_tensors(path, {"w": torch.zeros(2, 2)}, {})
    with pytest.raises(InputError, match="names no architecture"):
        load_model(path)
    save_model(path, build_network("fc5-10"), "fc10")
    with pytest.raises(InputError, match="do not fit fc10"):
        load_model(path)


def test_a_network_from_a_python_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("from torch import nn\ndef make():\n    return nn.Linear(4, 3)\nseven = 7\n")
    model = load_model(f"{path}:make")
    assert not model.training
    assert isinstance(model, torch.nn.Linear)
    with pytest.raises(InputError, match="no function 'seven'"):
        load_model(f"{path}:seven")
    with pytest.raises(InputError, match="there is no file"):
        load_model(f"{tmp_path}/yours.py:make")
    path.write_text("def make():\n    return 7\n")
    with pytest.raises(InputError, match="returns int"):
        load_model(f"{path}:make")


def test_only_the_encoding_half_is_kept() -> None:
    assert isinstance(build_network("ae5-3"), AutoencoderClassifier)
    assert sum(p.numel() for p in build_network("ae5-3", 6).parameters()) == 6 * 5 + 5 + 5 * 3 + 3


def test_an_architecture_without_weights_is_no_network() -> None:
    with pytest.raises(InputError, match=r"give squeezenet:FILE\.safetensors"):
        load_model("squeezenet")
    with pytest.raises(InputError, match="network for photographs"):
        find_trainable("squeezenet")


SPELLINGS = {
    "as the network spells them": "layers.{}",
    "of the network inside another": "model.layers.{}",
    "trained on several devices": "module.layers.{}",
    "less said": "{}",
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS)
@pytest.mark.parametrize("ending", ["safetensors", "pt", "pth", "pth.tar"])
def test_foreign_weights_find_their_places(ending: str, spelling: str, tmp_path: Path) -> None:
    model = build_network("fc5-3", pixels=4)
    path = tmp_path / f"foreign.{ending}"
    weights = {
        spelling.format(name.removeprefix("layers.")): tensor
        for name, tensor in reversed(model.state_dict().items())
    }
    if ending == "safetensors":
        write_tensors(path, weights, {})
    else:
        content = {"state_dict": weights, "epoch": 3} if ending == "pth.tar" else weights
        torch.save(content, path, _use_new_zipfile_serialization=ending != "pth")  # as before 1.6
    loaded = load_model(f"fc5-3:{path}")
    assert not loaded.training
    assert model_sha256(loaded) == model_sha256(model)


def test_foreign_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "foreign.pth"
    with pytest.raises(InputError, match="there is no file"):
        load_model(f"fc5-3:{path}")
    weights = build_network("fc5-3", pixels=4).state_dict()
    torch.save(weights, path)
    with pytest.raises(InputError, match="do not fit fc3"):
        load_model(f"fc3:{path}")
    with pytest.raises(InputError, match="unknown network 'vgg'"):
        load_model(f"vgg:{path}")
    torch.save([1, 2], path)
    with pytest.raises(InputError, match="no state_dict"):
        load_model(f"fc5-3:{path}")
    torch.save({"layers.0.weight": torch.rand(5, 4), "weight": torch.rand(2)}, path)
    with pytest.raises(InputError, match="do not fit"):
        load_model(f"fc5-3:{path}")
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(InputError, match="is it whole"):
        load_model(f"fc5-3:{path}")
    path.write_text("not weights at all")
    with pytest.raises(InputError, match=r"refused|is it whole"):
        load_model(f"fc5-3:{path}")


class _Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.path,)


def test_weights_that_would_execute_code_are_refused(tmp_path: Path) -> None:
    torch.save({"layers.0.weight": _Trap(tmp_path / "sprung")}, tmp_path / "foreign.pth")
    with pytest.raises(InputError, match="could execute code: refused"):
        load_model(f"fc5-3:{tmp_path / 'foreign.pth'}")
    assert not (tmp_path / "sprung").exists()


def test_a_python_file_may_use_its_neighbours_and_dataclasses(tmp_path: Path) -> None:
    (tmp_path / "layers_of_mine.py").write_text("from torch import nn\nLayer = nn.Linear\n")
    (tmp_path / "mine.py").write_text(
        "from __future__ import annotations\n"
        "from dataclasses import dataclass\n"
        "@dataclass\nclass Size:\n    width: int = 4\n"
        "def make():\n"
        "    from layers_of_mine import Layer\n"
        "    return Layer(Size().width, 3)\n"
    )
    before = list(sys.path)
    assert load_model(f"{tmp_path}/mine.py:make").in_features == 4
    assert sys.path == before


def test_files_without_a_network_say_what_to_write_before_them() -> None:
    with pytest.raises(InputError, match=r"give onnx:net\.onnx"):
        load_model("net.onnx")
    with pytest.raises(InputError, match=r"ARCHITECTURE:w\.pth .*FILE\.py:FUNCTION"):
        load_model("w.pth")
