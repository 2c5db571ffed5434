"""How much of what is found is certified: the median share, of networks nobody trained for it.

    python benchmarks/certified.py [--networks conv resnet2b sdp_cifar_cnn_a:FILE ...] [--images 6]
        [--seconds 0 20] [--budget 400] [--out FILE]

A network is a name of `networks.py` or what `intriguing certify` takes for one, and a row has its
file's name; images are MNIST's test images, the lossless CIFAR-10 and MNIST images of
$INTRIGUING_DATA, or the 8×8 digits that come with a package. Certificates are those of `certify`
by default (seconds 0) and by `seconds=` an image, which searches by multipliers as well; what is
found is `minimum_distortion` untargeted. Processor time of one thread. A row a network and a time
goes to benchmarks/figures/certified.csv in place of an earlier one. A certificate above what is
found ends the run.
"""

import argparse
import platform
import statistics
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from intriguing import certify, minimum_distortion
from intriguing.data.named import load_data
from intriguing.errors import InputError
from intriguing.models.load import load_model
from networks import SOURCES, Subject, data_file
from tables import keep

TABLE = Path(__file__).parent / "figures" / "certified.csv"
NETWORKS = ("fc", "conv", "mnist-adversarial", "resnet2b")
KEPT = {1: "mnist_200.npz", 3: "cifar10_200.npz"}
"""Lossless test images, by their channels."""


@dataclass(frozen=True)
class Row:
    """Of one network: certified over found, and what it took an image."""

    network: str
    seconds_allowed: float
    images: int
    budget: int
    median: float
    least: float
    most: float
    certify_seconds: float
    search_seconds: float


def subject(network: str) -> Subject:
    """A network, images of its size, and their classes."""
    if network in SOURCES:
        return SOURCES[network]()
    model = load_model(network).eval().requires_grad_(False)
    for name in KEPT.values():
        with np.load(data_file("lossless", name)) as kept:
            pixels = torch.from_numpy(kept["images"]).permute(0, 3, 1, 2).float() / 255
            labels = torch.from_numpy(kept["labels"]).long()
        if takes(model, pixels[:1]):
            return model, pixels.contiguous(), labels
    test = load_data("digits").test
    if takes(model, test.images[:1]):
        return model, test.images, test.labels
    raise InputError(f"{network} reads neither MNIST's nor CIFAR-10's images, nor 8×8 digits")


def called(network: str) -> str:
    """What a row calls it."""
    family, _, last = network.rpartition(":")
    return f"{Path(family).stem}-{last}" if family.endswith(".py") else Path(last).stem


def takes(model: nn.Module, image: torch.Tensor) -> bool:
    """Whether it answers an image of that shape."""
    try:
        with torch.no_grad():
            return bool(model(image).ndim == 2)
    except RuntimeError:
        return False


def measured(network: str, images: int, allowed: float, budget: int) -> Row:
    """Certify and attack the first images that it reads."""
    model, pixels, labels = subject(network)
    with torch.no_grad():
        right = (model(pixels[:200]).argmax(1) == labels[:200]).nonzero()[:images, 0]
    x, y = pixels[right], labels[right]
    began = time.process_time()
    radius = certify(model, x, y, seconds=allowed or None).radius.double()
    certified = time.process_time() - began
    began = time.process_time()
    found = minimum_distortion(model, x, y, "untargeted", budget=budget).l2.double()
    searched = time.process_time() - began
    if bool((radius > found).any()):
        raise SystemExit(f"{network}: certified {radius.tolist()}, found {found.tolist()}")
    share = (radius / found).tolist()
    return Row(
        called(network), allowed, len(x), budget,
        statistics.median(share), min(share), max(share),
        certified / len(x), searched / len(x),
    )  # fmt: skip


def order(row: dict[str, str]) -> tuple[str, float]:
    """By network, and seconds."""
    return row["network"], float(row["seconds_allowed"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--seconds", type=float, nargs="+", default=[0.0])
    parser.add_argument("--budget", type=int, default=400)
    parser.add_argument("--out", type=Path, default=TABLE)
    given = parser.parse_args()
    torch.set_num_threads(1)
    print(f"{platform.platform()}, torch {torch.__version__}, one thread")
    for network in given.networks:
        for allowed in given.seconds:
            row = measured(network, given.images, allowed, given.budget)
            told = {k: f"{v:.4g}" if isinstance(v, float) else v for k, v in asdict(row).items()}
            keep(given.out, told, ["network", "seconds_allowed"], order)
            print(row, flush=True)


if __name__ == "__main__":
    main()
