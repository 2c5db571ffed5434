"""Methods of the field as written here beside their authors' code (adv-lib), on the same images.

    python benchmarks/authors.py [--networks fc conv] [--goals untargeted random]
        [--methods superdeepfool alma] [--budgets 40 100 400] [--images 16] [--out FILE]

A row says what share either finds, and our mean L2 over theirs on the images that both find, with
two standard errors of that ratio over images. Ours is worse where it finds fewer, or where the
ratio less that error is above 1 by more than the 1e-5 that ours stays away from a boundary, so that
its answers stand in any batch; then the exit status is 1. Budgets are passes an image. Answers are
judged and kept as those of `budgets.py`; rows are added to the table.
"""

import argparse
import csv
import sys
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch
from torch import Tensor

from budgets import answers
from networks import SOURCES, load_case
from peers import PEERS

AUTHORS = {
    "superdeepfool": "adv-lib SDF",
    "alma": "adv-lib ALMA",
    "apgd": "adv-lib APGD",
    "fmn": "adv-lib FMN",
    "ddn": "adv-lib DDN",
    "pdgd": "adv-lib PDGD",
    "cw": "adv-lib C&W",
    "deepfool": "adv-lib DF",
}
SECURE = 1e-5
TABLE = Path(__file__).parent / "figures" / "authors.csv"


@dataclass(frozen=True)
class Row:
    """A method of ours and its authors' at one budget; the ratio is of means over both's finds."""

    network: str
    goal: str
    method: str
    budget: int
    images: int
    found: float
    found_authors: float
    ratio: float
    margin: float
    passes: float
    passes_authors: float


def ratio_of(ours: Tensor, theirs: Tensor) -> tuple[float, float]:
    """Of means over the images that both found, and two standard errors of it."""
    both = ours.isfinite() & theirs.isfinite()
    ours, theirs = ours[both], theirs[both]
    ratio = ours.mean() / theirs.mean()
    spread = (ours - ratio * theirs).std() / len(ours) ** 0.5 / theirs.mean()
    return float(ratio), 2 * float(spread)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    usual = ["fc", "conv", "resnet2b", "resnet20"]
    parser.add_argument("--networks", nargs="+", default=usual, choices=list(SOURCES))
    parser.add_argument("--goals", nargs="+", default=["untargeted", "random"])
    parser.add_argument("--methods", nargs="+", default=list(AUTHORS), choices=list(AUTHORS))
    parser.add_argument("--budgets", nargs="+", type=int, default=[40, 100, 400])
    parser.add_argument("--images", type=int, default=16)
    parser.add_argument("--out", type=Path, default=TABLE)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = []
    for network in args.networks:
        for goal in args.goals:
            case = load_case(network, goal, args.images)
            for method in args.methods:
                if not PEERS[AUTHORS[method]].takes(case):
                    continue
                theirs = dict(answers(case, AUTHORS[method], args.budgets))
                for budget, ours in answers(case, method, args.budgets):
                    peer = theirs[budget]
                    found, theirs_found = (
                        float(answer.l2.isfinite().double().mean()) for answer in (ours, peer)
                    )
                    row = Row(
                        network, goal, method, budget, len(ours.l2), found, theirs_found,
                        *ratio_of(ours.l2, peer.l2), ours.passes, peer.passes,
                    )  # fmt: skip
                    print(*(f"{name}={value}" for name, value in asdict(row).items()), flush=True)
                    rows.append(row)
    new = not args.out.exists()
    with args.out.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow([field.name for field in fields(Row)])
        for row in rows:
            values = asdict(row).values()
            writer.writerow([f"{v:.5g}" if isinstance(v, float) else v for v in values])
    worse = [
        row for row in rows if row.found < row.found_authors or row.ratio - row.margin > 1 + SECURE
    ]
    for row in worse:
        print(f"WORSE {row}")
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
