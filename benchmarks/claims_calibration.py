"""How often verdicts are wrong where the answer is known, and how often there is one at all.

    python benchmarks/claims_calibration.py            writes figures/claims_calibration.csv

Every kind of test of `intriguing.paper.claims.deciding` is run on cases that are made so that the
answer is known: clearly present, clearly absent, and exactly at the margin, where any verdict is
wrong. So is the estimate of rare probabilities, on half-spaces, where the probability is known.
"""

import argparse
import csv
import math
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from scipy import stats
from torch import nn

from intriguing.distortion.rare import rarity
from intriguing.paper.claims.deciding import (
    Estimate,
    Region,
    decide,
    of_means,
    of_ratios,
    of_shares,
)

TABLE = Path(__file__).parent / "figures" / "claims_calibration.csv"
SEEDS = 5
REPEATS = 2000
_SPREADS = ("normal", "skewed", "heavy")


def spread(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Five values of mean 0 and standard deviation 1."""
    if kind == "normal":
        return rng.standard_normal(SEEDS)
    if kind == "heavy":
        return rng.standard_t(5, SEEDS) / math.sqrt(5 / 3)
    return rng.exponential(1.0, SEEDS) - 1.0


def mean(truth: float, kind: str, rng: np.random.Generator) -> Estimate:
    """A mean that lies `truth` standard deviations from 0."""
    return of_means((truth + spread(kind, rng)).tolist())


def ratio(truth: float, kind: str, rng: np.random.Generator) -> Estimate:
    """A ratio whose logarithm does."""
    return of_ratios(np.exp(0.1 * (truth + spread(kind, rng))).tolist())


def share(truth: float, between: float, images: int, rng: np.random.Generator) -> Estimate:
    """A share in percent of `truth` on average that differs between seeds by so many points."""
    if between:
        mean_share, variance = truth / 100, (between / 100) ** 2
        size = mean_share * (1 - mean_share) / variance - 1
        each = rng.beta(mean_share * size, (1 - mean_share) * size, SEEDS)
    else:
        each = np.full(SEEDS, truth / 100)
    counts = rng.binomial(images, each)
    return of_shares(counts.tolist(), [images] * SEEDS)


def cases() -> Iterator[tuple[str, str, str, Region, str, float, object]]:
    """Test, spread, case, region, the right answer, truth, and how to draw an estimate."""
    above = Region(low=0.0)
    inside = Region(-2.0, 2.0)
    for kind in _SPREADS:
        for truth, case in ((0.0, "at the margin"), (3.0, "present"), (-3.0, "absent")):
            yield "mean above", kind, case, above, _right(case), truth, mean
        for truth, case in ((2.0, "at the margin"), (0.0, "present"), (6.0, "absent")):
            yield "mean within", kind, case, inside, _right(case), truth, mean
        for truth, case in ((0.0, "at the margin"), (3.0, "present"), (-3.0, "absent")):
            yield "ratio above", kind, case, Region(low=1.0), _right(case), truth, ratio
    for images in (60, 360):
        for between in (0.0, 1.0):
            for truth, case in ((95.0, "at the margin"), (99.5, "present"), (85.0, "absent")):
                if between and case == "present":
                    continue  # shares of 99.5 % that differ by a point are none
                yield (
                    "share above 95 %", f"{between:g} points, {images} images", case,
                    Region(low=95.0), _right(case), truth,
                    lambda t, _, rng, b=between, n=images: share(t, b, n, rng),
                )  # fmt: skip


def _right(case: str) -> str:
    return {"at the margin": "open", "present": "holds", "absent": "does not hold"}[case]


def verdicts(repeats: int) -> list[dict[str, object]]:
    """A line a case: how often each verdict fell, and how often it was wrong."""
    rows = []
    for number, (test, kind, case, region, right, truth, draw) in enumerate(cases()):
        rng = np.random.default_rng(number)
        fell = [decide(draw(truth, kind, rng), region).value for _ in range(repeats)]  # type: ignore[operator]
        wrong = sum(one != "open" for one in fell if one != right)
        rows.append({
            "test": test, "spread": kind, "case": case, "right": right, "repeats": repeats,
            "holds": fell.count("holds") / repeats,
            "does not hold": fell.count("does not hold") / repeats,
            "open": fell.count("open") / repeats, "wrong": wrong / repeats,
        })  # fmt: skip
    return rows


class HalfSpace(nn.Module):
    """Misread where the first pixel is above a threshold."""

    def __init__(self, threshold: float) -> None:
        super().__init__()
        self.threshold = nn.Parameter(torch.tensor(threshold))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        beyond = images.flatten(1)[:, 0] - self.threshold
        return torch.stack((-beyond, beyond), 1)


def rare(repeats: int, pixels: int = 64) -> list[dict[str, object]]:
    """Importance splitting where the probability of a half-space is known."""
    rows = []
    for threshold in (0.3, 0.5, 0.6, 0.7) if pixels == 64 else (0.15, 0.3, 0.5):
        truth = 0.5 * float(stats.beta.sf(threshold**2, 0.5, (pixels - 1) / 2))
        model = HalfSpace(threshold).eval()
        image = torch.zeros(1, pixels)
        found = [
            rarity(model, image, 0, 1.0, torch.Generator().manual_seed(i)) for i in range(repeats)
        ]
        off = np.abs(np.log10(found) - math.log10(truth))
        rows.append({
            "test": "rarity", "spread": f"{pixels} pixels", "case": f"p = {truth:.2g}",
            "right": f"{truth:.6g}", "repeats": repeats, "mean over truth": np.mean(found) / truth,
            "median power off": float(np.median(off)), "wrong": float(np.mean(off > 1)),
        })  # fmt: skip
    return rows


def main() -> None:
    """Write the table and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=REPEATS)
    parser.add_argument("--out", type=Path, default=TABLE)
    given = parser.parse_args()
    rows = [
        *verdicts(given.repeats),
        *rare(max(20, given.repeats // 20)),
        *rare(max(20, given.repeats // 100), pixels=784),
    ]
    names = list(dict.fromkeys(name for row in rows for name in row))
    with given.out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            shown = {k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()}
            writer.writerow(shown)
            print(*shown.values(), sep=", ")


if __name__ == "__main__":
    main()
