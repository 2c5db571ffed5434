"""Images of nothing that a network reads with confidence, and what other networks say of them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from intriguing.distortion.confident import confident_images
from intriguing.errors import InputError
from intriguing.estimates import Rows
from intriguing.models.classifier import Classifier
from intriguing.models.requirements import check_classifier
from intriguing.names import file_name
from intriguing.results.measured import Metric
from intriguing.results.store import write_tensors
from intriguing.runs.run import Run
from intriguing.runs.stage import Made, Network, Stage

NOISE, FLAT = "noise", "flat"
_AT_ONCE = 200
"""Images under way together."""
_SHOWN = 10
"""Classes that pictures are shown of."""
GRAY = 0.5


@dataclass(frozen=True)
class Fooled(Stage):
    """From noise and from a flat image to every class.

    Attributes:
        network: That is fooled.
        others: That are asked what they read in the same images.
        shape: Of one image; pixels in [0, 1].
        classes: Which are wanted.
        starts: Of noise, for each class; there is one flat image besides.
        confidence: The least probability of the class.
        steps: At most so many.
        seed: Draws the noise.
    """

    name: ClassVar[str] = "fool"
    question: ClassVar[str] = "What does it read that means nothing?"
    network: Network
    others: tuple[Network, ...]
    shape: tuple[int, ...]
    classes: tuple[int, ...]
    starts: int
    confidence: float
    steps: int
    seed: int

    def compute(self, run: Run) -> Made:
        """Shares that reach it, by where they began, and pictures."""
        rows, passes, shown, said = Rows("fool", seed=self.seed), 0, [], []
        few = torch.tensor(self.classes[:_SHOWN])
        for start, begun, wanted in self._begun():
            parts = [
                confident_images(
                    self.network.model, x, y, self.confidence, steps=self.steps
                )
                for x, y in zip(
                    torch.split(begun, _AT_ONCE), torch.split(wanted, _AT_ONCE), strict=True
                )
            ]  # fmt: skip
            images = torch.cat([one.images for one in parts])
            reached = torch.cat([one.reached for one in parts])
            passes += sum((one.steps + 1) * len(one.images) for one in parts)
            rows.share(Metric.BECAME, int(reached.sum()), len(reached), network=self.network.name,
                       setting=start)  # fmt: skip
            for other in self.others:
                alike = reached & (self._reads(other, images) == wanted)
                rows.share(Metric.AGREEMENT, int(alike.sum()), len(alike), network=other.name,
                           made_for=self.network.name, setting=start)  # fmt: skip
            shown.append(images[: len(few)])
            said += [f"{one}, from {start}" for one in few.tolist()]
        write_tensors(
            run.folder, file_name("nonsense", self.network.name),
            {"images": torch.cat(shown).float().numpy()},
            {"kind": "nonsense", "title": f"Read by {self.network.name}",
             "across": str(len(few)), "words": json.dumps(said)},
        )  # fmt: skip
        return Made(tuple(rows.made), passes=(passes, passes))

    def _begun(self) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Where the images begin, and the class that each is to become."""
        generator = torch.Generator().manual_seed(self.seed)
        classes = torch.tensor(self.classes)
        wanted = classes.repeat(self.starts)
        yield NOISE, torch.rand((len(wanted), *self.shape), generator=generator), wanted
        yield FLAT, torch.full((len(classes), *self.shape), GRAY), classes

    @torch.no_grad()
    def _reads(self, other: Network, images: Tensor) -> Tensor:
        return Classifier.of(other.model).each(images).argmax(1).cpu()


def choose_classes(
    network: Network, others: tuple[Network, ...], shape: tuple[int, ...], most: int
) -> tuple[int, ...]:
    """At most so many classes of the network, evenly spaced.

    Raises:
        InputError: If a network does not take such images, or another has fewer classes.
    """
    gray = torch.full((2, *shape), GRAY)
    count = check_classifier(network.model, gray)
    for other in others:
        if (its := check_classifier(other.model, gray)) != count:
            raise InputError(
                f"{other.name} has {its} classes and {network.name} {count}; give networks of the "
                "same classes"
            )
    if most < 1:
        raise InputError(f"--classes {most}; give 1 or more")
    few = min(most, count)
    return tuple(i * count // few for i in range(few))
