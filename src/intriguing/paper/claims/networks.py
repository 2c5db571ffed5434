"""The networks that claims are measured on, each trained once for all claims that ask for it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import torch

from intriguing.data.dataset import ImageSet
from intriguing.data.named import DataPair
from intriguing.hardening.hardened import Hardened
from intriguing.keys import derive_key
from intriguing.models.schedule import Schedule
from intriguing.paper.claims.config import ClaimScale
from intriguing.paper.networks import draw
from intriguing.runs.training import Training
from intriguing.training.lbfgs import LBFGSConfig
from intriguing.training.recipe import Recipe

HELD_OUT = 5
"""One in so many training images is held out, where settings are chosen."""
_RATES: Mapping[str, float] = {"fc": 1.0, "tanh": 0.2, "mlp": 0.1, "conv": 0.1}
"""The highest learning rate of a family; its networks learn with it at every width and depth."""
_BATCH = 100
"""Images of a step of training."""


@dataclass(frozen=True)
class Wanted:
    """A network that a topic asks for.

    Attributes:
        architecture: As `build_network` reads it.
        number: Another one has other initial weights and sees the images in another order.
        decay: λ of every layer, ½ λ Σ w².
        part: What it learns from: "train", one of its random halves "P1" and "P2", "fit" (what is
            not held out), "first N", or "noisy P" (P % of the labels drawn anew).
        rate: The highest learning rate over the family's usual one.
        dropout, shift: Of the schedule.
        hardened: What the loss has besides.
        lbfgs: Whether it is trained by L-BFGS on the whole set, as the paper's.
        longer: How many times as many epochs.
    """

    architecture: str
    number: int = 0
    decay: float = 1e-5
    part: str = "train"
    rate: float = 1.0
    dropout: float = 0.0
    shift: int = 0
    hardened: Hardened = field(default_factory=Hardened)
    lbfgs: bool = False
    longer: float = 1.0


@dataclass(frozen=True)
class Networks:
    """Trainings of one seed.

    Attributes:
        data: Training and test images.
        scale: How long.
        seed: Of the study.
        device: Where they are trained and asked.
    """

    data: DataPair
    scale: ClaimScale
    seed: int
    device: str
    _splits: dict[str, tuple[ImageSet, ImageSet]] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def training(self, wanted: Wanted) -> Training:
        """The stage that trains it; equal wishes are one stage."""
        images = self.part(wanted.part)
        code = wanted.architecture.startswith("ae")
        layers = 1 if code else wanted.architecture.count("-") + 1
        by_lbfgs = wanted.lbfgs or code or layers == 1
        key = derive_key(wanted)[:8]
        recipe = Recipe(
            f"{wanted.architecture} {key}", f"{wanted.architecture}-{key}", wanted.architecture,
            (wanted.decay,) * layers,
            schedule=None if by_lbfgs else self._schedule(wanted, len(images)),
            stop=LBFGSConfig(tolerance=1e-4, max_iterations=500 if layers == 1 else 2000),
        )  # fmt: skip
        stop = replace(recipe.autoencoder_stop, max_iterations=self.scale.autoencoder)
        return Training(
            recipe.name, self.seed, replace(recipe, autoencoder_stop=stop), images,
            draw("claims", recipe.slug, wanted.number, self.seed), self.device, wanted.hardened,
            {"test_error": self.data.test},
        )  # fmt: skip

    def part(self, name: str) -> ImageSet:
        """What a network learns from."""
        train, (kind, _, number) = self.data.train, name.partition(" ")
        if kind == "train":
            return train
        if kind in ("P1", "P2"):
            return self._split(len(train) // 2, "halves")[kind == "P2"]
        if kind == "fit":
            return self._split(len(train) - len(train) // HELD_OUT, "held out")[0]
        if kind == "held":
            return self._split(len(train) - len(train) // HELD_OUT, "held out")[1]
        if kind == "first":
            few = int(number)
            return train if few >= len(train) else self._split(few, "first")[0]
        assert kind == "noisy", name
        generator = torch.Generator().manual_seed(draw("noisy labels", self.seed))
        drawn = torch.randint(train.classes, (len(train),), generator=generator)
        which = torch.rand(len(train), generator=generator) < int(number) / 100
        return replace(train, labels=torch.where(which, drawn, train.labels))

    def _split(self, first: int, what: str) -> tuple[ImageSet, ImageSet]:
        """Made once: all of MNIST in every network's own copy would fill the memory."""
        name = f"{what} {first}"
        if name not in self._splits:
            generator = torch.Generator().manual_seed(draw("claims", what, self.seed))
            self._splits[name] = self.data.train.split(first, generator)
        return self._splits[name]

    def _schedule(self, wanted: Wanted, images: int) -> Schedule:
        """As many steps as all images have in the scale's epochs."""
        epochs = round(wanted.longer * self.scale.epochs * len(self.data.train) / images)
        kind = wanted.architecture.rstrip("0123456789-")
        return Schedule(
            max(1, epochs), _RATES[kind] * wanted.rate, _BATCH, dropout=wanted.dropout,
            shift=wanted.shift,
        )  # fmt: skip
