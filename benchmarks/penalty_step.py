"""What a spectral penalty costs: steps with it and without, in turn, in one run.

    python benchmarks/penalty_step.py

Writes processor milliseconds of a training step (forward, backward, Nesterov) at batch 100 and the
median of the ratios, for the MNIST convolutional network and for FC100-100-10; and the same with
the penalty in every fifth step, as `train_with_pools` takes it, to
benchmarks/figures/penalty_step.csv (--out).
"""

import argparse
import csv
import io
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch.nn.functional import cross_entropy

from intriguing.files import write_whole
from intriguing.models.families.convolutional import Convolutional
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.initial import draw_glorot, draw_he, weight_layers
from intriguing.spectral.norms.penalty import SpectralPenalty
from intriguing.training.decay import weight_decay

ROUNDS = 15
TABLE = Path(__file__).parent / "figures" / "penalty_step.csv"
COLUMNS = ("network", "penalty_in_every", "plain_ms", "penalty_ms", "ratio")


def step(kind: str, every: int) -> Callable[[int], None]:
    """A training step of a new network; the penalty is in every so many, 0 for none."""
    generator = torch.Generator().manual_seed(0)
    if kind == "conv32-64-200-10":
        model = Convolutional((32, 64), 200, 10)
        draw_he(weight_layers(model), generator)
    else:
        model = FullyConnected((784, 100, 100, 10))
        draw_glorot(model.layers, generator)
    layers = weight_layers(model)
    images = torch.rand(100, 1, 28, 28, generator=generator)
    labels = torch.randint(10, (100,), generator=generator)
    penalty = SpectralPenalty(model, (1, 28, 28))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, nesterov=True)

    def take(number: int) -> None:
        optimizer.zero_grad()
        loss = cross_entropy(model(images), labels) + weight_decay(layers, (1e-4,) * len(layers))
        if every and number % every == 0:
            loss = loss + 1e-3 * every * penalty()
        loss.backward()
        optimizer.step()

    return take


def rows() -> Iterator[tuple[object, ...]]:
    """A row a network and how often the penalty is taken."""
    for kind, steps in (("conv32-64-200-10", 10), ("fc100-100-10", 100)):
        takers = {every: step(kind, every) for every in (0, 1, 5)}
        for take in takers.values():
            take(0)
        seconds: dict[int, list[float]] = {every: [] for every in takers}
        for _ in range(ROUNDS):
            for every, take in takers.items():
                start = time.process_time()
                for number in range(steps):
                    take(number)
                seconds[every].append((time.process_time() - start) / steps)
        for every in (1, 5):
            ratio = statistics.median(
                a / b for a, b in zip(seconds[every], seconds[0], strict=True)
            )
            plain, with_it = (1e3 * statistics.median(seconds[one]) for one in (0, every))
            yield kind, every, f"{plain:.3f}", f"{with_it:.3f}", f"{ratio:.3f}"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=TABLE)
    out = parser.parse_args().out
    torch.set_num_threads(1)
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for row in rows():
        print(*row, flush=True)
        table.writerow(row)
    write_whole(out, text.getvalue())


if __name__ == "__main__":
    main()
