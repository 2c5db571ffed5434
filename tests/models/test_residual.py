"""Residual networks and those of the verification benchmarks, told by their weights."""

import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.nn import functional

import intriguing as it
from intriguing.cli.main import main
from intriguing.errors import InputError
from intriguing.models.families.resnet import ResNet
from intriguing.models.load import load_model
from intriguing.models.requirements import check_classifier
from intriguing.models.weights import write_tensors


def drawn(network, seed=0):
    """Its weights, with statistics of batches as if it had been trained."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return {
            name: torch.rand(w.shape) + 0.5 if "running_var" in name
            else w if not w.is_floating_point() else 0.3 * torch.randn(w.shape)
            for name, w in network.state_dict().items()
        }  # fmt: skip


def resnet_by_hand(w, x, blocks):
    """He et al., section 4.2, with option A, written with functions alone."""

    def normed(y, name):
        return functional.batch_norm(
            y, *(w[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias"))
        )

    y = (x - torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)) / torch.tensor(
        [0.229, 0.224, 0.225]
    ).view(3, 1, 1)
    y = normed(functional.conv2d(y, w["conv1.weight"], padding=1), "bn1").relu()
    for stage in (1, 2, 3):
        for i in range(blocks):
            at, stride = f"layer{stage}.{i}", 2 if stage > 1 and i == 0 else 1
            z = functional.conv2d(y, w[f"{at}.conv1.weight"], stride=stride, padding=1)
            z = normed(z, f"{at}.bn1").relu()
            z = normed(functional.conv2d(z, w[f"{at}.conv2.weight"], padding=1), f"{at}.bn2")
            if stride == 2:
                none = torch.zeros_like(z[:, : z.shape[1] // 4])
                y = torch.cat((none, y[:, :, ::2, ::2], none), 1)
            y = (z + y).relu()
    return y.mean((2, 3)) @ w["linear.weight"].T + w["linear.bias"]


@pytest.mark.parametrize("prefix", ["", "module."])
@pytest.mark.parametrize(("blocks", "width", "classes"), [(1, 4, 10), (2, 6, 7)])
def test_a_resnet_of_any_width_is_told_by_its_weights(prefix, blocks, width, classes, tmp_path):
    weights = drawn(ResNet(blocks, width, classes))
    published = {prefix + k: w for k, w in weights.items() if "num_batches" not in k}
    path = tmp_path / "foreign.safetensors"
    write_tensors(path, published, {})
    network = load_model(f"resnet{6 * blocks + 2}:{path}")
    x = torch.rand(3, 3, 32, 32)
    torch.testing.assert_close(network(x), resnet_by_hand(weights, x, blocks))
    assert network.shape == (3, 32, 32)
    assert not network.training


def test_a_checkpoint_whose_first_entry_is_a_counter_keeps_its_precision(tmp_path):
    weights = drawn(ResNet(1, 2))
    counters = {k: w for k, w in weights.items() if "num_batches" in k}
    torch.save({"state_dict": counters | weights}, tmp_path / "w.th")
    network = load_model(f"resnet8:{tmp_path / 'w.th'}")
    assert {p.dtype for p in network.parameters()} == {torch.float32}


class Skip(nn.Module):
    """What a residual block of the verification benchmarks does, with a layer beside or without."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, 3, stride, 1)
        self.conv2 = nn.Conv2d(after, after, 3, 1, 1)
        self.shortcut = nn.Conv2d(before, after, 1, stride) if stride > 1 else nn.Identity()

    def forward(self, x):
        return (self.conv2(self.conv1(x).relu()) + self.shortcut(x)).relu()


class Norm(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.register_buffer("mean", torch.rand(1, channels, 1, 1))
        self.register_buffer("std", 0.2 + torch.rand(1, channels, 1, 1))

    def forward(self, x):
        return (x - self.mean) / self.std


def two_blocks():
    return nn.Sequential(
        Norm(3), nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), Skip(8, 16, 2), Skip(16, 16, 1),
        nn.Flatten(), nn.Linear(1024, 100), nn.ReLU(), nn.Linear(100, 10),
    )  # fmt: skip


def four_blocks():
    return nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1), nn.ReLU(), Skip(4, 6, 2), Skip(6, 6, 1), Skip(6, 6, 2),
        Skip(6, 6, 1), nn.Flatten(), nn.Linear(6 * 64, 9), nn.ReLU(), nn.Linear(9, 5),
    )  # fmt: skip


def convolutional(channels, side, widths, dense, norm=False):
    layers = [Norm(channels)] if norm else []
    for width in widths:
        layers += [nn.Conv2d(channels, width, 4, 2, 1), nn.ReLU()]
        channels, side = width, side // 2
    return nn.Sequential(
        *layers, nn.Flatten(), nn.Linear(channels * side**2, dense), nn.ReLU(), nn.Linear(dense, 10)
    )


def perceptron():
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 9), nn.ReLU(), nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 3)
    )


@pytest.mark.parametrize(
    ("name", "make", "shape"),
    [
        ("resnet2b", two_blocks, (3, 32, 32)),
        ("resnet4b", four_blocks, (3, 32, 32)),
        ("cnn_a", lambda: convolutional(1, 28, (16, 32), 100), (1, 28, 28)),
        ("cnn_a", lambda: convolutional(3, 32, (4, 6, 8), 9, norm=True), (3, 32, 32)),
        ("mlp9-8-3", perceptron, (64,)),
    ],
)
def test_chains_of_the_verification_benchmarks_are_told_by_their_weights(
    name, make, shape, tmp_path
):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network, x = make(), torch.rand(5, *shape)
    write_tensors(tmp_path / "w.safetensors", network.state_dict(), {})
    loaded = load_model(f"{name}:{tmp_path / 'w.safetensors'}")
    assert torch.equal(loaded(x), network(x))
    assert tuple(loaded.shape) == shape


@pytest.mark.parametrize(
    "name", ["resnet8", "resnet44", "resnet2b", "resnet12b", "cnn_a", "mlp5-3"]
)
def test_every_name_builds_what_can_be_classified_with(name):
    shape = (1, 28, 28) if name in ("cnn_a", "mlp5-3") else (3, 32, 32)
    network = it.build_network(name, shape).eval()
    assert check_classifier(network, torch.rand(2, *shape)) in (3, 10)


def without(weights, key):
    return {name: w for name, w in weights.items() if name != key}


RESNET = drawn(ResNet(1, 4))
CHAIN = {k: w.detach() for k, w in two_blocks().state_dict().items()}
CONVOLUTIONAL = {k: w.detach() for k, w in convolutional(1, 28, (4, 4), 9).state_dict().items()}
HOSTILE = {
    "another depth": ("resnet14", RESNET, "2 blocks a stage, and the weights are of resnet8"),
    "no depth of theirs": ("resnet18", RESNET, "torchvision:resnet18"),
    "of anything else": ("resnet8", {"a": torch.ones(2)}, "have no layer1.0.conv1.weight"),
    "no last layer": ("resnet8", without(RESNET, "linear.weight"), "linear.weight"),
    "no statistics": ("resnet8", without(RESNET, "bn1.running_var"), "bn1.running_var"),
    "no axes": ("resnet8", RESNET | {"conv1.weight": torch.tensor(1.0)}, "do not fit resnet8"),
    "no channels": ("resnet8", RESNET | {"conv1.weight": torch.ones(10**9, 0)}, "do not fit"),
    "gray": ("resnet8", RESNET | {"conv1.weight": torch.ones(4, 1, 3, 3)}, "3 channels"),
    "other blocks": ("resnet3b", CHAIN, "3 blocks, and the weights 2"),
    "no images": ("resnet2b", CHAIN | {"6.weight": torch.ones(100, 7)}, "do not fit resnet2b"),
    "no dense layer": (
        "cnn_a",
        {"0.weight": torch.ones(2, 1, 4, 4), "9.bias": torch.ones(2)},
        "no fully connected layer",
    ),
    "no convolution": ("cnn_a", {"0.weight": torch.ones(2, 2)}, "no convolution"),
    "integers": ("cnn_a", {k: w.long() for k, w in CONVOLUTIONAL.items()}, "do not fit cnn_a"),
    "other widths": ("mlp9-3", dict(perceptron().state_dict()), "do not fit mlp9-3"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_what_does_not_fit_ends_in_one_line(case, tmp_path, monkeypatch, capsys):
    name, weights, said = HOSTILE[case]
    write_tensors(tmp_path / "w.safetensors", weights, {})
    with pytest.raises(InputError, match=re.escape(said)):
        load_model(f"{name}:{tmp_path / 'w.safetensors'}")
    monkeypatch.chdir(tmp_path)
    assert main(["attack", f"{name}:w.safetensors", "digits"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_pictures_are_attacked(tmp_path, monkeypatch, capsys):
    """From files alone: weights of others, and a folder of pictures of the size they want."""
    monkeypatch.chdir(tmp_path)
    write_tensors(tmp_path / "w.safetensors", drawn(ResNet(1, 4)), {})
    pixels = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), dtype=np.uint8)
    for i, picture in enumerate(pixels):
        (tmp_path / "pictures" / f"{i % 2}").mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture).save(tmp_path / "pictures" / f"{i % 2}" / f"{i}.png")
    words = ["--method", "fmn", "--budget", "30", "--targets", "untargeted", "--out", "r"]
    assert main(["attack", "resnet8:w.safetensors", "folder:pictures", *words]) == 0
    assert re.findall(r"(\w+) +2 images", capsys.readouterr().out) == ["FOUND", "ALREADY"]
