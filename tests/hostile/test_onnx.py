"""A stranger's ONNX file is read or refused; nothing in it is executed, and nothing else read."""

import importlib
import math
import os
from pathlib import Path

import onnx
import pytest
import torch
from onnx import external_data_helper

from intriguing.cli.main import main
from intriguing.distortion.minimum import minimum_distortion
from intriguing.errors import InputError
from intriguing.graph.affine import is_affine
from intriguing.hardening.above import network_above
from intriguing.models.load import load_model
from intriguing.models.preflight import preflight
from intriguing.spectral.certificates.lipschitz import lipschitz_report
from intriguing.units.activations import list_layers
from intriguing.units.receptive_field import receptive_field
from tests.hostile import onnx_attacks
from tests.models.hubs import stand_in


@pytest.fixture(params=["stand-in", "onnx2torch"])
def converter(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The converter's stand-in, which any machine has, and the converter where it is installed."""
    if request.param == "stand-in":
        stand_in(monkeypatch, onnx_attacks.converter())
        return "stand-in"
    try:
        importlib.import_module("onnx2torch")
    except Exception as error:  # a torchvision of another torch fails in many ways
        pytest.skip(f"onnx2torch cannot be imported here: {str(error).splitlines()[0]}")
    return "onnx2torch"


def test_the_names_do_execute_where_they_are_pasted(tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    name = onnx_attacks.executing(canary)[0]
    model = onnx_attacks.network((name, "a", "b", "c"))
    with pytest.raises((TypeError, RuntimeError)):
        onnx_attacks.converter()["onnx2torch"].convert(model)(torch.zeros(1, 1, 8, 8))
    assert canary.exists()


@pytest.mark.usefixtures("converter")
def test_no_file_executes_or_reads_what_is_not_its_own(tmp_path: Path) -> None:
    canary, folder = tmp_path / "canary", tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"\0" * 4096)
    (folder / "weights").write_bytes(b"\0" * 4096)
    (folder / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(folder / "pipe")
    images, outcomes = torch.rand(2, 1, 8, 8), {}
    for name, content in onnx_attacks.files(canary):
        path = folder / "net.onnx"
        path.write_bytes(content)
        try:
            network = load_model(f"onnx:{path}")
            outcomes[name] = "taken"
            network(images)
            list_layers(network, (1, 8, 8))
        except InputError as error:
            outcomes[name] = str(error)
        except RuntimeError:  # of the network itself: a flipped bit of a number or an axis
            assert name.startswith("damaged")
        assert not canary.exists(), name
    assert len(outcomes) > 100
    assert not any("\n" in outcome for outcome in outcomes.values())
    assert all(outcomes[f"node {n} {place}"] == "taken" for n in range(5) for place in range(4))
    assert all("outside its folder" in outcomes[name] for name in outcomes
               if name.startswith("outside, ") and name.split(", ")[1] in
               ("above", "far above", "absolute", "a link", "empty", "Windows"))  # fmt: skip
    refused = [name for name, outcome in outcomes.items() if outcome != "taken"]
    assert set(onnx_attacks._CHANGED) - set(refused) == set()


@pytest.mark.usefixtures("converter")
def test_a_file_that_makes_millions_of_millions_of_numbers_ends_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    images, labels = torch.rand(3, 1, 8, 8), torch.zeros(3, dtype=torch.int64)
    analyses = (
        lambda network: preflight(network, images),
        lambda network: minimum_distortion(network, images, labels),
        lambda network: lipschitz_report(network, (1, 8, 8)),
        lambda network: list_layers(network, (1, 8, 8)),
    )
    for kind, content in onnx_attacks.allocating(10**6):
        assert len(content) < 6000
        (tmp_path / "net.onnx").write_bytes(content)
        network = load_model("onnx:net.onnx")
        for ask in analyses:
            with pytest.raises(InputError, match=r"be run: its operation '.*export it") as refused:
                ask(network)
            assert "\n" not in str(refused.value), kind
        assert main(["layers", "onnx:net.onnx", "--input", "1,8,8"]) == 2
        assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.usefixtures("converter")
def test_a_file_that_makes_few_numbers_is_run_as_it_is(tmp_path: Path) -> None:
    onnx.save(onnx_attacks.network(), tmp_path / "plain.onnx")
    plain = load_model(f"onnx:{tmp_path}/plain.onnx")
    images = torch.rand(3, 1, 8, 8)
    for kind, content in onnx_attacks.allocating(3):
        (tmp_path / "net.onnx").write_bytes(content)
        found = load_model(f"onnx:{tmp_path}/net.onnx")(images) - plain(images)
        assert (found - found[0, 0]).abs().max() < 1e-5, kind


@pytest.mark.usefixtures("converter")
def test_sizes_that_pixels_say_are_refused(tmp_path: Path) -> None:
    (tmp_path / "net.onnx").write_bytes(onnx_attacks.of_pixels())
    with pytest.raises(InputError, match="depend on the values of pixels"):
        load_model(f"onnx:{tmp_path}/net.onnx")


@pytest.mark.usefixtures("converter")
def test_names_change_nothing_else(tmp_path: Path) -> None:
    images = torch.rand(3, 1, 8, 8)
    plain = onnx_attacks.network()
    onnx.save(plain, tmp_path / "plain.onnx")
    expected = load_model(f"onnx:{tmp_path}/plain.onnx")
    assert [layer.name for layer in list_layers(expected, (1, 8, 8))] == [
        "n0_flatten", "n1_first", "n2_relu", "n3_last",
    ]  # fmt: skip
    odd = onnx_attacks.network(("/conv1/Conv", "training", "forward", "/conv1/Conv"))
    onnx.save(odd, tmp_path / "odd.onnx")
    assert torch.equal(load_model(f"onnx:{tmp_path}/odd.onnx")(images), expected(images))


@pytest.mark.usefixtures("converter")
def test_weights_beside_the_file_are_read(tmp_path: Path) -> None:
    images = torch.rand(3, 1, 8, 8)
    model = onnx_attacks.network()
    onnx.save(model, tmp_path / "whole.onnx")
    external_data_helper.convert_model_to_external_data(model, location="w", size_threshold=0)
    onnx.save(model, tmp_path / "apart.onnx")
    assert (tmp_path / "w").exists()
    apart, whole = (load_model(f"onnx:{tmp_path}/{name}.onnx") for name in ("apart", "whole"))
    assert torch.equal(apart(images), whole(images))


def test_a_network_of_hostile_layers_is_analysed_and_not_executed(tmp_path: Path) -> None:
    """As a library that converts another format may make it."""
    canary = tmp_path / "canary"
    for name in onnx_attacks.executing(canary):
        name = name.replace(".", "\\x2e")
        network = torch.nn.Sequential()
        for place, layer in enumerate(
            (torch.nn.Flatten(), torch.nn.Linear(64, 5), torch.nn.ReLU(), torch.nn.Linear(5, 3))
        ):
            network.add_module(f"{name}{place}", layer)
        assert math.isfinite(lipschitz_report(network.eval(), (1, 8, 8)).upper)
        assert not is_affine(network, (1, 8, 8))
        layers = list_layers(network, (1, 8, 8))
        receptive_field(network, layers[1].name, (1, 8, 8))
        network_above(network, layers[1].name, torch.rand(2, 1, 8, 8))
        assert not canary.exists()
