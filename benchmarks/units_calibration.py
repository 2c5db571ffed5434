"""How often the test of the claim is wrong, and how often right, on networks whose truth is known.

    python benchmarks/units_calibration.py [--repeats 100]

Each line repeats `compare_bases` on new networks at level 5 %: how often it says that one basis is
more coherent, how often "no distinction", and the quantiles of the exact p-value of the rotation
null. Then, on tables of known truth, how often 95 % intervals cover it, and how often equivalence
is claimed of a difference of exactly δ (at most 5 % is right).
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.units.planted import network, noisy_images

from intriguing.units.claim import compare_bases
from intriguing.units.inference import MeasuredLayer, effect

CASES: dict[str, tuple[str, Callable[[int], nn.Module]]] = {
    "untrained, ReLU": ("2", lambda i: network(i)),
    "untrained, sigmoid": ("2", lambda i: network(i, act=nn.Sigmoid)),
    "untrained, before the ReLU": ("1", lambda i: network(i)),
    "rotation after selective units, ReLU": (
        "3",
        lambda i: network(i, selective=True, rotated=True),
    ),
    "rotation after selective units, sigmoid": (
        "3",
        lambda i: network(i, selective=True, rotated=True, act=nn.Sigmoid),
    ),
    "selective units, ReLU": ("2", lambda i: network(i, selective=True)),
    "selective units, sigmoid": ("2", lambda i: network(i, selective=True, act=nn.Sigmoid)),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=100)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    print(
        "| case | networks | natural more | random more | no distinction | p ≤ .05, .25, .5, .75 |"
    )
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    for seeds in (1, 3):
        for case, (layer, make) in CASES.items():
            found = [judge(make, layer, i, seeds) for i in range(repeats)]
            words = [claim.verdict for claim in found]
            p = torch.tensor([claim.p_rotation for claim in found], dtype=torch.float64)
            quantiles = ", ".join(
                f"{float((p <= q).double().mean()):.2f}" for q in (0.05, 0.25, 0.5, 0.75)
            )
            counts = [
                sum(word == which for word in words)
                for which in ("natural more coherent", "random more coherent", "no distinction")
            ]
            print(
                f"| {case} | {seeds} | " + " | ".join(map(str, counts)) + f" | {quantiles} |",
                flush=True,
            )
    print("\n| networks | between them | covers | claims δ is none | claims 0 is none |")
    print("| ---: | ---: | ---: | ---: | ---: |")
    for seeds in (1, 2, 3, 5):
        for between in (0.0, 0.1, 0.3) if seeds > 1 else (0.0,):
            print(
                f"| {seeds} | {between} | " + " | ".join(tables(seeds, between, 5 * repeats)),
                "|",
                flush=True,
            )


def judge(make: Callable[[int], nn.Module], layer: str, i: int, seeds: int):
    models = [make(seeds * i + s) for s in range(seeds)]
    return compare_bases(
        models, layer, noisy_images(), rotations=39 if seeds == 1 else 19, untrained=6, seed=i
    ).layers[0]


def tables(seeds: int, between: float, repeats: int, delta: float = 0.5) -> list[str]:
    """Units of standard deviation 1, seeds of `between`, 40 units and 39 random bases a network."""
    generator = torch.Generator().manual_seed(0)
    covers = wrong = right = 0
    for _ in range(repeats):
        networks = []
        for _ in range(seeds):
            natural = torch.randn(40, generator=generator)
            natural += between * torch.randn(1, generator=generator)
            networks.append(MeasuredLayer(natural, torch.randn(39, 40, generator=generator)))
        found = effect(networks, generator)
        low, high = found.interval()
        covers += low <= 0 <= high
        right += found.equivalence(delta) <= 0.05
        beyond = [MeasuredLayer(x.natural + delta, x.random) for x in networks]
        wrong += effect(beyond, generator).equivalence(delta) <= 0.05
    return [f"{count / repeats:.3f}" for count in (covers, wrong, right)]


if __name__ == "__main__":
    main()
