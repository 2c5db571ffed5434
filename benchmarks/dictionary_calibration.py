"""How often verdicts on learned dictionaries are wrong, and how many planted features are found.

    python benchmarks/dictionary_calibration.py [--repeats 40]

Images are vectors of sixteen pixels, and the layer is the image itself. Planted: sums of two of 32
features, which labels follow: a dictionary has something to find that its frozen control cannot.
Planted, labels at random: no basis can be more coherent than another. Featureless: directions are
alike by symmetry, and labels are read by eight of them. Whatever is called better in the last two
is wrong. Each line of `figures/dictionary_calibration.csv` counts verdicts of as many new cases.
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
HEAD = ("case", "beside", "repeats", "better", "no better", "not decided", "recovered")
FEATURES = 32
SEES = nn.Sequential(nn.Flatten()).eval()
CASES: dict[str, Callable[[int], tuple[ImageSet, Tensor | None]]] = {
    "planted": lambda i: superposed(i, features=FEATURES, count=2000),
    "planted, labels at random": lambda i: superposed(i, features=FEATURES, count=2000, told=False),
    "featureless": lambda i: (featureless(i, count=2000), None),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=40)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    lines = [line for case in CASES for line in count(case, repeats)]
    with OUT.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(HEAD)
        writer.writerows(lines)


def count(case: str, repeats: int) -> list[tuple[str, ...]]:
    """Verdicts beside each reference, and the mean share of planted features found."""
    verdicts = {reference: [] for reference in COMPARED}
    recovered = []
    for i in range(repeats):
        images, planted = CASES[case](i)
        (found,) = compare_dictionaries(
            [SEES], ["0"], images, measure="purity", delta=0.05, size=FEATURES, dictionaries=3,
            seed=1000 * i,
        )  # fmt: skip
        for lead in found.leads:
            verdicts[lead.reference].append(lead.verdict)
        if planted is not None:
            recovered.append(share(images, planted, 1000 * i))
        print(case, i + 1, {name: some[-1] for name, some in verdicts.items()}, flush=True)
    mean = f"{sum(recovered) / len(recovered):.3f}" if recovered else ""
    return [
        (
            case,
            reference,
            str(repeats),
            *(f"{some.count(v) / repeats:.3f}" for v in HEAD[3:6]),
            mean,
        )
        for reference, some in verdicts.items()
    ]


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
