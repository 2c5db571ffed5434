"""Time and memory of top images of three layers in three bases against the plain forward pass.

    python benchmarks/units_pass.py [--images 60000] [--layers pool1 pool2 relu3]

The MNIST network of Figures 1 and 2 with random weights on MNIST's training images (noise where
they are missing), in batches of 256; natural, Haar and Gaussian directions, both signs, k = 9.
Plain passes come before and after ours in the same run, a quarter of the images each time; time is
the processor's, of one thread. Memory is how far the process's peak rises during a stream that is
made as it is read: of an eighth of the images, then of all. A row goes to
benchmarks/figures/units_pass.csv in place of an earlier one.
"""

import argparse
import resource
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from intriguing import InputError, load_data, top_images
from intriguing.models.families.convolutional import Convolutional
from tables import keep

TABLE = Path(__file__).parent / "figures" / "units_pass.csv"
ALLOWED = 1.5
BATCH = 256
BASES = ["natural", "random", "gaussian"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=60_000)
    parser.add_argument("--layers", nargs="+", default=["pool1", "pool2", "relu3"])
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = Convolutional((32, 64), 200, 10).eval()
    part = args.images // 8
    small, whole = (
        rise(lambda n=n: top_images(model, args.layers, stream(n), BASES)) for n in (part, 8 * part)
    )
    images = mnist(args.images)
    plain = ours = 0.0
    for quarter in images.split(-(-len(images) // 4)):
        half = len(quarter) // 2
        plain += seconds(lambda x=quarter[:half]: forward(model, x))
        ours += seconds(lambda x=quarter: top_images(model, args.layers, x, BASES))
        plain += seconds(lambda x=quarter[half:]: forward(model, x))
    directions = sum(3 * units for units in (32, 64, 200)[: len(args.layers)])
    row = {
        "images": len(images), "layers": " ".join(args.layers), "directions": directions,
        "plain_seconds": f"{plain:.1f}", "ours_seconds": f"{ours:.1f}",
        "ratio": f"{ours / plain:.2f}", "part_mib": f"{small:.0f}", "more_mib": f"{whole:.0f}",
    }  # fmt: skip
    print(row, f"allowed {ALLOWED}")
    keep(TABLE, row, ["images", "layers"])


@torch.no_grad()
def forward(model: torch.nn.Module, images: Tensor) -> None:
    for batch in images.split(BATCH):
        model(batch)


def stream(count: int) -> Iterator[Tensor]:
    """Noise, made as it is read."""
    generator = torch.Generator().manual_seed(0)
    for start in range(0, count, BATCH):
        yield torch.rand(min(BATCH, count - start), 1, 28, 28, generator=generator)


def mnist(count: int) -> Tensor:
    try:
        return load_data("mnist").train.images[:count]
    except InputError:
        return torch.cat(list(stream(count)))


def seconds(work) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def rise(work) -> float:
    """By how many MiB the process's peak memory rises."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    work()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


if __name__ == "__main__":
    main()
