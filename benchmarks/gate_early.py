"""How much nearer the whole search of a gate comes than its shorter ones, image by image.

    INTRIGUING_DATA=FOLDER python benchmarks/gate_early.py [--networks mlp resnet20] [--images 24]

An image for which a shorter search finds nothing within twice its limit, times what the whole one
gained on the gate's first images, ends there, unless this was more than √2 over the short one. Each
row of benchmarks/figures/gate_early.csv (--out) is a network, and its first images that it
classifies correctly: for how many the first search finds an example, with the median and the
largest gain over it; the same gains over the short one, the distance of that over the distance of
the whole one; on how many images it is more than √2 and more than 2; the share of images that could
end too early, were the limit the worst for each: those with a gain over the first search of more
than twice the largest of six others, none of which gains more than √2 over the short one, on
average over all such six; and the median distortion by the short search, the whole one, and, where
any gain over it is more than √2, one of five times the passes, as the gate then makes.
"steep" is "mlp" behind sigmoid(60 (x − ½)). Rows of other networks stay as they are.
"""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from intriguing import minimum_distortion
from intriguing.gate.config import GateConfig
from intriguing.gate.early import LEARNED, MUCH, first_budget
from intriguing.gate.longer import TIMES
from intriguing.models.classifier import Classifier
from networks import SOURCES, Subject, published
from tables import keep

TABLE = Path(__file__).parent / "figures" / "gate_early.csv"
COLUMNS = (
    "network", "images", "first", "short", "budget", "found_first", "median_gain_first",
    "largest_gain_first", "median_gain", "largest_gain", "over_1.41", "over_2", "too_early",
    "distortion_short", "distortion", "distortion_longer",
)  # fmt: skip


class Steep(nn.Module):
    """A network behind steep sigmoids."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model
        self.eval()

    def forward(self, images: Tensor) -> Tensor:
        """Its logits."""
        logits: Tensor = self.model(torch.sigmoid(60 * (images - 0.5)))
        return logits


def mlp() -> Subject:
    """784-100-10 of ReLU, trained on MNIST."""
    return published("mlp100-10", "mlp_100.safetensors", "mnist_200.npz")


def steep() -> Subject:
    model, images, labels = mlp()
    return Steep(model), images, labels


NETWORKS: dict[str, Callable[[], Subject]] = {
    "mlp": mlp, "steep": steep,
    **{name: SOURCES[name] for name in ("mnist-adversarial", "resnet2b", "resnet20", "squeezenet")},
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--out", type=Path, default=TABLE)
    asked = parser.parse_args()
    places = list(NETWORKS)
    for name in asked.networks:
        row = measured(name, asked.images)
        print(row, flush=True)
        keep(asked.out, row, ["network"], lambda one: places.index(one["network"]))


def measured(name: str, count: int) -> dict[str, object]:
    """A row."""
    model, images, labels = NETWORKS[name]()
    right = Classifier.of(model).each(images).argmax(1) == labels
    images, labels = images[right][:count], labels[right][:count]
    config = GateConfig(at_least=1.0)

    def sizes(budget: int) -> Tensor:
        found = minimum_distortion(model, images, labels, "untargeted", budget=budget)
        return found.distortion.double()

    budget = first_budget(config.short)
    first, short, whole = sizes(budget), sizes(config.short), sizes(config.budget)
    found, gains = first[first.isfinite()] / whole[first.isfinite()], short / whole
    longer = sizes(TIMES * config.budget) if bool((gains > MUCH).any()) else None
    middles = [f"{float(one.median()):.4g}" for one in (short, whole, longer) if one is not None]
    return dict(zip(COLUMNS, (
        name, len(gains), budget, config.short, config.budget, len(found),
        f"{float(found.median()):.4g}", f"{float(found.max()):.4g}",
        f"{float(gains.median()):.4g}", f"{float(gains.max()):.4g}",
        int((gains > MUCH).sum()), int((gains > config.far).sum()),
        f"{too_early(first / whole, gains, config.far):.2g}",
        *middles, *([""] if longer is None else []),
    ), strict=True))  # fmt: skip


def too_early(first: Tensor, short: Tensor, far: float) -> float:
    """The share of images whose gain over the first search is more than `far` times six others'."""
    count, shares = len(first), []
    for gain in first.tolist():
        less = int(((first < gain / far) & (short <= MUCH)).sum())
        some = math.comb(less, LEARNED) / math.comb(count - 1, LEARNED)
        shares.append(some if math.isfinite(gain) else 0.0)  # what is not found goes on
    return sum(shares) / count


if __name__ == "__main__":
    main()
