"""How much the ball around an image gains over the whole space: certified over found, medians.

    python benchmarks/ball.py [--networks digits-300 fc FILE ...] [--images 60] [--budget 400]

ReLU networks 64-64-64-10 are trained on the digits that come with the package; others are those of
`networks.py`, or files of networks for MNIST. Certificates are those of `certify` with `local=`
False and True, what is found is `minimum_distortion` untargeted. A row a network goes to
benchmarks/figures/ball.csv in place of an earlier one; a certificate above what is found ends it.
"""

import argparse
import time
from pathlib import Path

import torch
from torch import nn

from intriguing import certify, load_data, minimum_distortion
from intriguing.models.load import load_model
from networks import SOURCES, Subject
from semidefinite import fully_connected
from tables import keep

TABLE = Path(__file__).parent / "figures" / "ball.csv"
DIGITS = {
    "digits-300": (300, 1e-3, 0.0),
    "digits-1000-decay": (1000, 1e-3, 1e-4),
    "digits-300-fast": (300, 3e-3, 0.0),
}
"""By name the steps of Adam, its rate and weight decay."""


def subject(name: str) -> Subject:
    """A network, images of its size, and their classes."""
    if name in SOURCES:
        return SOURCES[name]()
    if name not in DIGITS:
        test = load_data("mnist").test
        return load_model(name), test.images, test.labels
    steps, rate, decay = DIGITS[name]
    data, draw = load_data("digits"), torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = fully_connected(64, 64, 64, 10)
    optimiser = torch.optim.Adam(model.parameters(), lr=rate, weight_decay=decay)
    for _ in range(steps):
        chosen = torch.randint(len(data.train), (64,), generator=draw)
        loss = nn.functional.cross_entropy(
            model(data.train.images[chosen]), data.train.labels[chosen]
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval().requires_grad_(False), data.test.images, data.test.labels


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--networks", nargs="+", default=list(DIGITS))
    parser.add_argument("--images", type=int, default=60)
    parser.add_argument("--budget", type=int, default=400)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    for name in asked.networks:
        model, pixels, labels = subject(name)
        with torch.no_grad():
            right = (model(pixels).argmax(1) == labels).nonzero()[: asked.images, 0]
        x, y = pixels[right], labels[right]
        found = minimum_distortion(model, x, y, "untargeted", budget=asked.budget).l2.double()
        row = {"network": Path(name).stem, "images": len(x)}
        for called, local in (("space", False), ("ball", True)):
            began = time.process_time()
            radius = certify(model, x, y, local=local).radius.double()
            row[f"{called}_seconds"] = f"{(time.process_time() - began) / len(x):.3g}"
            if bool((radius > found).any()):
                raise SystemExit(f"{name}: certified {radius.tolist()}, found {found.tolist()}")
            row[called] = f"{float((radius / found).median()):.3f}"
        print(row, flush=True)
        keep(TABLE, row, ["network"])


if __name__ == "__main__":
    main()
