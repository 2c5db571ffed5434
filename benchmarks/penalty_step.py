"""What a spectral penalty costs: steps with it and without, in turn, in one run.

    python benchmarks/penalty_step.py

Prints processor milliseconds of a training step (forward, backward, Nesterov) at batch 100 and the
median of the ratios, for the MNIST convolutional network and for FC100-100-10; and the same with
the penalty in every fifth step, as `train_with_pools` takes it.
"""

import statistics
import time
from collections.abc import Callable

import torch
from torch.nn.functional import cross_entropy

from intriguing.models.families.convolutional import Convolutional
from intriguing.models.families.fully_connected import FullyConnected
from intriguing.models.initial import draw_glorot, draw_he, weight_layers
from intriguing.spectral.norms.penalty import SpectralPenalty
from intriguing.training.decay import weight_decay

ROUNDS = 15


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


def main() -> None:
    """Print one line a network and setting."""
    torch.set_num_threads(1)
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
        for every, name in ((1, "in every step"), (5, "in every fifth")):
            ratios = [a / b for a, b in zip(seconds[every], seconds[0], strict=True)]
            print(
                f"{kind}: plain {1e3 * statistics.median(seconds[0]):.2f} ms, penalty {name} "
                f"{1e3 * statistics.median(seconds[every]):.2f} ms, ratio "
                f"{statistics.median(ratios):.3f}"
            )


if __name__ == "__main__":
    main()
