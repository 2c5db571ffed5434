"""Judge the spectral penalty, and single layers' pools, at what validation chooses.

    INTRIGUING_DATA=FOLDER python benchmarks/hardening_fair.py [--what penalty pool-1 pool-2]

FC100-100-10 on all of MNIST, as `intriguing reproduce hardening --scale paper`. First settings are
tried on 50,000 training images and judged by the 10,000 others: the penalty's weight at the rate,
schedule and decay of the baseline, and of a single layer's pool the radius and the decay. Then the
best is trained on all 60,000 with five seeds, as the baseline is, and judged by the test images.
Every network is a line of `figures/hardening_fair.csv`; those that are there are not trained again.
"""

import argparse
import csv
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import load_data
from intriguing.paper.hardening.config import SCALES, Trial
from intriguing.paper.hardening.regimes import PLAIN, Regime, decays, regime
from intriguing.paper.networks import draw
from intriguing.training.recipe import train_network

OUT = Path(__file__).parent / "figures" / "hardening_fair.csv"
HEAD = ("what", "setting", "judged by", "seed", "wrong", "of")
SEEDS = 5
WEIGHTS = (1e-4, 3e-4, 1e-3, 3e-3)
RADII, LAMBDAS = (0.1, 0.2, 0.4, 0.8, 1.6), (1e-5, 3e-5, 5e-5)
RADIUS, LAMBDA = 0.2, 3e-5
"""That of joint pools, and that of the input's pool: what is not said has these."""


def candidates(what: str) -> Iterator[tuple[str, Regime]]:
    """Settings that are tried, by what they are called."""
    if what == PLAIN:
        yield "as in the study", regime(PLAIN)
    elif what == "penalty":
        for weight in WEIGHTS:
            yield f"weight {weight:g}", replace(regime(PLAIN), penalty=weight)
    else:
        (place,) = regime(what).places
        place = replace(place, radius=RADIUS)
        base = replace(regime(what), places=(place,), decay=decays(LAMBDA))
        for radius in RADII:
            yield f"radius {radius:g}", replace(base, places=(replace(place, radius=radius),))
        for lam in LAMBDAS:
            if decays(lam) != base.decay:
                yield f"lambda {lam:g}", replace(base, decay=decays(lam))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--what", nargs="*", default=["penalty", "pool-1", "pool-2"])
    asked = parser.parse_args().what
    torch.set_num_threads(1)
    data = load_data(SCALES["paper"].data)
    held_out, fitted = data.train.split(
        SCALES["paper"].held_out, torch.Generator().manual_seed(draw("held out", data.name))
    )
    for what in asked:
        tried = dict(candidates(what))
        errors = {
            name: wrong(what, name, "validation", one, 0, fitted, held_out)
            for name, one in tried.items()
        }
        best = min(errors, key=lambda name: errors[name])
        for seed in range(SEEDS):
            wrong(what, best, "test", tried[best], seed, data.train, data.test)
            wrong(PLAIN, "as in the study", "test", regime(PLAIN), seed, data.train, data.test)


def wrong(
    what: str, name: str, judged: str, one: Regime, seed: int, train: ImageSet, by: ImageSet
) -> int:
    """How many images a network misreads: from the file, or after its training."""
    known = {tuple(row)[:4]: int(row[4]) for row in read()}
    key = (what, name, judged, str(seed))
    if key not in known:
        scale = SCALES["paper"]
        trial = Trial(one.scaled(scale.epochs, scale.start), seed, what)
        drawn = trial.draw("training")
        extra = trial.regime.hardened.extra(drawn)
        model, _ = train_network(trial.regime.recipe, train, drawn, harden=extra)
        with torch.no_grad():
            known[key] = int((model(by.images).argmax(1) != by.labels).sum())
        with OUT.open("a", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerow([*key, known[key], len(by)])
        print(*key, known[key], flush=True)
    return known[key]


def read() -> list[list[str]]:
    """The lines that are there; with none, the file begins with its head."""
    if not OUT.exists():
        OUT.write_text(",".join(HEAD) + "\n", encoding="utf-8")
    with OUT.open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))[1:]


if __name__ == "__main__":
    main()
