"""What each reading of the paper's weight decay makes of its three softmax networks.

    python benchmarks/conventions.py [--networks "FC10(1)" ...] [--conventions sum half units]

They are trained to convergence on all of MNIST, as `intriguing reproduce` trains them: the
objective is convex, so that seeds change nothing. A row a network and a reading goes to
benchmarks/figures/conventions.csv in place of an earlier one: errors in per cent.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import get_args

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.paper.networks import MNIST_NETWORKS
from intriguing.training.decay import Convention
from intriguing.training.recipe import train_network
from tables import keep

TABLE = Path(__file__).parent / "figures" / "conventions.csv"
SOFTMAX = {one.name: one for one in MNIST_NETWORKS if one.architecture == "fc10"}


def error(model: torch.nn.Module, images: ImageSet) -> float:
    """In per cent."""
    with torch.no_grad():
        wrong = model(images.images).argmax(1) != images.labels
    return 100 * float(wrong.double().mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(SOFTMAX), choices=list(SOFTMAX))
    parser.add_argument("--conventions", nargs="+", default=get_args(Convention))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    data = load_data("mnist")
    for name in asked.networks:
        for convention in asked.conventions:
            model, _ = train_network(replace(SOFTMAX[name], convention=convention), data.train)
            row = {"network": name, "convention": convention}
            for part in ("train", "test"):
                row[part] = f"{error(model, getattr(data, part)):.2f}"
            print(row, flush=True)
            keep(TABLE, row, ["network", "convention"])


if __name__ == "__main__":
    main()
