"""Figure 7: originals beside adversarial examples of two networks, and beside noise."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from intriguing.data.dataset import ImageSet
from intriguing.distortion.minimum import minimum_distortion
from intriguing.distortion.noise import gaussian_noise
from intriguing.distortion.penalty import PaperConfig
from intriguing.measures import UNIT_BOX
from intriguing.models.classifier import Classifier
from intriguing.paper.networks import MNIST_NETWORKS, draw
from intriguing.results.published import PublishedPanel, published_figure7
from intriguing.results.store import write_tensors
from intriguing.runs.predicting import predict
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Stage
from intriguing.runs.training import Training
from intriguing.transfer.matrix import count_errors

if TYPE_CHECKING:
    from intriguing.paper.materials import Materials

PAIRS = 36
"""Images a panel, as the paper has about."""


@dataclass(frozen=True)
class Picture:
    """A file of tensors: its name, the tensors, and words on what they are."""

    name: str
    tensors: dict[str, np.ndarray]
    words: dict[str, str]


@dataclass(frozen=True)
class Figure7(Stage):
    """The three panels.

    Attributes:
        networks: The two of the paper's.
        targets: Of all of `images`, for each network.
        images: What to draw from.
        config: The search for the minimum distortion.
        seed: Draws the images and the noise.
    """

    name: ClassVar[str] = "figure7"
    question: ClassVar[str] = "What do the examples look like beside noise?"
    networks: tuple[Training, ...]
    targets: tuple[Tensor, ...]
    images: ImageSet
    config: PaperConfig
    seed: int

    def compute(self, run: Run) -> Made:
        """A file of tensors a panel."""
        names = [one.recipe.name for one in self.networks]
        pictures = figure7(
            dict(zip(names, map(run.model, self.networks), strict=True)), self.images,
            dict(zip(names, self.targets, strict=True)), self.config,
            torch.Generator().manual_seed(self.seed),
        )  # fmt: skip
        for picture in pictures:
            write_tensors(run.folder, picture.name, picture.tensors, picture.words)
        return Made()


def make(given: "Materials") -> list[Stage]:
    """Of the first seed's networks."""
    shown = {panel.network for panel in published_figure7()}
    recipes = [recipe for recipe in MNIST_NETWORKS if recipe.name in shown]
    images = given.sets[0].attacked["train"]
    return [
        Figure7(
            tuple(given.training(recipe, 0) for recipe in recipes),
            tuple(given.targets(recipe, 0, images) for recipe in recipes),
            images, given.config.attack, draw("figure7"),
        )
    ]  # fmt: skip


def figure7(
    networks: Mapping[str, nn.Module],
    images: ImageSet,
    targets: Mapping[str, Tensor],
    config: PaperConfig,
    generator: torch.Generator,
) -> list[Picture]:
    """Figure 7: originals beside adversarial examples of two networks, and beside noise.

    The images are drawn at random among those that every network classifies correctly, the same
    in all panels.  The noise of panel (c) is clipped to [0, 1] for display only; accuracy under
    it, which the paper gives without saying for which network, is that on all of `images`.

    Args:
        networks: The two, by name.
        images: What to draw from.
        targets: For each network, the targets of all of `images`.
        config: The search for the minimum distortion.
        generator: Draws the images and the noise.
    """
    drawn = _correct(networks, images, generator)
    shown = images.subset(drawn)
    pictures = []
    for panel in published_figure7():
        if panel.network in networks:
            pictures.append(
                _adversarial(panel, networks[panel.network], shown, targets, drawn, config)
            )
        else:
            pictures.append(_random(panel, networks, images, shown, generator))
    return pictures


def _correct(
    networks: Mapping[str, nn.Module], images: ImageSet, generator: torch.Generator
) -> Tensor:
    """Random indices of images that all networks classify correctly."""
    order = torch.randperm(len(images), generator=generator)[: 20 * PAIRS]
    candidates = images.subset(order)
    correct = torch.ones(len(order), dtype=torch.bool)
    for network in networks.values():
        with torch.no_grad():
            predicted = Classifier.of(network).each(candidates.images).argmax(1).cpu()
        correct &= predicted == candidates.labels
    return order[correct][:PAIRS]


def _adversarial(
    panel: PublishedPanel,
    network: nn.Module,
    shown: ImageSet,
    targets: Mapping[str, Tensor],
    drawn: Tensor,
    config: PaperConfig,
) -> Picture:
    goal = targets[panel.network][drawn]
    result = minimum_distortion(network, shown.images, shown.labels, goal, "paper", config=config)
    found = result.success
    predicted, _ = predict(network, result.adversarial[found])
    accuracy = 100 * float((predicted == shown.labels[found]).double().mean())
    title = f"{panel.network}, stddev={result.mean:.3f}, accuracy {accuracy:.0f} %"
    caption = (
        f"({panel.letter}) Adversarial examples for {panel.network}: average distortion "
        f"{result.mean:.3f} on these {int(found.sum())} images (paper {panel.stddev:g}), accuracy "
        f"{accuracy:.0f} %."
    )
    return _panel(panel, title, caption, shown.images[found], result.adversarial[found])


def _random(
    panel: PublishedPanel,
    networks: Mapping[str, nn.Module],
    images: ImageSet,
    shown: ImageSet,
    generator: torch.Generator,
) -> Picture:
    noisy = gaussian_noise(shown.images, panel.stddev, generator)
    batches = (
        (gaussian_noise(batch.images, panel.stddev, generator), batch.labels)
        for batch in images.batches(10_000)
    )
    counts = count_errors(networks, batches)
    right = {name: 100 * (1 - count.rate) for name, count in counts.items()}
    each = ", ".join(f"{accuracy:.0f} % for {name}" for name, accuracy in right.items())
    caption = (
        f"({panel.letter}) Gaussian noise, stddev={panel.stddev:g}, clipped for display only: "
        f"accuracy on all {len(images):,} images {each} (paper {panel.accuracy:g} %, without "
        "saying for which network)."
    )
    title = f"Gaussian noise, stddev={panel.stddev:g}, accuracy {_range(list(right.values()))} %"
    return _panel(panel, title, caption, shown.images, UNIT_BOX.clamp(noisy))


def _range(values: list[float]) -> str:
    low, high = f"{min(values):.0f}", f"{max(values):.0f}"
    return low if low == high else f"{low}–{high}"


def _panel(
    panel: PublishedPanel, title: str, caption: str, originals: Tensor, distorted: Tensor
) -> Picture:
    tensors = {"original": originals.cpu().numpy(), "distorted": distorted.cpu().numpy()}
    words = {
        "kind": "panel",
        "figure": "figure7",
        "letter": panel.letter,
        "title": title,
        "caption": caption,
    }
    return Picture(f"figure7-{panel.letter}", tensors, words)
