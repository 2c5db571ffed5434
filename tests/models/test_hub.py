"""Networks of other libraries: their preprocessing becomes ours, errors say what to do."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from intriguing.cli.doctor import LIBRARIES
from intriguing.errors import InputError
from intriguing.models.hub import HUBS
from intriguing.models.load import load_model
from intriguing.models.normalized import Normalized, preprocessing_of
from intriguing.models.requirements import check_classifier
from tests.models import hubs


def answer(network: Any, content: bytes) -> torch.Tensor:
    """The logits of a picture's file, prepared as the network says."""
    assert isinstance(network, Normalized)
    assert not network.training
    how = preprocessing_of(network)
    assert how is not None
    pixels = how.pixels(content)
    assert pixels.shape == how.shape == network.shape
    assert 0 <= pixels.min() <= pixels.max() <= 1
    check_classifier(network, pixels[None])
    logits: torch.Tensor = network(pixels[None])
    return logits


@pytest.mark.parametrize("size", [(61, 47), (40, 90), (36, 36)])
def test_torchvision_preprocesses_as_its_weights_say(
    monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    modules = hubs.torchvision()
    hubs.stand_in(monkeypatch, modules)
    picture, content = hubs.photograph(*size)
    network = load_model("torchvision:tiny")
    wanted = modules["torchvision.models"].get_model_weights("tiny").DEFAULT.transforms()
    torch.testing.assert_close(
        answer(network, content), hubs.tiny()(wanted(picture)), rtol=1e-4, atol=1e-5
    )
    assert network.class_names == ("a", "b", "c", "d", "e")


@pytest.mark.parametrize("name", ["tiny_video", "tiny_segments"])
def test_what_classifies_no_images_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hubs.stand_in(monkeypatch, hubs.torchvision())
    with pytest.raises(InputError, match="no image classifier"):
        load_model(f"torchvision:{name}")


@pytest.mark.parametrize("name", ["plain", "squashed"])
def test_timm_preprocesses_as_its_configuration_says(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    hubs.stand_in(monkeypatch, hubs.timm())
    picture, content = hubs.photograph()
    expected = hubs.tiny()(hubs.timm_prepared(name, picture))
    torch.testing.assert_close(
        answer(load_model(f"timm:{name}"), content), expected, rtol=1e-4, atol=1e-5
    )


def test_timm_crops_that_cannot_be_said_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    hubs.stand_in(monkeypatch, hubs.timm())
    with pytest.raises(InputError, match="crop_mode 'border'"):
        load_model("timm:bordered")


PROCESSORS: dict[str, dict[str, Any]] = {
    "short side, then the middle": {
        "size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32},
        "do_center_crop": True, "do_normalize": True, "image_mean": hubs.MEAN,
        "image_std": hubs.STD, "resample": 3,
    },
    "pressed into a square": {
        "size": {"height": 32, "width": 32}, "do_normalize": True, "image_mean": [0.5] * 3,
        "image_std": [0.5] * 3, "resample": 2,
    },
    "a share, as ConvNeXt": {
        "size": {"shortest_edge": 28}, "crop_pct": 0.875, "do_normalize": True,
        "image_mean": hubs.MEAN, "image_std": hubs.STD, "resample": 2,
    },
    "-1 to 1 and not normalised": {
        "size": {"height": 32, "width": 32}, "rescale_factor": 1 / 127.5, "rescale_offset": True,
        "do_normalize": False, "resample": 0,
    },
    "blue first, as MobileViT": {
        "size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32},
        "do_center_crop": True, "do_flip_channel_order": True, "resample": 2,
        "do_normalize": None,
    },
    "0 to 255": {
        "size": {"height": 32, "width": 32}, "do_rescale": False, "do_normalize": True,
        "image_mean": [120.0, 115.0, 100.0], "image_std": [60.0, 57.0, 58.0], "resample": 3,
    },
}  # fmt: skip


@pytest.mark.parametrize("wanted", PROCESSORS.values(), ids=PROCESSORS)
def test_processors_of_transformers_become_part_of_the_network(
    monkeypatch: pytest.MonkeyPatch, wanted: dict[str, Any]
) -> None:
    processor = hubs.Processor(wanted)
    hubs.stand_in(monkeypatch, hubs.transformers(processor))
    picture, content = hubs.photograph()
    network = load_model("hf:owner/tiny")
    expected = hubs.tiny()(processor(picture, return_tensors="pt")["pixel_values"])
    torch.testing.assert_close(answer(network, content), expected, rtol=1e-4, atol=1e-5)
    assert network.class_names == tuple(f"kind {i}" for i in range(5))


def test_a_processor_that_normalises_twice_is_taken_at_what_it_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    processor = hubs.Processor(PROCESSORS["pressed into a square"], {"times": 2})
    hubs.stand_in(monkeypatch, hubs.transformers(processor))
    how = preprocessing_of(load_model("hf:owner/tiny"))
    assert how is not None
    assert how.mean == pytest.approx((0.75,) * 3)  # ((x − ½) / ½ − ½) / ½
    assert how.std == pytest.approx((0.25,) * 3)


@pytest.mark.parametrize(
    ("does", "error"),
    [
        ({"size": {"shortest_edge": 50}}, "no resizing and cutting"),
        ({"do_equalise": True}, "more than a mean and a deviation"),
        ({"image_std": [-0.5] * 3}, "takes no RGB"),
    ],
)
def test_a_processor_that_does_something_else_than_it_says_is_refused(
    monkeypatch: pytest.MonkeyPatch, does: dict[str, Any], error: str
) -> None:
    said = PROCESSORS["short side, then the middle"]
    hubs.stand_in(monkeypatch, hubs.transformers(hubs.Processor(said, does)))
    with pytest.raises(InputError, match=error):
        load_model("hf:owner/tiny")


def test_an_onnx_file_takes_its_pixels_as_they_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hubs.stand_in(monkeypatch, hubs.onnx2torch(hubs.tiny()))
    hubs.onnx_file(tmp_path / "net.onnx")
    network = load_model(f"onnx:{tmp_path}/net.onnx")
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(network(images), hubs.tiny()(images))
    how = preprocessing_of(network)
    assert how is not None
    assert how.shape == (3, 32, 32)


def test_an_onnx_file_for_one_image_takes_many(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = hubs.tiny()
    alone = nn.Sequential(*body[:-2], nn.Flatten(0), nn.Unflatten(0, (1, 16)), body[-1])
    hubs.stand_in(monkeypatch, hubs.onnx2torch(alone))
    hubs.onnx_file(tmp_path / "net.onnx", batch=1)
    network = load_model(f"onnx:{tmp_path}/net.onnx")
    images = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(network(images), body(images))


def test_broken_onnx_files_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    unknown = NotImplementedError("Converter is not implemented (OnnxMapping ... 'Det')")
    hubs.stand_in(monkeypatch, hubs.onnx2torch(unknown))
    with pytest.raises(InputError, match="there is no file"):
        load_model(f"onnx:{tmp_path}/net.onnx")
    (tmp_path / "net.onnx").write_bytes(b"grap")
    with pytest.raises(InputError, match="is no ONNX model"):
        load_model(f"onnx:{tmp_path}/net.onnx")
    hubs.onnx_file(tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"operator that onnx2torch does not know.*Det"):
        load_model(f"onnx:{tmp_path}/net.onnx")


UNKNOWN = {
    "torchvision:nothing": hubs.torchvision,
    "torchvision:offline": hubs.torchvision,
    "timm:nothing": hubs.timm,
    "hf:owner/nothing": lambda: hubs.transformers(hubs.Processor({})),
}


@pytest.mark.parametrize("spec", UNKNOWN)
def test_unknown_names_and_missing_networks_are_said(
    monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    hubs.stand_in(monkeypatch, UNKNOWN[spec]())
    with pytest.raises(InputError, match=r"cannot be had|has no nothing"):
        load_model(spec)


@pytest.mark.parametrize("hub", HUBS)
def test_a_hub_without_its_library_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hub: str
) -> None:
    hubs.take_away(monkeypatch, "torchvision", "timm", "transformers", "onnx", "onnx2torch")
    (tmp_path / "x").write_bytes(b"graph")
    with pytest.raises(InputError, match=rf"is not installed; pip install 'intriguing\[{hub}\]'"):
        load_model(f"{hub}:{tmp_path}/x")
    with pytest.raises(InputError, match="needs a name"):
        load_model(f"{hub}:")


def test_the_extras_are_those_of_the_package() -> None:
    import tomllib

    root = Path(__file__).parents[2]
    extras = tomllib.loads((root / "pyproject.toml").read_text())["project"]
    extras = extras["optional-dependencies"]
    assert set(HUBS) <= set(extras)
    for library, (extra, _) in LIBRARIES.items():  # as the doctor names them
        assert any(wanted.startswith(library) for wanted in extras[extra])


@pytest.mark.parametrize(
    ("how", "wanted"),
    [
        ("scale=255, mean=(104, 117, 123), channels='BGR'", (1 - 104.0, 4 - 117.0, 6 - 123.0)),
        ("scale=2, mean=(1, 1, 1)", (6 / 255 * 2 - 1, 4 / 255 * 2 - 1, 1 / 255 * 2 - 1)),
        ("scale=255", (6.0, 4.0, 1.0)),
        ("mean=(.5, .5, .5), std=(.25, .25, .25)", tuple((v / 255 - 0.5) * 4 for v in (6, 4, 1))),
    ],
    ids=["Caffe", "TensorFlow", "0 to 255", "torchvision"],
)
def test_a_python_file_says_how_its_network_wants_pixels(
    tmp_path: Path, how: str, wanted: tuple[float, ...]
) -> None:
    (tmp_path / "mine.py").write_text(
        "from torch import nn\nfrom intriguing import Preprocessing\n"
        f"def make():\n    return nn.Flatten(), Preprocessing((1, 1), {how})\n"
        "def wrong():\n    return nn.Flatten(), 7\n"
    )
    network = load_model(f"{tmp_path}/mine.py:make")
    pixel = torch.tensor([6, 4, 1]).view(1, 3, 1, 1) / 255
    torch.testing.assert_close(network(pixel), torch.tensor([wanted]))
    with pytest.raises(InputError, match=r"a network and int; .*Preprocessing"):
        load_model(f"{tmp_path}/mine.py:wrong")
