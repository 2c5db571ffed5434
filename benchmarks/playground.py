"""The playground's search beside the library's: distances image by image, and time in a browser.

    python benchmarks/playground.py FC10.safetensors FC100-100-10.safetensors AE400-10.safetensors

100 test images of mnist-5k, a random wrong class each, the networks as the page carries them.
Rows go to benchmarks/figures/playground.csv. Needs Chromium.
"""

import csv
import sys
import tempfile
from pathlib import Path

import torch

import intriguing as it
from intriguing.playground.networks import carried, rounded
from intriguing.playground.page import draw_page
from intriguing.runs.network_names import names_of

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.report.chromium import Chromium

COUNT = 100
FIGURES = Path(__file__).parent / "figures" / "playground.csv"
ASKED = """
Array.from(targets, (target, k) => {
  const began = performance.now();
  const {distortion, passes} = answerOf(searchPaper(networks[PLACE], digits[k].image, target));
  return [distortion, passes, performance.now() - began];
})
"""


def main() -> None:
    test = it.load_data("mnist-5k").test
    images, labels = test.images[:COUNT], test.labels[:COUNT]
    generator = torch.Generator().manual_seed(0)
    targets = (labels + torch.randint(1, 10, (COUNT,), generator=generator)) % 10
    names = names_of(sys.argv[1:])
    networks = [
        rounded(name, it.load_model(spec), images[0].numel())
        for name, spec in zip(names, sys.argv[1:], strict=True)
    ]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        dense = [
            carried(name, network, test.images, test.labels)
            for name, network in zip(names, networks, strict=True)
        ]
        size = draw_page(dense, images, labels, page)
        window = Chromium(Path(folder) / "profile")
        window.open(page)
        for place, (name, network) in enumerate(zip(names, networks, strict=True)):
            told = []
            for start in range(0, COUNT, 10):
                some = targets[start : start + 10].tolist()
                script = ASKED.replace("targets", str(some)).replace("PLACE", str(place))
                told += window.run(script.replace("digits[k]", f"digits[{start} + k]"))
            theirs = torch.tensor(told, dtype=torch.float64)
            ours = it.minimum_distortion(network, images, labels, targets=targets, method="paper")
            ratio = theirs[:, 0] / ours.distortion
            rows.append(
                {
                    "network": name, "images": COUNT, "page_bytes": size,
                    "mean_ratio": f"{ratio.mean():.6f}", "least_ratio": f"{ratio.min():.6f}",
                    "largest_ratio": f"{ratio.max():.6f}",
                    "within_one_percent": int(((ratio - 1).abs() <= 0.01).sum()),
                    "median_passes": int(theirs[:, 1].median()),
                    "median_ms": f"{theirs[:, 2].median():.0f}",
                    "largest_ms": f"{theirs[:, 2].max():.0f}",
                }
            )  # fmt: skip
            print(rows[-1])
        window.close()
    with FIGURES.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)


if __name__ == "__main__":
    main()
