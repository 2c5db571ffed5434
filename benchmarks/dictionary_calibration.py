"""How often verdicts on learned dictionaries are wrong, and how many planted features are found.

    python benchmarks/dictionary_calibration.py [--repeats 40]

Images are vectors of sixteen pixels, and the layer is the image itself. Planted: sums of two of 32
features, which labels follow: a dictionary has something to find that its frozen control cannot.
Planted, labels at random: no basis can be more coherent than another. Featureless: directions are
alike by symmetry, and labels are read by eight of them. Whatever is called better in the last two
is wrong. A line of `figures/dictionary_calibration.csv` is a new case; those that are there stay.
"""

import argparse
import csv
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.units.planted import featureless, superposed

from intriguing.data.dataset import ImageSet
from intriguing.units.dictionaries import COMPARED, compare_dictionaries, halves
from intriguing.units.dictionary import layer_vectors, learn_dictionary

OUT = Path(__file__).parent / "figures" / "dictionary_calibration.csv"
HEAD = ("case", "repeat", *COMPARED, "recovered")
FEATURES = 32
SEES = nn.Sequential(nn.Flatten()).eval()
CASES: dict[str, Callable[[int], tuple[ImageSet, Tensor | None]]] = {
    "planted": lambda i: superposed(i, features=FEATURES, count=2000),
    "planted, labels at random": lambda i: superposed(i, features=FEATURES, count=2000, told=False),
    "featureless": lambda i: (featureless(i, count=2000), None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=20)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    known = read()
    for case, make in CASES.items():
        for i in range(repeats):
            row = known.setdefault((case, str(i)), {"case": case, "repeat": str(i)})
            images, planted = make(i)
            if not row.get(COMPARED[0]):
                row.update(verdicts(images, 1000 * i))
            if planted is not None and not row.get("recovered"):
                row["recovered"] = f"{share(images, planted, 1000 * i):.4f}"
            write(known)
            print(row, flush=True)


def read() -> dict[tuple[str, str], dict[str, str]]:
    """The lines that are there, by case and repeat."""
    if not OUT.exists():
        return {}
    with OUT.open(newline="", encoding="utf-8") as file:
        return {(row["case"], row["repeat"]): dict(row) for row in csv.DictReader(file)}


def write(known: dict[tuple[str, str], dict[str, str]]) -> None:
    """All lines."""
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, HEAD, lineterminator="\n")
        writer.writeheader()
        writer.writerows(known.values())


def verdicts(images: ImageSet, seed: int) -> dict[str, str]:
    """By what the learned dictionary is compared with."""
    (found,) = compare_dictionaries(
        [SEES], ["0"], images, measure="purity", delta=0.05, size=FEATURES, dictionaries=3,
        seed=seed,
    )  # fmt: skip
    return {lead.reference: lead.verdict for lead in found.leads}


def share(images: ImageSet, planted: Tensor, seed: int) -> float:
    """Of planted features those that a learned one points along, to a cosine of .9."""
    vectors, others = (
        layer_vectors(SEES, "0", images.subset(half), len(half), seed)
        for half in halves(images, seed)
    )
    learned = learn_dictionary(vectors, others, FEATURES, seed=seed)
    return float(((planted.T @ learned.writes).amax(1) > 0.9).float().mean())


if __name__ == "__main__":
    main()
