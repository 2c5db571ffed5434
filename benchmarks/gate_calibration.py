"""How often a gate is wrong, and how many images it takes, on distances whose truth is known.

    python benchmarks/gate_calibration.py [--gates 1000]

Each row of benchmarks/figures/gate_calibration.csv (--out) repeats a gate on new images at level
5 %, of 1,000 images at most: how often it passes, fails and stays undecided, the larger share of
wrong verdicts of one kind, and the images used, on average and by nine gates of ten. `fixed` is
the size of a test of fixed size that knows how far the truth is from the threshold, and is wrong at
most 5 % of the time on either side of it: the smallest binomial test with these errors. Where the
truth is at the threshold no size suffices.
"""

import argparse
import csv
import io
import sys
from pathlib import Path

import numpy as np
from scipy import stats

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.gate.simulated import CASES, Simulated, repeat

from intriguing.files import write_whole

LEVEL, IMAGES = 0.05, 1000
TABLE = Path(__file__).parent / "figures" / "gate_calibration.csv"
COLUMNS = (
    "distances", "truth", "gates", "pass", "fail", "undecided", "wrong", "images", "images_90",
    "fixed",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gates", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args()
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for number, case in enumerate(CASES):
        rulings, used = repeat(case, asked.gates, LEVEL, IMAGES, seed=number)
        shares = {
            ruling: sum(one == ruling for one in rulings) / len(rulings)
            for ruling in ("pass", "fail", "undecided")
        }
        row = (
            case.kind, case.truth, asked.gates, *shares.values(),
            max(shares[wrong] for wrong in case.wrong), round(float(np.mean(used)), 1),
            int(np.quantile(used, 0.9)), fixed_size(case) or "",
        )  # fmt: skip
        table.writerow(row)
        print(*row, flush=True)
    write_whole(asked.out, text.getvalue())


def fixed_size(case: Simulated) -> int | None:
    """The images of a binomial test that is wrong with at most LEVEL at q, and at the truth."""
    q = case.config.demand.share
    truth = float(case.near(np.random.default_rng(0), 1_000_000).mean())
    if abs(truth - q) < 0.005:
        return None
    for images in range(1, 100_000):
        if truth < q:  # passes with at most so many near
            most = int(stats.binom.ppf(LEVEL, images, q)) - 1
            if stats.binom.cdf(most, images, truth) >= 1 - LEVEL:
                return images
        else:
            least = int(stats.binom.ppf(1 - LEVEL, images, q)) + 1
            if stats.binom.sf(least - 1, images, truth) >= 1 - LEVEL:
                return images
    return None


if __name__ == "__main__":
    main()
