"""A pool: one adversarial example for every training image, at one place of a network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from intriguing.errors import InputError
from intriguing.hardening.above import network_above
from intriguing.hardening.config import PoolConfig
from intriguing.hardening.examples import new_examples, typical_distance
from intriguing.hardening.places import IMAGES, Place, find_place
from intriguing.measures import Box
from intriguing.models.classifier import Classifier, device_of
from intriguing.units.activations import activations

_BYTES = 1 << 26
"""Of the examples that are made at once: 64 MiB, beside a search's vectors of the same size."""


@dataclass(frozen=True)
class PoolSummary:
    """What a pool held in the end.

    Attributes:
        layer: As the caller named it.
        place: "input", a module, or what goes into one.
        shape: Of one example.
        lower, upper: The range that examples are kept in.
        range: Where that comes from, in words.
        radius: The largest ‖r‖₂ at the last replacement; 0 if there was none.
        misclassified: The share of the last examples that the network then got wrong.
    """

    layer: str
    place: str
    shape: tuple[int, ...]
    lower: float
    upper: float
    range: str
    radius: float
    misclassified: float


class Pool:
    """Examples at one place of `model`, made and replaced by the network as it is then.

    Args:
        model: The network that is trained.
        place: Where, and how far examples may be from their images.
        images, labels: The training set; slot i belongs to image i and has its label.
        box: The range of the images.
        config: How examples are made.

    Raises:
        InputError: If the model has no such place, or it is passed by.
    """

    def __init__(
        self,
        model: nn.Module,
        place: Place,
        images: Float[Tensor, "image ..."],
        labels: Int64[Tensor, " image"],
        box: Box,
        config: PoolConfig,
    ) -> None:
        self.model, self.place, self.config, self.box = model, place, config, box
        self.images, self.labels = images, labels
        self.name = find_place(model, place.layer)
        mode = model.training
        model.eval()
        self._evaluated, self.range = network_above(model, self.name, images[:8])
        phi = self._activations(images[:8])
        model.train()
        self._trained, _ = network_above(model, self.name, images[:8])
        model.train(mode)
        # In the memory of the images, as a pool is as large as they are.
        self.slots = phi.new_zeros((len(images), *phi.shape[1:])).to(images.device)
        self._about = torch.zeros(4, dtype=torch.float64)

    @property
    def memory(self) -> Mapping[str, Tensor]:
        """What a checkpoint has to keep; changed in place."""
        return {f"{self.name}.slots": self.slots, f"{self.name}.about": self._about}

    @property
    def summary(self) -> PoolSummary:
        """What it holds now."""
        lower, upper, radius, wrong = self._about.tolist()
        words = "as given" if self.name == IMAGES else self.range.in_words
        shape = tuple(self.slots.shape[1:])
        return PoolSummary(self.place.layer, self.name, shape, lower, upper, words, radius, wrong)

    def logits(self, rows: Int64[Tensor, " batch"]) -> Float[Tensor, "batch class"]:
        """Of the examples in these slots, by the layers above the place; in training mode."""
        place = device_of(self.model)
        examples = self.slots[rows.to(self.slots.device)].to(place, non_blocking=True)
        logits: Tensor = self._trained(examples)
        return logits

    def replace(self, share: float, generator: torch.Generator) -> None:
        """Make a random share of the examples anew by the network as it is; in evaluation mode."""
        count = max(1, round(share * len(self.slots)))
        drawing = torch.Generator().manual_seed(_seed(generator))
        chosen = torch.randperm(len(self.slots), generator=drawing)[:count].sort().values
        wrong, limits, radius = 0, Box(0.0, 1.0), None
        self._about.zero_()
        for rows in self._parts(chosen):
            at = rows.to(self.images.device)
            phi, labels = self._activations(self.images[at]), self.labels[at]
            if radius is None:
                radius = self.place.radius or self.config.share * typical_distance(phi)
                # What float32 leaves of values that are the same.
                if radius <= 1e-6 * float(phi.abs().max()):
                    raise InputError(
                        f"{self.place.layer!r} gives the same for all images; if its units have "
                        "died in training, lower the learning rate, else give its radius"
                    )
            limits = self._limits(phi)
            made = new_examples(
                self._evaluated, phi, labels.to(phi.device), radius, limits, self.config, generator
            )
            self.slots[at] = made.to(self.slots)
            with torch.no_grad():
                given = self._evaluated(made).argmax(1)
            wrong += int((given != labels.to(given.device)).sum())
            self._note(limits, radius)
        self._about[3] = wrong / count

    def _note(self, limits: Box, radius: float) -> None:
        lower, upper = float(torch.as_tensor(limits.lower).min()), limits.upper
        first = not bool(self._about[2])
        now = self._about
        now[0] = lower if first else min(float(now[0]), lower)
        highest = float(torch.as_tensor(upper).max())
        now[1] = highest if first else max(float(now[1]), highest)
        now[2] = radius

    def _limits(self, phi: Tensor) -> Box:
        if self.name == IMAGES:
            return self.box
        return Box(*self.range.within(phi))

    def _activations(self, images: Tensor) -> Tensor:
        if self.name == IMAGES:
            return Classifier(self.model).fit(images)
        stream = activations(self.model, self.name, images)
        return torch.cat([part[self.name] for part in stream])

    def _parts(self, rows: Tensor) -> Iterator[Tensor]:
        """So many at a time that their examples and a search's vectors fit."""
        bytes_each = 4 * max(self.slots[0].numel(), self.images[0].numel())
        return iter(torch.split(rows, max(16, min(8192, _BYTES // bytes_each))))


def _seed(generator: torch.Generator) -> int:
    """A seed for a choice that is the same on every device."""
    drawn = torch.randint(2**31, (1,), generator=generator, device=generator.device)
    return int(drawn)
