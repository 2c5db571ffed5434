"""The networks of the comparisons with other tools, and the images they are attacked on.

MNIST's two are trained once and kept in results/benchmarks/, which git ignores. The fully
connected one is the FC100-100-10 of the reproduction, whose weights are taken from
results/reproduce-paper/ if they are there. Published networks and lossless images are read from
$INTRIGUING_DATA:
weights/peers/{resnet20_cifar10,resnet2b,mnist_cnn_a_adv,mnist_6_100_nat}.safetensors,
weights/squeezenet_v1.0.safetensors, lossless/{cifar10,mnist}_200.npz and the photographs of
imagenet_samples_1000_short256_jpg.zip, one a class, sorted by class.
"""

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

import intriguing
from intriguing.data.named import DataPair, load_data
from intriguing.data.sources import load_images
from intriguing.distortion.targets import choose_targets
from intriguing.errors import InputError
from intriguing.models.load import load_model
from intriguing.models.normalized import preprocessing_of
from intriguing.models.weights import model_sha256, read_tensors, save_model
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.training.recipe import train_network

RESULTS = Path(__file__).parent.parent / "results"
CACHE = RESULTS / "benchmarks"
SEED = 0


@dataclass(frozen=True)
class Case:
    """A network, the first test images it gets right, and a class to reach (None: any wrong)."""

    name: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    targets: Tensor | None

    @property
    def targeted(self) -> bool:
        return self.targets is not None

    def judge(self, adversarial: Tensor) -> Tensor:
        """‖r‖₂ of each image by a plain forward pass after clamping to the box; ∞ if it fails."""
        clamped = adversarial.clamp(0, 1)
        with torch.no_grad():
            hit = self.reached(torch.cat([self.model(x) for x in clamped.split(_AT_ONCE)]))
        away = (clamped - self.images).double().flatten(1).norm(dim=1)
        return torch.where(hit & away.isfinite(), away, torch.inf)

    def reached(self, logits: Tensor, rows: slice = slice(None)) -> Tensor:
        """Whether logits say what is asked of these rows."""
        given = logits.argmax(1)
        if self.targets is not None:
            return given == self.targets[rows]
        return given != self.labels[rows]


_AT_ONCE = 64
"""Images that are judged together: photographs take memory."""

Subject: TypeAlias = tuple[nn.Module, Tensor, Tensor]
"""A network, images in [0, 1] and their classes."""


def load_cases(names: list[str], images: int) -> list[Case]:
    """Cases by name: fc or conv, then targeted or untargeted, such as "conv-untargeted"."""
    data = load_data("mnist")
    networks: dict[str, nn.Module] = {}
    cases = []
    for name in names:
        network, kind = name.split("-")
        if network not in networks:
            networks[network] = {"fc": fully_connected, "conv": convolutional}[network](data)
            describe(network, networks[network], data)
        model = networks[network]
        right = predicted(model, data) == data.test.labels
        first = right.nonzero()[:images, 0]
        labels = data.test.labels[first]
        targets = choose_targets(labels, 10, torch.Generator().manual_seed(SEED))
        chosen = targets if kind == "targeted" else None
        cases.append(Case(name, model, data.test.images[first].clone(), labels, chosen))
    return cases


def fully_connected(data: DataPair) -> nn.Module:
    """FC100-100-10 as in Table 1, sigmoid units, trained to convergence by L-BFGS."""
    recipe = next(recipe for recipe in MNIST_NETWORKS if recipe.name == "FC100-100-10")
    kept = [CACHE, RESULTS / "reproduce-paper" / "models"]
    for path in (folder / f"{recipe.slug}.safetensors" for folder in kept):
        if path.exists():
            return load_model(path).requires_grad_(False)
    model, _ = train_network(recipe, data.train, SEED)
    save_model(CACHE / f"{recipe.slug}.safetensors", model, recipe.architecture)
    return model.requires_grad_(False)


def convolutional(data: DataPair, *, strided: bool = False) -> nn.Module:
    """Two convolutions with ReLU and max-pooling, then 100 hidden units; four epochs of Adam.

    Or with every second place of a convolution alone, where the largest of four would be taken.
    """
    torch.manual_seed(SEED)
    step, pool = (2, nn.Identity) if strided else (1, lambda: nn.MaxPool2d(2))
    model = nn.Sequential(
        *(nn.Conv2d(1, 16, 5, step), nn.ReLU(), pool()),
        *(nn.Conv2d(16, 32, 5, step), nn.ReLU(), pool()),
        *(nn.Flatten(), nn.Linear(512, 100), nn.ReLU(), nn.Linear(100, 10)),
    )
    path = CACHE / ("conv-strided.safetensors" if strided else "conv.safetensors")
    if path.exists():
        model.load_state_dict(read_tensors(path)[0])
        return model.eval().requires_grad_(False)
    epochs, width = 4, 128
    steps = epochs * -(-len(data.train) // width)
    optimiser = torch.optim.Adam(model.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, steps)
    generator = torch.Generator().manual_seed(SEED)
    for _ in range(epochs):
        for rows in torch.randperm(len(data.train), generator=generator).split(width):
            logits = model(data.train.images[rows])
            loss = nn.functional.cross_entropy(logits, data.train.labels[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
    save_model(path, model, "convolutional network of the benchmarks")
    return model.eval().requires_grad_(False)


def predicted(model: nn.Module, data: DataPair) -> Tensor:
    """Classes given to the test images."""
    with torch.no_grad():
        return torch.cat([model(batch).argmax(1) for batch in data.test.images.split(1000)])


def describe(name: str, model: nn.Module, data: DataPair) -> None:
    """Print what is attacked."""
    wrong = (predicted(model, data) != data.test.labels).double().mean()
    print(f"{name}: test error {wrong:.2%}, weights {model_sha256(model)[:12]}, seed {SEED}")


def load_case(network: str, goal: str, images: int) -> Case:
    """The first images that a network of `SOURCES` gets right, and what they are to be taken for.

    Args:
        network: A name of `SOURCES`.
        goal: "untargeted", "random" (a wrong class drawn by `SEED`) or "least-likely".
        images: How many.
    """
    model, pixels, labels = _subject(network)
    rows, logits = [], []
    for start in range(0, len(pixels), _AT_ONCE):
        with torch.no_grad():
            here = model(pixels[start : start + _AT_ONCE])
        right = (here.argmax(1) == labels[start : start + _AT_ONCE]).nonzero()[:, 0]
        rows.append(start + right)
        logits.append(here[right])
        if sum(map(len, rows)) >= images:
            break
    first, out = torch.cat(rows)[:images], torch.cat(logits)[:images]
    truth = labels[first]
    targets = None
    if goal == "random":
        targets = choose_targets(truth, out.shape[1], torch.Generator().manual_seed(SEED))
    elif goal == "least-likely":
        targets = out.argmin(1)
    return Case(f"{network}-{goal}", model, pixels[first].clone(), truth, targets)


def digits(make: Callable[[DataPair], nn.Module]) -> Subject:
    """A network of ours, and MNIST's test images."""
    data = load_data("mnist")
    return make(data), data.test.images, data.test.labels


class Thresholded(nn.Module):
    """A network that sees every pixel through a steep sigmoid, as adversarially trained ones do.

    Of a pixel that is black or white the slope is 9e-6, so that gradients nearly vanish (Madry et
    al. 2018, arXiv:1706.06083, appendix C).
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.model(torch.sigmoid(30 * (images - 0.5)))
        return logits


def published(architecture: str, file: str, images: str) -> Subject:
    """Somebody's network, and the 200 lossless test images of SDP-CROWN's benchmark."""
    model = load_model(f"{architecture}:{data_file('weights', 'peers', file)}").requires_grad_(
        False
    )
    kept = np.load(data_file("lossless", images))
    pixels = torch.from_numpy(kept["images"]).permute(0, 3, 1, 2).float() / 255
    return model, pixels.contiguous(), torch.from_numpy(kept["labels"]).long()


def photographs() -> Subject:
    """SqueezeNet, and every tenth of 1,000 photographs of a class each."""
    path = data_file("weights", "squeezenet_v1.0.safetensors")
    model = load_model(f"squeezenet:{path}").requires_grad_(False)
    archive = data_file("imagenet_samples_1000_short256_jpg.zip")
    loaded = load_images(f"zip:{archive}", preprocessing_of(model), limit=100)
    return model, loaded.images.images, torch.arange(0, 1000, 10)


def data_file(*parts: str) -> Path:
    """A file of $INTRIGUING_DATA."""
    path = Path(os.environ.get("INTRIGUING_DATA", "."), *parts)
    if not path.is_file():
        raise InputError(f"there is no {path}; set INTRIGUING_DATA to the folder that has it")
    return path


SOURCES: dict[str, Callable[[], Subject]] = {
    "fc": lambda: digits(fully_connected),
    "conv": lambda: digits(convolutional),
    "conv-strided": lambda: digits(lambda data: convolutional(data, strided=True)),
    "saturated": lambda: digits(lambda data: Thresholded(convolutional(data))),
    "mnist-deep": lambda: published(
        "mlp100-100-100-100-100-10", "mnist_6_100_nat.safetensors", "mnist_200.npz"
    ),
    "mnist-adversarial": lambda: published("cnn_a", "mnist_cnn_a_adv.safetensors", "mnist_200.npz"),
    "resnet2b": lambda: published("resnet2b", "resnet2b.safetensors", "cifar10_200.npz"),
    "resnet20": lambda: published("resnet20", "resnet20_cifar10.safetensors", "cifar10_200.npz"),
    "resnet56": lambda: published("resnet56", "resnet56_cifar10.safetensors", "cifar10_200.npz"),
    "squeezenet": photographs,
}
"""Networks by name, each with images, in the order of what a pass of them costs."""


@cache
def _subject(network: str) -> Subject:
    return SOURCES[network]()


@cache
def source_digest() -> str:
    """Of all code that searches: answers that were kept are of no other."""
    root = Path(intriguing.__file__).parent
    digest = hashlib.sha256()
    for path in sorted(p for room in ("distortion", "models") for p in (root / room).rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
