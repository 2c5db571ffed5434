"""How much nearer the whole search of a gate comes than its short one, image by image.

    INTRIGUING_DATA=FOLDER python benchmarks/gate_early.py [--networks fc resnet20] [--images 32]

An image for which the short search finds nothing within twice its limit ends there, once the first
images of the gate have gained less than √2 by the whole search. Each row of
benchmarks/figures/gate_early.csv (--out) is a network of `benchmarks/networks.py`: of its images
for which both searches find an example, the median and the largest gain, the distance of the short
search over that of the whole one, and on how many it is more than √2 and more than 2, where ending
early could have been wrong. Rows of other networks stay as they are.
"""

import argparse
import csv
import io
import math
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.networks import SOURCES

from intriguing import minimum_distortion
from intriguing.files import write_whole
from intriguing.gate.config import GateConfig
from intriguing.models.classifier import Classifier

TABLE = Path(__file__).parent / "figures" / "gate_early.csv"
COLUMNS = ("network", "images", "short", "budget", "median", "largest", "over_1.41", "over_2")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(SOURCES), choices=list(SOURCES))
    parser.add_argument("--images", type=int, default=32)
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args()
    rows = {}
    if asked.out.exists():
        rows = {row["network"]: row for row in csv.DictReader(asked.out.open(encoding="utf-8"))}
    for name in asked.networks:
        rows[name] = measured(name, asked.images)
        print(rows[name], flush=True)
        text = io.StringIO()
        table = csv.DictWriter(text, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows[one] for one in SOURCES if one in rows)
        write_whole(asked.out, text.getvalue())


def measured(name: str, count: int) -> dict[str, object]:
    """A row: the first images that the network classifies correctly."""
    model, images, labels = SOURCES[name]()
    right = Classifier.of(model).each(images).argmax(1) == labels
    images, labels = images[right][:count], labels[right][:count]
    config = GateConfig(at_least=1.0)
    first, whole = (
        minimum_distortion(model, images, labels, "untargeted", budget=budget).l2.double()
        for budget in (config.short, config.budget)
    )
    gains = (first / whole)[first.isfinite() & whole.isfinite()]
    return dict(zip(COLUMNS, (
        name, len(gains), config.short, config.budget, f"{float(gains.median()):.4g}",
        f"{float(gains.max()):.4g}", int((gains > math.sqrt(config.far)).sum()),
        int((gains > config.far).sum()),
    ), strict=True))  # fmt: skip


if __name__ == "__main__":
    main()
