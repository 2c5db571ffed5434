"""Small stand-ins for the libraries of the hubs, with the calls that are used of each.

What they do to a photograph is written here with Pillow and numpy alone, as the libraries document
it, so that it can be held against what the package makes of their descriptions.
"""

import enum
import io
import math
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from torch import Tensor, fx, nn

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def photograph(width: int = 61, height: int = 47, seed: int = 0) -> tuple[Image.Image, bytes]:
    """A smooth picture with colours of its own on each side, and its file."""
    rows, columns = np.mgrid[0:height, 0:width]
    waves = [np.sin(rows / (5 + seed)), np.cos(columns / 7), np.sin((rows + columns) / 9)]
    picture = Image.fromarray(np.stack([127 + 120 * wave for wave in waves], -1).astype(np.uint8))
    file = io.BytesIO()
    picture.save(file, "PNG")
    return picture, file.getvalue()


def tiny(channels: int = 3, classes: int = 5) -> nn.Module:
    """A network whose logits depend on every pixel's place and channel."""
    torch.manual_seed(1)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 5, stride=3), nn.Tanh(), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        nn.Linear(16, classes),
    )  # fmt: skip


def prepared(
    picture: Image.Image, resize: int, crop: int, way: Image.Resampling, mean: Any, std: Any
) -> Tensor:
    """Short side, middle, normalised: as torchvision's and timm's evaluation do."""
    short, long = sorted(picture.size)
    other = int(resize * long / short)
    landscape = picture.width >= picture.height
    resized = picture.resize((other, resize) if landscape else (resize, other), way)
    left = round((resized.width - crop) / 2.0)
    top = round((resized.height - crop) / 2.0)
    pixels = np.asarray(resized, dtype=np.float64)[top : top + crop, left : left + crop] / 255
    normal = (pixels - np.array(mean)) / np.array(std)
    return torch.from_numpy(normal).permute(2, 0, 1)[None].float()


class _Interpolation(enum.Enum):
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"


class _Presets(SimpleNamespace):
    """torchvision.transforms._presets.ImageClassification"""

    def __call__(self, picture: Image.Image) -> Tensor:
        way = Image.Resampling[self.interpolation.name]
        (resize,), (crop,) = self.resize_size, self.crop_size
        return prepared(picture, resize, crop, way, self.mean, self.std)


def torchvision() -> dict[str, ModuleType]:
    """`torchvision.models` with one classifier, one network for videos, and one for segments."""
    classify = _Presets(
        crop_size=[32], resize_size=[36], mean=list(MEAN), std=list(STD),
        interpolation=_Interpolation.BICUBIC,
    )  # fmt: skip
    video = SimpleNamespace(crop_size=[32, 32], resize_size=[36, 48], mean=MEAN, std=STD)
    segments = SimpleNamespace(resize_size=[36], mean=MEAN, std=STD)
    names = {
        "tiny": (classify, {"categories": ["a", "b", "c", "d", "e"]}),
        "tiny_video": (video, {}),
        "tiny_segments": (segments, {}),
        "offline": (classify, {}),
    }

    def get_model_weights(name: str) -> Any:
        if name not in names:
            raise ValueError(f"Unknown model {name}")
        transforms, meta = names[name]
        return SimpleNamespace(DEFAULT=SimpleNamespace(transforms=lambda: transforms, meta=meta))

    def get_model(name: str, weights: Any) -> nn.Module:
        if name == "offline":
            raise OSError("<urlopen error [Errno -3] Temporary failure in name resolution>")
        return tiny()

    package, models = ModuleType("torchvision"), ModuleType("torchvision.models")
    models.get_model_weights, models.get_model = get_model_weights, get_model  # type: ignore[attr-defined]
    package.models = models  # type: ignore[attr-defined]
    return {"torchvision": package, "torchvision.models": models}


TIMM = {
    "plain": {"crop_pct": 0.875, "crop_mode": "center"},
    "squashed": {"crop_pct": 1.0, "crop_mode": "squash"},
    "bordered": {"crop_pct": 0.9, "crop_mode": "border"},
}


def timm() -> dict[str, ModuleType]:
    """`timm` with networks of 32×32 whose crops differ."""

    def create_model(name: str, pretrained: bool = False) -> nn.Module:
        if name not in TIMM:
            raise RuntimeError(f"Unknown model ({name})")
        model = tiny()
        model.pretrained_cfg = TIMM[name]  # type: ignore[assignment]
        return model

    def resolve_model_data_config(model: nn.Module) -> dict[str, Any]:
        shared = {"input_size": (3, 32, 32), "interpolation": "bicubic", "mean": MEAN, "std": STD}
        return shared | model.pretrained_cfg  # type: ignore[operator]

    package, data = ModuleType("timm"), ModuleType("timm.data")
    package.create_model = create_model  # type: ignore[attr-defined]
    data.resolve_model_data_config = resolve_model_data_config  # type: ignore[attr-defined]
    package.data = data  # type: ignore[attr-defined]
    return {"timm": package, "timm.data": data}


def timm_prepared(name: str, picture: Image.Image) -> Tensor:
    """timm.data.transforms_factory.transforms_imagenet_eval, for squares."""
    side = math.floor(32 / TIMM[name]["crop_pct"])  # type: ignore[operator]
    if TIMM[name]["crop_mode"] == "squash":
        picture = picture.resize((side, side), Image.Resampling.BICUBIC)
    return prepared(picture, side, 32, Image.Resampling.BICUBIC, MEAN, STD)


class Processor:
    """An image processor of transformers: what it says of itself, and what it does."""

    def __init__(self, options: dict[str, Any], does: dict[str, Any] | None = None) -> None:
        self.options, self.does = options, options | (does or {})

    def to_dict(self) -> dict[str, Any]:
        return self.options

    def __call__(self, picture: Image.Image, return_tensors: str) -> dict[str, Tensor]:
        wanted = self.does
        way = Image.Resampling(wanted["resample"])
        short = wanted["size"].get("shortest_edge")
        if short is None:
            resized = picture.resize((wanted["size"]["width"], wanted["size"]["height"]), way)
        else:
            grown = int(short / wanted.get("crop_pct", 1))
            resized = picture.resize((int(grown * picture.width / picture.height), grown), way)
        crop = wanted["crop_size"]["height"] if wanted.get("do_center_crop") else None
        crop = short if "crop_pct" in wanted else crop
        pixels = np.asarray(resized, dtype=np.float64)
        if crop is not None:
            top, left = round((resized.height - crop) / 2), round((resized.width - crop) / 2)
            pixels = pixels[top : top + crop, left : left + crop]
        if wanted.get("do_rescale", True):
            pixels = pixels * wanted.get("rescale_factor", 1 / 255)
        if wanted.get("rescale_offset"):
            pixels = pixels - 1
        for _ in range(wanted.get("times", 1) if wanted.get("do_normalize") else 0):
            pixels = (pixels - wanted["image_mean"]) / wanted["image_std"]
        if wanted.get("do_flip_channel_order"):
            pixels = pixels[..., ::-1]
        if wanted.get("do_equalise"):
            pixels = pixels**2
        return {"pixel_values": torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None].float()}


def transformers(processor: Processor, classes: int = 5) -> dict[str, ModuleType]:
    """`transformers` with one classifier, owner/tiny, and its processor."""

    class Classifier(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = tiny(classes=classes)
            self.config = SimpleNamespace(id2label={i: f"kind {i}" for i in range(classes)})

        def forward(self, pixel_values: Tensor) -> SimpleNamespace:
            return SimpleNamespace(loss=None, logits=self.body(pixel_values), hidden_states=None)

        @staticmethod
        def from_pretrained(name: str, trust_remote_code: bool) -> "Classifier":
            assert not trust_remote_code
            if name != "owner/tiny":
                raise OSError(f"{name} is not a local folder and is not a valid model identifier")
            return Classifier()

    package = ModuleType("transformers")
    package.AutoModelForImageClassification = Classifier  # type: ignore[attr-defined]
    package.AutoImageProcessor = SimpleNamespace(  # type: ignore[attr-defined]
        from_pretrained=lambda name, trust_remote_code: processor
    )
    return {"transformers": package}


class _Whole(fx.Tracer):
    """Keeps the modules directly inside as they are."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return True


def onnx2torch(value: Any) -> dict[str, ModuleType]:
    """`onnx2torch` that makes `value` of any graph, or raises it."""

    def convert(graph: Any) -> fx.GraphModule:
        if isinstance(value, Exception):
            raise value
        return fx.GraphModule(value, _Whole().trace(value))

    converter = ModuleType("onnx2torch")
    converter.convert = convert  # type: ignore[attr-defined]
    return {"onnx2torch": converter}


def onnx_file(path: Path, batch: int | str = "n") -> None:
    """A graph of one node that takes 3×32×32."""
    make = onnx.helper
    kind = onnx.TensorProto.FLOAT
    graph = make.make_graph(
        [make.make_node("Flatten", ["x"], ["y"])], "tiny",
        [make.make_tensor_value_info("x", kind, [batch, 3, 32, 32])],
        [make.make_tensor_value_info("y", kind, [batch, 3072])],
    )  # fmt: skip
    opsets = [make.make_opsetid("", 13)]
    path.write_bytes(make.make_model(graph, opset_imports=opsets, ir_version=8).SerializeToString())


def stand_in(patch: pytest.MonkeyPatch, modules: dict[str, ModuleType]) -> None:
    """These modules in place of the libraries, installed or not."""
    for name, module in modules.items():
        patch.setitem(sys.modules, name, module)


def take_away(patch: pytest.MonkeyPatch, *libraries: str) -> None:
    """As if these libraries were not installed."""

    class Missing:
        @staticmethod
        def find_spec(name: str, path: Any = None, target: Any = None) -> None:
            if name.partition(".")[0] in libraries:
                raise ModuleNotFoundError(f"No module named {name!r}", name=name)

    for name in list(sys.modules):
        if name.partition(".")[0] in libraries:
            patch.delitem(sys.modules, name)
    patch.setattr(sys, "meta_path", [Missing, *sys.meta_path])
