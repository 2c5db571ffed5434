"""How often the test of the claim is wrong, and how often right, on networks whose truth is known.

    python benchmarks/units_calibration.py [--repeats 100]

Each line repeats `compare_bases` on new networks at level 5 %: how often it says that one basis is
more coherent, how often "no distinction", and the quantiles of the exact p-value of the rotation
null. Then, on tables of known truth, how often 95 % intervals cover it, and how often equivalence
is claimed of a difference of exactly δ (at most 5 % is right). Rows go to units_cases.csv and
units_intervals.csv of benchmarks/figures in place of earlier ones.
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
from tables import keep

FIGURES = Path(__file__).parent / "figures"

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
    for seeds in (1, 3):
        for case, (layer, make) in CASES.items():
            found = [judge(make, layer, i, seeds) for i in range(repeats)]
            words = [claim.verdict for claim in found]
            p = torch.tensor([claim.p_rotation for claim in found], dtype=torch.float64)
            row = {"case": case, "networks": seeds, "repeats": repeats}
            for verdict in ("natural more coherent", "random more coherent", "no distinction"):
                row[verdict] = words.count(verdict)
            for q in (5, 25, 50, 75):
                row[f"p to {q} %"] = f"{float((100 * p <= q).double().mean()):.2f}"
            print(row, flush=True)
            keep(FIGURES / "units_cases.csv", row, ["case", "networks"])
    for seeds in (1, 2, 3, 5):
        for between in (0.0, 0.1, 0.3) if seeds > 1 else (0.0,):
            row = {"networks": seeds, "between": between, "repeats": 5 * repeats}
            row |= tables(seeds, between, 5 * repeats)
            print(row, flush=True)
            keep(FIGURES / "units_intervals.csv", row, ["networks", "between"])


def judge(make: Callable[[int], nn.Module], layer: str, i: int, seeds: int):
    models = [make(seeds * i + s) for s in range(seeds)]
    return compare_bases(
        models, layer, noisy_images(), rotations=39 if seeds == 1 else 19, untrained=6, seed=i
    ).layers[0]


def tables(seeds: int, between: float, repeats: int, delta: float = 0.5) -> dict[str, str]:
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
    counts = {"covers": covers, "delta is none": wrong, "zero is none": right}
    return {name: f"{count / repeats:.3f}" for name, count in counts.items()}


if __name__ == "__main__":
    main()
